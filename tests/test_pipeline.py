from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from torch import Tensor

from sedsdk import compose, part
from sedsdk.config import PartRef
from sedsdk.contract import PartConfig
from sedsdk.errors import ConfigError, UnknownPart
from sedsdk.hooks import PartSpec, hookimpl
from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.stages import (
    Conditioner,
    ConditionerConfig,
    EncodedSpec,
    Encoder,
    StreamSpec,
)
from sedsdk.types import Encoded, Features, FrameGrid, Inputs, Targets

RATE = 8000
LABELS = ("dog", "siren")


class BothConfig(PartConfig):
    other: str = "fast"


class Both(Encoder):
    """The main stream beside the mean of another one, whatever its hop."""

    Config = BothConfig

    def __init__(self, config: BothConfig, streams: Mapping[str, StreamSpec]) -> None:
        super().__init__(config, streams)
        main, other = streams["main"], streams[config.other]
        self.spec = EncodedSpec(StreamSpec(main.size + other.size, main.grid))

    def forward(self, inputs: Inputs) -> Encoded:
        main, other = inputs.main, inputs[self.config.other]
        mean = other.zero_padded().values.sum(1) / other.lengths.unsqueeze(1)
        beside = mean.unsqueeze(1).expand(-1, main.values.shape[1], -1)
        values = torch.cat([main.values, beside], 2)
        return Encoded(Features(values, main.lengths, main.grid).zero_padded())


class LouderConfig(ConditionerConfig):
    by: float = Field(1.0, description="added to every value")
    shown: float = Field(1.0, ge=0, le=1, description="what the frame labels become")


class Louder(Conditioner):
    """A transform that inference needs too."""

    Config = LouderConfig
    config: LouderConfig
    when: Literal["always", "training"] = "always"

    def forward(
        self, inputs: Inputs, targets: Targets | None, generator: torch.Generator
    ) -> tuple[Inputs, Targets | None]:
        main = inputs.main
        moved = Features(main.values + self.config.by, main.lengths, main.grid).zero_padded()
        if targets is not None:
            frames = torch.full_like(targets.frames, self.config.shown)
            targets = Targets(
                targets.clip, targets.clip_mask, frames, targets.frame_mask, targets.grid
            )
        return inputs.with_stream("main", moved), targets


class LouderInTraining(Louder):
    when: Literal["always", "training"] = "training"


def _offers(*parts: type) -> Any:
    return lambda: [
        PartSpec(part.__name__.lower(), f"{__name__}:{part.__name__}", "a toy", "test")
        for part in parts
    ]


TOYS = SimpleNamespace(
    SEDSDK_API=(1, 1),
    sedsdk_encoders=hookimpl(_offers(Both)),
    sedsdk_conditioners=hookimpl(_offers(Louder, LouderInTraining)),
)
HOST = Host(plugins=[("toys", TOYS)], discover=False, strict=True)
HEADS = [
    part("frame_bce"),
    part("frame_bce", hidden=4, clip_weight=0.5),
    *(part("clip_bce", pooling=p) for p in ("max", "average", "linear_softmax", "attention")),
]


def mel(**options: Any) -> PartRef:
    return part("log_mel", **{"sample_rate": RATE, "n_mels": 8, **options})


SMALL = part("crnn", channels=[4, 4], frequency_pooling=[3, 2], rnn_units=4, self_attention=True)


def build(**changes: Any) -> Pipeline:
    wanted: dict[str, Any] = {
        "labels": LABELS,
        "frontend": mel(),
        "encoder": SMALL,
        "head": "frame_bce",
        "host": HOST,
        "seed": 0,
    }
    return compose(**{**wanted, **changes}).eval()


def sounds(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, n).astype(np.float32) for n in lengths]


def features_of(pipeline: Pipeline, clips: list[np.ndarray]) -> Inputs:
    return pipeline.features(pipeline.batch(clips, RATE))


