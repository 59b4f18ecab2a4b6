"""Cuts, silences and noises: samples and labels move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.training.inventory import NOISE, SILENCE
from kaldi_bridge.training.varying.timeline import Labelled

CODES = {SILENCE: 0.0, NOISE: 0.5, "AA": 1.0, "B": 2.0, "S": 3.0}


def coded(names: list[str], lengths: list[int]) -> Labelled:
    """Samples that say which phone they belong to."""
    samples = np.repeat([CODES[name] for name in names], lengths).astype(np.float32)
    return Labelled(samples, tuple(names), tuple(np.cumsum(lengths).tolist()))


def assert_in_step(labelled: Labelled) -> None:
    """Every sample still belongs to the phone that it names, and phones cover all."""
    lengths = np.diff(labelled.ends, prepend=0)
    assert (lengths > 0).all()
    assert lengths.sum() == len(labelled.samples)
    expected = np.repeat([CODES[name] for name in labelled.names], lengths)
    np.testing.assert_array_equal(labelled.samples, expected)
    assert not any(
        a == b and a in (SILENCE, NOISE)
        for a, b in zip(labelled.names, labelled.names[1:], strict=False)
    )


clips = (
    st.lists(st.tuples(st.sampled_from([*CODES]), st.integers(20, 3000)), min_size=1, max_size=8)
    .map(
        lambda pairs: coded(*map(list, zip(*pairs, strict=True)))  # type: ignore[arg-type]
    )
    .map(lambda clip: clip._joined())
)
margins = st.none() | st.floats(-0.1, 0.2)


class TestMargins:
    @given(clips, margins, margins)
    def test_labels_follow(self, clip, before, behind):
        changed = clip.with_margins(before, behind)
        assert_in_step(changed)
        spoken = [name for name in clip.names if name not in (SILENCE, NOISE)]
        assert [name for name in changed.names if name not in (SILENCE, NOISE)] == spoken

    def test_silence_is_cut_to_what_was_asked(self):
        clip = coded([SILENCE, "AA", "B", SILENCE], [1600, 800, 800, 3200])
        cut = clip.with_margins(0.05, 0.0)
        assert cut.names == (SILENCE, "AA", "B")
        assert cut.ends == (800, 1600, 2400)

    def test_silence_is_added_where_there_is_too_little(self):
        clip = coded(["AA", "B", SILENCE], [800, 800, 160])
        longer = clip.with_margins(0.1, 0.2)
        assert longer.names == (SILENCE, "AA", "B", SILENCE)
        assert longer.ends == (1600, 2400, 3200, 6400)

    def test_words_lose_their_edges_but_never_a_phone(self):
        clip = coded([SILENCE, "AA", "B"], [1600, 1600, 100])
        cut = clip.with_margins(-0.02, -0.02)
        assert cut.names == ("AA", "B")
        assert cut.ends == (1600 - 320, 1600 - 320 + 60)  # B gives 0.4 of itself

    def test_nothing_said_nothing_cut(self):
        clip = coded([SILENCE], [1000])
        assert clip.with_margins(0.0, 0.0) is clip


class TestSilence:
    @given(clips, st.floats(0, 1), st.integers(1, 500))
    def test_pauses_hold_more(self, clip, where, length):
        places = clip.pauses()
        at = places[min(int(where * len(places)), len(places) - 1)]
        longer = clip.with_silence(at, length)
        assert_in_step(longer)
        assert len(longer.samples) == len(clip.samples) + length

    def test_pauses_are_the_ends_and_the_middles_of_silences(self):
        clip = coded(["AA", SILENCE, "B", SILENCE], [100, 200, 100, 50])
        assert clip.pauses() == [0, 200, 425, 450]


class TestNoises:
    def test_only_silence_becomes_noise(self):
        clip = coded(["AA", SILENCE, "B"], [1600, 1600, 1600])
        noisy = clip.with_noises([(0.05, 0.12), (0.15, 0.25)])
        assert noisy.names == ("AA", NOISE, SILENCE, NOISE, "B")
        assert noisy.ends == (1600, 1920, 2400, 3200, 4800)

    @given(clips, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), max_size=4))
    def test_every_sample_is_labelled_as_a_plain_loop_would(self, clip, stretches):
        noisy = clip.with_noises(stretches)
        lengths = np.diff(clip.ends, prepend=0)
        plain = np.repeat(np.array(clip.names, object), lengths)
        for start, end in stretches:
            for i in range(round(start * 16000), min(round(end * 16000), len(plain))):
                plain[i] = NOISE if plain[i] == SILENCE else plain[i]
        found = np.repeat(np.array(noisy.names, object), np.diff(noisy.ends, prepend=0))
        assert found.tolist() == plain.tolist()


def test_times_are_seconds_from_zero_to_the_end():
    phones = coded([SILENCE, "AA"], [1600, 800]).phones
    assert [(phone.start, phone.end) for phone in phones] == [(0.0, 0.1), (0.1, 0.15)]


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
def test_scaled_times_end_with_the_samples(scale):
    phones = coded([SILENCE, "AA", "B"], [1600, 800, 801]).phones
    labelled = Labelled.of(np.zeros(round(3201 * scale), np.float32), phones, scale)
    assert labelled.ends == (round(1600 * scale), round(2400 * scale), round(3201 * scale))
