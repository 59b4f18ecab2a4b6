import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.errors import ShapeError
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES, SILENCE
from kaldi_bridge.training.speech import TimedPhone, Utterance, frame_labels


def contiguous(names: list[str], lengths: list[int]) -> tuple[TimedPhone, ...]:
    edges = np.cumsum([0, *lengths]) / 1000
    return tuple(
        TimedPhone(name, float(start), float(end))
        for name, start, end in zip(names, edges, edges[1:], strict=False)
    )


def test_a_frame_has_the_phone_at_its_centre() -> None:
    phones = (
        TimedPhone("SIL", 0.0, 0.02),
        TimedPhone("AA", 0.02, 0.0425),
        TimedPhone("B", 0.0425, 0.05),
    )
    # centres at 12.5, 22.5, 32.5, 42.5 (a boundary: the later phone), 52.5 (behind the end) ms
    expected = [CLASS_OF[name] for name in ("SIL", "AA", "AA", "B", "SIL")]
    labels = frame_labels(phones, 5)
    assert labels.dtype == np.uint8
    assert labels.tolist() == expected
    thirds = frame_labels(phones, 2, shift=0.03)
    assert thirds.tolist() == [expected[0], expected[3]]


@given(
    segments=st.lists(
        st.tuples(st.sampled_from(CLASSES), st.integers(1, 90)), min_size=1, max_size=12
    ),
    n_frames=st.integers(0, 80),
    shift=st.sampled_from([0.01, 0.03]),
)
def test_frame_labels_agree_with_a_plain_search(
    segments: list[tuple[str, int]], n_frames: int, shift: float
) -> None:
    phones = contiguous([name for name, _ in segments], [length for _, length in segments])
    expected = []
    for frame in range(n_frames):
        centre = 0.0125 + frame * shift + 1e-6  # never on a boundary: these are whole milliseconds
        inside = [phone.phone for phone in phones if phone.start <= centre < phone.end]
        expected.append(CLASS_OF[inside[0] if inside else SILENCE])
    assert frame_labels(phones, n_frames, shift=shift).tolist() == expected


def test_no_phones_label_no_frames() -> None:
    with pytest.raises(ShapeError, match="no phones"):
        frame_labels((), 3)


def test_an_utterance_is_labelled_from_end_to_end() -> None:
    samples = np.zeros(1600, np.float32)
    utterance = Utterance(samples, 16000, contiguous(["S", "AY"], [60, 40]), "v", "sigh")
    assert utterance.duration == 0.1


@pytest.mark.parametrize(
    ("phones", "problem"),
    [
        ((), "at least one"),
        (contiguous(["S"], [90]), "end at 0.09"),
        (contiguous(["S"], [110]), "end at 0.11"),
        ((TimedPhone("S", 0.01, 0.1),), "contiguous"),
        ((TimedPhone("S", 0.0, 0.05), TimedPhone("T", 0.06, 0.1)), "contiguous"),
        ((TimedPhone("S", 0.0, 0.0), TimedPhone("T", 0.0, 0.1)), "positive length"),
    ],
)
def test_gaps_overlaps_and_missing_ends_are_refused(
    phones: tuple[TimedPhone, ...], problem: str
) -> None:
    with pytest.raises(ShapeError, match=problem):
        Utterance(np.zeros(1600, np.float32), 16000, phones, "v", "t")


@pytest.mark.parametrize("samples", [np.zeros((1, 1600), np.float32), np.zeros(1600)])
def test_samples_are_one_channel_of_float32(samples: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="one channel of float32"):
        Utterance(samples, 16000, contiguous(["S"], [100]), "v", "t")