def labels_for(inputs: Inputs, seed: int = 0) -> Targets:
    batch, frames = inputs.main.values.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    known = inputs.main.mask().unsqueeze(2).expand(-1, -1, 2)
    labels = (torch.rand(batch, frames, 2, generator=generator) < 0.4).float() * known
    return Targets(labels.amax(1), known.any(1), labels, known, inputs.main.grid)


class TestLawOfLengths:
    """A clip's result depends neither on its padding nor on the clips beside it."""

    @pytest.mark.parametrize("head", HEADS, ids=str)
    @given(lengths=st.lists(st.integers(1, 4000), min_size=1, max_size=4), seed=st.integers(0, 99))
    @settings(max_examples=6, deadline=None)
    def test_a_clip_is_predicted_as_if_alone(
        self, head: PartRef, lengths: list[int], seed: int
    ) -> None:
        pipeline = build(head=head)
        clips = sounds(*lengths, seed=seed)
        together = pipeline.predict(clips, RATE)
        for clip, found in zip(clips, together, strict=True):
            (alone,) = pipeline.predict([clip], RATE)
            assert found.frames.shape == alone.frames.shape
            np.testing.assert_allclose(found.frames, alone.frames, atol=1e-5)
            np.testing.assert_allclose(found.clip, alone.clip, atol=1e-5)

    @pytest.mark.parametrize("head", HEADS, ids=str)
    def test_padding_may_hold_anything(self, head: PartRef) -> None:
        pipeline = build(head=head)
        inputs = features_of(pipeline, sounds(3000, 900))
        main = inputs.main
        dirty = main.values.masked_fill(~main.mask().unsqueeze(2), 1e4)
        dirty = torch.nn.functional.pad(dirty, (0, 0, 0, 5), value=-1e4)
        with torch.no_grad():
            clean = pipeline(inputs)
            odd = pipeline(Inputs({"main": Features(dirty, main.lengths, main.grid)}))
        torch.testing.assert_close(odd.clip, clean.clip, atol=1e-5, rtol=0)
        torch.testing.assert_close(odd.frames[:, :-5], clean.frames, atol=1e-5, rtol=0)
        assert not odd.frames[:, -5:].any()

    @pytest.mark.parametrize("head", HEADS, ids=str)
    def test_the_loss_of_a_clip_is_its_own(self, head: PartRef) -> None:
        pipeline = build(head=head)
        inputs = features_of(pipeline, sounds(3000, 900, 2000))
        targets = labels_for(inputs)
        with torch.no_grad():
            together = pipeline.losses(pipeline(inputs), targets)
            for row in range(3):
                own = Inputs({"main": inputs.main.clip(row)})
                frames = own.main.values.shape[1]
                alone = Targets(
                    targets.clip[row : row + 1],
                    targets.clip_mask[row : row + 1],
                    targets.frames[row : row + 1, :frames],
                    targets.frame_mask[row : row + 1, :frames],
                    targets.grid,
                )
                loss = pipeline.losses(pipeline(own), alone)
                torch.testing.assert_close(loss[0], together[row], atol=1e-5, rtol=1e-5)
        assert together.shape == (3,)


class TestStreams:
    def test_streams_have_their_own_hops_and_sample_rates(self) -> None:
        pipeline = build(
            frontend={
                "main": mel(hop_seconds=0.04),
                "fast": mel(sample_rate=4000, hop_seconds=0.01, n_mels=5),
            },
            encoder="both",
        )
        assert pipeline.sample_rates == (8000, 4000)
        assert [spec.grid.hop_seconds for spec in pipeline.streams.values()] == [0.04, 0.01]
        clips = sounds(8000, 4000)
        audio = pipeline.batch(clips, RATE)
        assert [tuple(audio[rate][0].shape) for rate in (8000, 4000)] == [(2, 8000), (2, 4000)]
        assert audio[4000][1].tolist() == [4000, 2000]
        inputs = pipeline.features(audio)
        assert inputs["main"].lengths.tolist() == [26, 13]  # 1 + ⌊N / hop⌋
        assert inputs["fast"].lengths.tolist() == [101, 51]
        for clip, found in zip(clips, pipeline.predict(clips, RATE), strict=True):
            np.testing.assert_allclose(
                found.frames, pipeline.predict([clip], RATE)[0].frames, atol=1e-5
            )

    def test_a_rate_that_two_streams_share_is_resampled_once(self) -> None:
        pipeline = build(frontend={"main": mel(), "fast": mel(n_mels=5)}, encoder="both")
        assert pipeline.sample_rates == (8000,)

    def test_crnn_says_which_streams_there_are(self) -> None:
        with pytest.raises(ConfigError, match=r'reads stream "fats".*Did you mean "fast"'):
            build(frontend={"main": mel(), "fast": mel()}, encoder=part("crnn", stream="fats"))
        with pytest.raises(ConfigError, match="labels lie on"):
            build(
                frontend={"main": mel(), "fast": mel(hop_seconds=0.01)},
                encoder=part("crnn", stream="fast"),
            )


