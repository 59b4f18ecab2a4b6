"""`tag_threshold`: which labels a clip has, wherever the part stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sedsdk.errors import ConfigError
from sedsdk.host import Host
from sedsdk.types import ClipPrediction, FrameGrid

LABELS = ("babycry", "glassbreak", "gunshot")
HOST = Host(discover=False)


def build(name: str = "tag_threshold", **options):
    cls = HOST.load("postprocessor", name)
    return cls(cls.Config(**options), LABELS)


def clip_of(probabilities, dtype=np.float32) -> ClipPrediction:
    frames = np.tile(np.asarray(probabilities, dtype), (5, 1))
    return ClipPrediction(LABELS, np.asarray(probabilities, dtype), frames, FrameGrid(0.02, 0.01))


def test_a_label_has_to_exceed_its_own_threshold():
    part = build(threshold={"babycry": 0.9, "glassbreak": 0.1, "gunshot": 0.5})
    assert part(clip_of([0.8, 0.2, 0.7])).tags == ("glassbreak", "gunshot")
    assert part(clip_of([0.8, 0.1, 0.5])).tags == ()
    assert build()(clip_of([0.6, 0.5, 0.7])).tags == ("babycry", "gunshot")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_threshold_itself_is_not_exceeded_in_the_probabilities_own_type(dtype):
    clip = clip_of([0.3, np.nextafter(dtype(0.3), dtype(1)), 0.1], dtype)
    assert build(threshold=0.3)(clip).tags == ("glassbreak",)


@pytest.mark.parametrize("place", range(4))
def test_it_may_stand_anywhere_and_changes_nothing_else(place):
    others = [build("threshold"), build("clip_gate", threshold=0.2), build("to_events")]
    chain = [*others[:place], build(threshold=0.25), *others[place:]]
    clip, plain = clip_of([0.9, 0.3, 0.1]), clip_of([0.9, 0.3, 0.1])
    for part in chain:
        clip = part(clip)
    for part in others:
        plain = part(plain)
    assert plain.tags is None
    assert clip.tags == ("babycry", "glassbreak")
    assert [event.label for event in clip.events] == ["babycry"]
    assert replace(clip, tags=None).events == plain.events
    np.testing.assert_array_equal(clip.active, plain.active)


def test_thresholds_of_events_are_fitted_without_it():
    assert HOST.load("postprocessor", "tag_threshold").search_space() == {}


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="no value for glassbreak"):
        build(threshold={"babycry": 0.5, "gunshot": 0.5})
