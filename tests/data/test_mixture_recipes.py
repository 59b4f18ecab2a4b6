from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sedsdk.data.mixture_drawing import MixtureSettings, draw_recipes
from sedsdk.data.mixture_recipes import MixtureRecipe, PlacedSound, recipe_from_tut
from sedsdk.data.sources import Source, SourceSet
from sedsdk.errors import DataError

RATE = 8000


def write(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * RATE), 0.1), RATE)
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> SourceSet:
    root = tmp_path_factory.mktemp("sources")
    events = tuple(
        Source(write(root / f"events/{label}/{i}.wav", 0.5 + 0.25 * i), label, group=f"{label}{i}")
        for label in ("gunshot", "babycry")
        for i in range(4)
    )
    backgrounds = (
        Source(write(root / "backgrounds/short.wav", 2.0), "street"),
        Source(write(root / "backgrounds/long.wav", 25.0), "park"),
        Source(root / "backgrounds/long.wav", "park", 5.0, 17.0),
    )
    distractors = (
        Source(write(root / "events_other/bell/0.wav", 1.0), "bell"),
        Source(root / "events/gunshot/0.wav", "gunshot"),
    )
    return SourceSet(events, backgrounds, distractors)


def small(**changes: object) -> MixtureSettings:
    values = {"mixtures_per_class": 20, "duration_seconds": 10.0, "sample_rate": RATE, **changes}
    return MixtureSettings.model_validate(values)


@given(count=st.integers(1, 60), probability=st.floats(0, 1))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_share_with_events_is_exact(sources: SourceSet, count: int, probability: float) -> None:
    recipes = draw_recipes(
        sources, small(mixtures_per_class=count, event_presence_probability=probability)
    )
    for label in ("babycry", "gunshot"):
        own = [recipe for recipe in recipes if recipe.list_name == label]
        with_event = sum(bool(recipe.events) for recipe in own)
        assert len(own) == count
        assert abs(with_event - count * probability) <= 0.5
        assert {sound.label for recipe in own for sound in recipe.events} <= {label}


def test_order_of_the_sources_changes_nothing_and_the_seed_everything(sources: SourceSet) -> None:
    turned = SourceSet(sources.events[::-1], sources.backgrounds[::-1], sources.distractors[::-1])
    wanted = small(distractors_per_mixture=(0, 2))
    recipes = draw_recipes(sources, wanted)
    assert draw_recipes(turned, wanted) == recipes
    other = draw_recipes(sources, small(distractors_per_mixture=(0, 2), seed=43))
    assert {recipe.name for recipe in other}.isdisjoint(recipe.name for recipe in recipes)


def test_names_do_not_depend_on_where_the_sources_lie(sources: SourceSet, tmp_path: Path) -> None:
    root = sources.events[0].path.parents[2]

    def moved(kept: tuple[Source, ...]) -> tuple[Source, ...]:
        found = []
        for source in kept:
            target = tmp_path / source.path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.path.read_bytes())
            found.append(replace(source, path=target))
        return tuple(found)

    elsewhere = SourceSet(
        moved(sources.events), moved(sources.backgrounds), moved(sources.distractors)
    )
    names = [recipe.name for recipe in draw_recipes(sources, small())]
    assert [recipe.name for recipe in draw_recipes(elsewhere, small())] == names


def test_everything_lies_inside_the_mixture(sources: SourceSet) -> None:
    recipes = draw_recipes(sources, small(distractors_per_mixture=(1, 3), mixtures_per_class=60))
    assert {r for recipe in recipes for r in [s.ratio_db for s in recipe.events]} == {
        -6.0,
        0.0,
        6.0,
    }
    for recipe in recipes:
        for sound in (*recipe.events, *recipe.distractors):
            assert sound.onset >= 0
            assert sound.offset <= 10.0 + 1e-9
        assert 1 <= len(recipe.distractors) <= 3
        assert {sound.label for sound in recipe.distractors} == {"bell"}
        assert all(-6 <= sound.ratio_db <= 6 for sound in recipe.distractors)
        end = recipe.background.end
        assert end is not None
        length = end - recipe.background.start
        assert recipe.background_offset <= max(length - 10.0, length if length < 10 else 0)


