"""The plugin as a whole: its parts, its recipes, and the decision of Section 2.1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_multires_rnn
import torch

from sedsdk import ClipPrediction, Event, Features, Inputs, Pipeline, Targets, compose, part
from sedsdk.testing import assert_conforms, check_import_cost, parts_of
from sedsdk.training import Recipe, load_recipe

RECIPES = [spec.name for spec in sedsdk_multires_rnn.sedsdk_recipes()]
PRINTED = {"5k": (3, 5000, 15), "15k": (4, 15000, 10)}
"""Size of the training set → GRU layers, mixtures, epochs."""
EVENTS = ("babycry", "glassbreak", "gunshot")
HOP = 1014 / 44100  # 23 ms in whole samples


@pytest.mark.parametrize("entry", parts_of("multires-rnn"), ids=lambda e: e.spec.name)
def test_a_part_keeps_every_law_with_the_papers_options(entry: Any) -> None:
    assert_conforms(entry)


def test_the_entry_module_is_light() -> None:
    check_import_cost("multires-rnn")


def test_the_plugin_offers_what_the_paper_has() -> None:
    printed = {f"multires-rnn/{event}-{size}" for event in EVENTS for size in PRINTED}
    assert printed | {"multires-rnn/small"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads_and_its_pipeline_builds(name: str) -> None:
    recipe = load_recipe(name)
    pipeline = Pipeline(recipe.pipeline, seed=0)
    assert pipeline.config.encoder.part.endswith("multires_gru")
    assert pipeline.config.head.part.endswith("event_attention")
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe


@pytest.mark.parametrize("size", PRINTED)
@pytest.mark.parametrize("event", EVENTS)
class TestPaperRecipe:
    def test_it_has_the_printed_numbers(self, event: str, size: str) -> None:
        layers, mixtures, epochs = PRINTED[size]
        recipe = load_recipe(f"multires-rnn/{event}-{size}")
        pipeline = Pipeline(recipe.pipeline, seed=0)
        assert pipeline.labels == (event,)
        frontend: Any = pipeline.frontends["main"]
        assert frontend.sample_rate == 44100
        assert frontend.config.window_samples == round(0.046 * 44100)
        assert frontend.config.hop_samples == 1014
        assert frontend.spec.size == 64
        encoder: Any = pipeline.encoder.config
        assert (encoder.direction, encoder.multi_resolution) == ("bi", True)
        assert (encoder.layers, encoder.units) == (layers, 256)
        head: Any = pipeline.head.config
        assert (head.alpha, head.window_frames, head.bias) == (1.0, 50, False)
        learning = recipe.training
        assert (learning.optimiser, learning.learning_rate) == ("adam", 1e-4)
        assert (learning.schedule, learning.warmup_steps) == ("constant", 0)
        assert (learning.weight_decay, learning.weight_average) == (0, 0)
        assert (learning.batch_size, learning.chunk_seconds) == (10, None)
        assert (learning.epochs, learning.patience) == (epochs, epochs)
        assert (learning.score, learning.keep) == ("event_error_rate", "best")
        assert not learning.fit_thresholds
        data: Any = recipe.data
        made = data.training_mixtures
        assert (made.mixtures_per_class, made.event_presence_probability) == (mixtures, 0.5)
        assert made.event_to_background_ratios_db == (-6, 0, 6)
        assert (made.duration_seconds, made.events_per_mixture) == (30, (1, 1))
        assert (data.split, data.validation.part, data.test.part) == (
            "devtrain",
            "devtest",
            "devtest",
        )
        assert data.further_tests["evaluation"].part == "evaltest"

    def test_thirty_seconds_are_1305_frames_of_64_bands(self, event: str, size: str) -> None:
        """Frame i is centred on sample 1014 i, so there is one for every i up to 1323000 / 1014."""
        pipeline = Pipeline(load_recipe(f"multires-rnn/{event}-{size}").pipeline, seed=0)
        assert len(range(0, 30 * 44100 + 1, 1014)) == 1305
        frontend: Any = pipeline.frontends["main"]
        assert frontend.frame_count(30 * 44100) == 1305
        assert frontend.spec.grid.hop_seconds == pytest.approx(HOP, abs=1e-12)
        assert frontend.spec.grid.first_seconds == 0


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("pipeline.encoder.direction=uni", "encoder", "direction", "uni"),
        ("pipeline.encoder.multi_resolution=false", "encoder", "multi_resolution", False),
        ("pipeline.head.alpha=0.1", "head", "alpha", 0.1),
    ],
)
def test_rows_of_table_1_and_figure_3_are_overrides(
    override: str, section: str, field: str, value: object
) -> None:
    recipe = load_recipe("multires-rnn/babycry-5k", overrides=[override])
    made: Any = getattr(Pipeline(recipe.pipeline, seed=0), section)
    assert getattr(made.config, field) == value


def test_the_readme_composes_a_detector() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    noise = np.random.default_rng(0).normal(size=44100).astype(np.float32) * 0.1
    (clip,) = names["pipeline"].predict([noise], 44100)
    assert clip.frames.shape == (len(range(0, 44101, 1014)), 1)
    assert clip.events is not None


def prediction(clip: float, **runs: tuple[int, int, float]) -> ClipPrediction:
    """Returns a clip of 200 frames that is 0.1 but for the runs (first, behind the last, value)."""
    pipeline = Pipeline(load_recipe("multires-rnn/babycry-5k").pipeline, seed=0)
    frames = np.full((200, 1), 0.1, dtype=np.float32)
    for first, stop, value in runs.values():
        frames[first:stop] = value
    grid = pipeline.streams["main"].grid
    given = ClipPrediction(pipeline.labels, np.array([clip], dtype=np.float32), frames, grid)
    return pipeline.postprocess_clip(given)


class TestDecision:
    """Section 2.1: no event if p ≤ 0.5; else the longest run of frames with p_t > 0.5."""

    def test_the_longest_run_is_the_event(self) -> None:
        found = prediction(0.51, high=(20, 30, 0.99), long=(60, 90, 0.6), short=(95, 96, 0.8))
        assert found.events is not None
        (event,) = found.events
        assert event.label == "babycry"
        assert event.onset == pytest.approx(59.5 * HOP, abs=1e-9)
        assert event.offset == pytest.approx(89.5 * HOP, abs=1e-9)
        assert event.score == pytest.approx(0.6, abs=1e-6)

    def test_a_gap_of_one_frame_parts_two_runs(self) -> None:
        found = prediction(0.9, first=(10, 30, 0.9), second=(31, 50, 0.9))
        assert found.events is not None
        (event,) = found.events
        assert event.offset == pytest.approx(29.5 * HOP, abs=1e-9)

    @pytest.mark.parametrize("clip", [0.5, 0.2, 0.0])
    def test_there_is_none_unless_the_clip_probability_exceeds_one_half(self, clip: float) -> None:
        assert prediction(clip, run=(20, 80, 0.99)).events == ()

    @pytest.mark.parametrize("level", [0.5, 0.3])
    def test_a_frame_counts_only_above_one_half(self, level: float) -> None:
        assert prediction(0.9, run=(20, 80, level)).events == ()


def bursts(seed: int, n_clips: int = 12) -> tuple[Inputs, Targets, list[Event | None]]:
    """Returns clips of noise, every other one with a burst of 30 frames in two of eight bands."""
    random = np.random.default_rng(seed)
    pipeline = small_pipeline()
    grid = pipeline.streams["main"].grid
    values = random.normal(size=(n_clips, 150, 8)).astype(np.float32)
    labels = np.zeros((n_clips, 150, 1), dtype=np.float32)
    events: list[Event | None] = []
    for row in range(n_clips):
        if row % 2:
            events.append(None)
            continue
        first = int(random.integers(5, 110))
        values[row, first : first + 30, 2:4] += 2.5
        labels[row, first : first + 30] = 1.0
        events.append(Event(grid.start(first), grid.start(first + 30), "burst"))
    lengths = torch.full((n_clips,), 150)
    frames = torch.from_numpy(labels)
    clip = frames.amax(1)
    known = torch.ones_like(frames, dtype=torch.bool)
    targets = Targets(clip, torch.ones_like(clip, dtype=torch.bool), frames, known, grid)
    return Inputs({"main": Features(torch.from_numpy(values), lengths, grid)}), targets, events


def small_pipeline() -> Pipeline:
    return compose(
        ["burst"],
        part("log_mel", sample_rate=8000, n_mels=8, n_fft=512),
        part("multires_gru", units=12, layers=3),
        part("event_attention"),
        postprocessors=["threshold", "clip_gate", "longest_run", "to_events"],
        seed=0,
    )


def test_the_whole_learns_to_find_events_of_unheard_clips() -> None:
    pipeline = small_pipeline().train()
    optimiser = torch.optim.Adam(pipeline.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        inputs, targets, _ = bursts(step)
        loss = pipeline.training_losses(inputs, targets, generator).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    inputs, _, wanted = bursts(1000)
    with torch.no_grad():
        found = pipeline.eval().postprocess(pipeline(inputs))
    for clip, event in zip(found, wanted, strict=True):
        assert clip.events is not None
        assert len(clip.events) == (event is not None)
        if event is not None:
            assert abs(clip.events[0].onset - event.onset) < 0.1
            assert abs(clip.events[0].offset - event.offset) < 0.1