def run(pipeline: Pipeline) -> tuple[Tensor, Targets, Inputs]:
    inputs = features_of(pipeline, sounds(2400, 1200))
    targets = labels_for(inputs)
    return (
        pipeline.training_losses(inputs, targets, torch.Generator()),
        targets,
        inputs,
    )


class TestConditioners:
    plain = build()

    def shifted(self, inputs: Inputs, by: float) -> Inputs:
        main = inputs.main
        return Inputs({"main": Features(main.values + by, main.lengths, main.grid)})

    def test_append_trains_on_both_and_their_own_targets(self) -> None:
        pipeline = build(conditioners=[part("louder", mode="append", by=2.0, shown=0.25)])
        losses, targets, inputs = run(pipeline)
        assert losses.shape == (4,)
        first = self.plain.losses(self.plain(inputs), targets)
        moved = Targets(
            targets.clip,
            targets.clip_mask,
            torch.full_like(targets.frames, 0.25),
            targets.frame_mask,
            targets.grid,
        )
        second = self.plain.losses(self.plain(self.shifted(inputs, 2.0)), moved)
        torch.testing.assert_close(losses, torch.cat([first, second]))

    def test_replace_trains_on_the_conditioned_alone(self) -> None:
        losses, _, _ = run(build(conditioners=[part("louder", by=2.0)]))
        assert losses.shape == (2,)

    def test_two_that_append_give_four_copies(self) -> None:
        twice = [part("louder", mode="append", by=by, inference="average") for by in (1.0, 2.0)]
        pipeline = build(conditioners=twice)
        losses, _, inputs = run(pipeline)
        assert losses.shape == (8,)
        wanted = torch.stack(
            [self.plain(self.shifted(inputs, by)).frames for by in (0.0, 1.0, 2.0, 3.0)]
        ).mean(0)
        torch.testing.assert_close(pipeline(inputs).frames, wanted)

    @pytest.mark.parametrize(
        ("inference", "shifts"),
        [("conditioned", [2.0]), ("original", [0.0]), ("average", [0.0, 2.0])],
    )
    def test_append_at_inference(self, inference: str, shifts: list[float]) -> None:
        appending = part("louder", mode="append", by=2.0, inference=inference)
        pipeline = build(conditioners=[appending])
        inputs = features_of(pipeline, sounds(2400, 1200))
        found = pipeline(inputs)
        each = [self.plain(self.shifted(inputs, by)) for by in shifts]
        assert found.lengths.tolist() == inputs.main.lengths.tolist()
        torch.testing.assert_close(found.clip, torch.stack([p.clip for p in each]).mean(0))
        torch.testing.assert_close(found.frames, torch.stack([p.frames for p in each]).mean(0))
        logits = torch.stack([p.extras["frame_logits"] for p in each]).mean(0)
        torch.testing.assert_close(found.extras["frame_logits"], logits)

    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_augmentation_never_runs_at_inference(self, mode: str) -> None:
        pipeline = build(conditioners=[part("louderintraining", mode=mode, inference="average")])
        inputs = features_of(pipeline, sounds(2400, 1200))
        for training in (True, False):
            pipeline.train(training)
            pipeline.encoder.eval()
            torch.testing.assert_close(pipeline(inputs).frames, self.plain(inputs).frames)


