"""The fast counter against sed_eval's own counts, on random events."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.errors import ConfigError, DataError
from sedsdk.evaluation import count_events, match_intervals, match_onsets
from sedsdk.evaluation.events import import_sed_eval
from sedsdk.types import Event

LABELS = ["babycry", "glassbreak", "gunshot"]
COLLAR = 0.5

# Quarters of a second put many pairs exactly on the collar, where <= and < differ.
times = st.one_of(
    st.integers(0, 20).map(lambda n: n / 4), st.floats(0, 5, allow_nan=False).map(float)
)
events = st.lists(
    st.builds(
        lambda onset, length, label: Event(onset, onset + length, label),
        times,
        st.one_of(st.integers(0, 8).map(lambda n: n / 4), st.floats(0, 2)),
        st.sampled_from(LABELS),
    ),
    max_size=8,
)


def sed_eval_counts(
    reference: list[Event], estimated: list[Event], offsets: bool
) -> dict[str, dict[str, float]]:
    metric = import_sed_eval().sound_event.EventBasedMetrics(
        event_label_list=LABELS,
        evaluate_offset=offsets,
        t_collar=COLLAR,
        percentage_of_length=0.5,
    )
    metric.evaluate(*([plain(event) for event in side] for side in (reference, estimated)))
    counts: dict[str, dict[str, float]] = metric.class_wise
    return counts


def plain(event: Event) -> dict[str, Any]:
    return {"event_label": event.label, "onset": event.onset, "offset": event.offset}


@pytest.mark.parametrize("offsets", [False, True])
@settings(max_examples=400, deadline=None)
@given(reference=events, estimated=events)
def test_counts_are_sed_evals(
    offsets: bool, reference: list[Event], estimated: list[Event]
) -> None:
    expected = sed_eval_counts(reference, estimated, offsets)
    counts = count_events(
        {"clip": reference}, {"clip": estimated}, LABELS, collar=COLLAR, offsets=offsets
    )
    for column, label in enumerate(LABELS):
        assert counts.n_ref[0, column] == expected[label]["Nref"]
        assert counts.n_sys[0, column] == expected[label]["Nsys"]
        assert counts.hits[0, column] == expected[label]["Ntp"]
    wrong = counts.errors[0]
    assert wrong.tolist() == [expected[x]["Nfp"] + expected[x]["Nfn"] for x in LABELS]


def test_taking_the_nearest_first_would_lose_a_pair() -> None:
    assert match_onsets([1.0, 1.6], [1.4, 1.9], collar=0.5) == 2
    assert match_onsets([1.0, 2.0], [1.5], collar=0.5) == 1
    assert match_onsets([], [1.0], collar=0.5) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 3), max_size=5),
    st.lists(st.floats(0, 3), max_size=5),
    st.floats(0.1, 1),
)
def test_onset_pairs_are_as_many_as_trying_every_assignment_gives(
    wanted: list[float], found: list[float], collar: float
) -> None:
    fewer, more = sorted((wanted, found), key=len)
    best = max(
        sum(abs(a - b) <= collar for a, b in zip(fewer, order, strict=False))
        for order in permutations(more)
    )
    assert match_onsets(wanted, found, collar) == best


def test_offset_tolerance_grows_with_the_reference() -> None:
    assert match_intervals([[0.0, 4.0]], [[0.0, 5.9]], 0.5, 0.5) == 1
    assert match_intervals([[0.0, 4.0]], [[0.0, 6.1]], 0.5, 0.5) == 0
    assert match_intervals([[0.0, 0.4]], [[0.0, 0.9]], 0.5, 0.5) == 1


def test_an_earlier_pair_moves_to_free_a_partner() -> None:
    wanted = [[0.0, 4.0], [0.4, 2.6]]  # the first fits both, the second only the first one found
    found = [[0.1, 2.9], [0.0, 4.2]]
    assert match_intervals(wanted, found, 0.5, 0.5) == 2


def test_long_chains_of_moved_pairs_need_no_recursion() -> None:
    wanted = [[0.4 * i + 0.4, 0.4 * i + 0.6] for i in range(1500)]
    found = [[0.4 * i, 0.4 * i + 0.2] for i in range(1501)]
    assert match_intervals(wanted[::-1], found, 0.5, 0.5) == 1500


def test_a_clip_without_an_estimate_counts_its_misses() -> None:
    counts = count_events({"a": [Event(0, 1, "gunshot")], "b": []}, {}, LABELS)
    assert counts.n_ref.sum(axis=0).tolist() == [0, 0, 1]
    assert not counts.n_sys.any()
    assert not np.any(counts.hits)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match=r'"gunshots".*Did you mean "gunshot"'):
        count_events({"a": [Event(0, 1, "gunshots")]}, {}, LABELS)
    with pytest.raises(DataError, match='names the clip "b"'):
        count_events({"a": []}, {"b": []}, LABELS)
    with pytest.raises(ConfigError, match="collar"):
        count_events({"a": []}, {}, LABELS, collar=0)
    with pytest.raises(ConfigError, match="percentage_of_length"):
        count_events({"a": []}, {}, LABELS, percentage_of_length=2)
    with pytest.raises(ConfigError, match="labels"):
        count_events({"a": []}, {}, [])