def test_joint_lists_hold_all_labels_equally_often_and_never_overlap_one(
    sources: SourceSet,
) -> None:
    recipes = draw_recipes(
        sources, small(mode="joint", events_per_mixture=(2, 5), event_presence_probability=1.0)
    )
    assert len(recipes) == 40
    labels = [sound.label for recipe in recipes for sound in recipe.events]
    assert abs(labels.count("babycry") - labels.count("gunshot")) <= 1
    for recipe in recipes:
        for label in ("babycry", "gunshot"):
            own = sorted((s.onset, s.offset) for s in recipe.events if s.label == label)
            assert all(before[1] <= after[0] + 2e-6 for before, after in pairwise(own))


def test_events_longer_than_the_mixture_are_cut(sources: SourceSet) -> None:
    recipes = draw_recipes(sources, small(duration_seconds=0.6, event_presence_probability=1.0))
    assert max(sound.offset for recipe in recipes for sound in recipe.events) <= 0.6 + 1e-9


def test_a_source_without_readable_header_is_left_out_and_named(
    sources: SourceSet, tmp_path: Path
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    problems: list[str] = []
    more = replace(sources, events=(*sources.events, Source(text, "babycry")))
    recipes = draw_recipes(more, small(), problems.append)
    assert len(recipes) == 40
    assert len(problems) == 1
    assert "text.wav" in problems[0]
    with pytest.raises(DataError, match="no events"):
        draw_recipes(replace(sources, events=(Source(text, "babycry"),)), small())
    with pytest.raises(DataError, match="no distractors"):
        draw_recipes(replace(sources, distractors=()), small(distractors_per_mixture=(0, 1)))


def test_recipes_survive_json(sources: SourceSet) -> None:
    root = sources.events[0].path.parents[2]
    for recipe in draw_recipes(sources, small(distractors_per_mixture=(0, 2)))[:10]:
        text = json.dumps(recipe.to_dict(root))
        assert str(root) not in text
        assert MixtureRecipe.from_dict(json.loads(text), root) == recipe
    with pytest.raises(DataError, match="no recipe"):
        MixtureRecipe.from_dict({"name": "x.wav"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"events_per_mixture": (3, 1)},
        {"events_per_mixture": (0, 1)},
        {"event_presence_probability": 1.5},
        {"event_to_background_ratios_db": ()},
        {"subset": "dev_train/"},
        {"ebr": 3},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MixtureSettings.model_validate(wrong)


def test_official_recipes_become_ours() -> None:
    name = f"mixture_devtest_glassbreak_007_{'0a' * 16}.wav"
    mapping = {
        "bg_path": "audio/a001_0_30.wav",
        "bg_classname": "beach",
        "event_present": True,
        "ebr": -6,
        "event_path": "glassbreak/42.wav",
        "event_class": "glassbreak",
        "event_start_in_mixture_seconds": 12.5,
        "event_length_seconds": 0.75,
        "scaling_factor": 0.3,
        "segment_start_seconds": 1.25,
        "segment_end_seconds": 2.0,
        "mixture_audio_filename": name,
        "annotation_string": "",
    }
    recipe = recipe_from_tut(mapping, "data")
    background = Source(Path("data/bgs/audio/a001_0_30.wav"), "beach")
    event = Source(Path("data/events/glassbreak/42.wav"), "glassbreak", 1.25, 2.0)
    assert recipe == MixtureRecipe(
        name, background, 0.0, (PlacedSound(event, 12.5, -6.0),), (), "glassbreak", None, 0.2
    )
    assert [(e.onset, e.offset) for e in recipe.labelled_events()] == [(12.5, 13.25)]
    negative = recipe_from_tut(
        {**mapping, "event_present": False, "ebr": float("-inf"), "event_path": None}, "data"
    )
    assert negative.events == ()
    assert negative.list_name == "glassbreak"
    del mapping["ebr"]
    with pytest.raises(DataError, match="ebr"):
        recipe_from_tut(mapping, "data")