class TestPredict:
    def test_every_module_gets_its_mode_back(self) -> None:
        pipeline = build().train()
        pipeline.encoder.eval()
        pipeline.predict(sounds(800), RATE)
        assert pipeline.training
        assert pipeline.head.training
        assert not any(module.training for module in pipeline.encoder.modules())

    def test_the_mode_comes_back_after_an_error(self) -> None:
        pipeline = build().train()
        with pytest.raises(Exception, match="rate"):
            pipeline.predict(sounds(800), -1)
        assert all(module.training for module in pipeline.modules())

    def test_no_clips_give_no_predictions(self) -> None:
        assert build().predict([], RATE) == []

    def test_prediction_leaves_the_weights_and_statistics(self) -> None:
        pipeline = build().train()
        before = {name: value.clone() for name, value in pipeline.state_dict().items()}
        pipeline.predict(sounds(800, 300), RATE)
        for name, value in pipeline.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_clips_come_without_padding_and_named(self) -> None:
        long, short = build().predict(sounds(4000, 800), RATE)
        assert long.labels == LABELS
        assert (len(long.frames), len(short.frames)) == (26, 6)
        assert short.grid == FrameGrid(0.02)


class TestSeed:
    def test_it_decides_the_weights_and_nothing_else(self) -> None:
        torch.manual_seed(5)
        wanted = torch.rand(3)
        torch.manual_seed(5)
        first, second, third = build(seed=1), build(seed=1), build(seed=2)
        assert torch.equal(torch.rand(3), wanted)
        assert all(
            torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
        )
        assert any(
            not torch.equal(a, b)
            for a, b in zip(first.parameters(), third.parameters(), strict=True)
        )

    def test_without_one_weights_follow_the_global_state(self) -> None:
        torch.manual_seed(3)
        first = build(seed=None)
        torch.manual_seed(3)
        second, third = build(seed=None), build(seed=None)
        weights = [next(iter(p.encoder.parameters())) for p in (first, second, third)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


class TestPostprocessors:
    def test_setting_them_changes_results_and_config(self) -> None:
        pipeline = build()
        assert pipeline.predict(sounds(800), RATE)[0].events is None
        refs = [part("threshold", value=0.0), part("to_events")]
        pipeline.set_postprocessors(refs)
        assert pipeline.config.postprocessors == tuple(refs)
        (found,) = pipeline.predict(sounds(800), RATE)
        assert found.events is not None
        assert {event.label for event in found.events} == set(LABELS)
        again = Pipeline(pipeline.config, HOST)
        assert [type(p) for p in again.postprocessors] == [type(p) for p in pipeline.postprocessors]

    def test_a_wrong_one_leaves_the_old_ones(self) -> None:
        pipeline = build(postprocessors=["median"])
        old, config = list(pipeline.postprocessors), pipeline.config
        with pytest.raises(UnknownPart):
            pipeline.set_postprocessors([part("threshold"), part("thresholt")])
        assert pipeline.postprocessors == old
        assert pipeline.config == config


class TestCompose:
    @pytest.mark.parametrize("field", ["labels", "conditioners", "postprocessors"])
    def test_a_text_is_no_list_of_letters(self, field: str) -> None:
        with pytest.raises(ConfigError, match=field):
            build(**{field: "mixup"})

    def test_a_pipeline_is_rebuilt_from_its_completed_config(self) -> None:
        pipeline = build(conditioners=[part("louder", by=2.0)])
        again = Pipeline(pipeline.config.completed(HOST), HOST).eval()
        again.load_state_dict(pipeline.state_dict())
        clips = sounds(1600)
        found, wanted = again.predict(clips, RATE)[0], pipeline.predict(clips, RATE)[0]
        assert np.array_equal(found.frames, wanted.frames)
