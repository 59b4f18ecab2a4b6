"""The kit is proved on parts that break one law each: it names that law, and a small input."""

from __future__ import annotations

import importlib
import random
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ConfigDict, Field, field_serializer
from torch import Tensor, nn

from sedsdk.contract import PartConfig, PostProcessor
from sedsdk.errors import PluginError
from sedsdk.hooks import PartKind
from sedsdk.host import Host
from sedsdk.stages import Conditioner, ConditionerConfig, EncodedSpec, StreamSpec
from sedsdk.testing import (
    LAWS,
    LawBroken,
    Setting,
    assert_conforms,
    check_gradients,
    check_import_cost,
    check_loss,
    check_part,
    parts_of,
)
from sedsdk.testing.checks import CHECKS
from sedsdk.testing.plain import (
    PlainDecision,
    PlainEncoder,
    PlainFrontend,
    PlainFrontendConfig,
    PlainHead,
)
from sedsdk.types import (
    ClipPrediction,
    Encoded,
    Event,
    Features,
    FrameGrid,
    Inputs,
    Prediction,
    Targets,
)

BROKEN: list[tuple[str, PartKind, type[Any], str]] = []


def breaks(law: str, kind: PartKind, seen: str) -> Callable[[type[Any]], type[Any]]:
    """Lists a part that breaks `law`; `seen` is what the message must say."""
    assert law in LAWS

    def listed(part: type[Any]) -> type[Any]:
        BROKEN.append((law, kind, part, seen))
        return part

    return listed


# Conditioners that keep every law, to be broken


class Rotate(Conditioner):
    """Moves every clip's frames, and their labels, by the same random number of frames."""

    def forward(self, inputs, targets, generator):
        main = inputs.main
        steps = [int(torch.randint(0, int(n), (1,), generator=generator)) for n in main.lengths]
        moved = inputs.with_stream("main", replace(main, values=rotated(main.values, main, steps)))
        if targets is None:
            return moved, None
        frames = rotated(targets.frames, main, steps)
        known = rotated(targets.frame_mask, main, steps)
        return moved, replace(targets, frames=frames, frame_mask=known)


def rotated(values: Tensor, main: Features, steps: list[int]) -> Tensor:
    result = values.clone()
    for clip, (step, length) in enumerate(zip(steps, main.lengths.tolist(), strict=True)):
        result[clip, :length] = values[clip, :length].roll(step, 0)
    return result


class Halve(Conditioner):
    """Halves every feature, at inference too."""

    when = "always"

    def forward(self, inputs, targets, generator):
        halved = replace(inputs.main, values=inputs.main.values / 2)
        return inputs.with_stream("main", halved), targets


class ShowsMaps(PlainEncoder):
    """Gives, in evaluation mode only, weights [T, T], a reduced mask and a curve over time."""

    def forward(self, inputs):
        encoded = super().forward(inputs)
        if self.training:
            return encoded
        frames = encoded.frames
        scores = frames.values @ frames.values.transpose(1, 2)
        weights = scores.masked_fill(~frames.mask().unsqueeze(1), -1e9).softmax(-1)
        coarse = replace(
            frames,
            values=frames.values[:, ::4].sigmoid(),
            lengths=(frames.lengths + 3) // 4,
            grid=frames.grid.reduced(4),
        )
        curve = replace(frames, values=frames.values.mean(-1, keepdim=True))
        maps = {"weights": replace(frames, values=weights), "mask 1/4": coarse, "level": curve}
        return replace(encoded, attention=maps)


class LearnedGain(PlainFrontend):
    """Learns from the samples on: the samples are what is stored."""

    def __init__(self, config: PlainFrontendConfig) -> None:
        super().__init__(config)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, config.size))

    def forward(self, waveforms, lengths):
        features = super().forward(waveforms, lengths)
        return replace(features, values=features.values * self.gain)


class GainOfStored(LearnedGain):
    """Learns from the projections on, which are what is stored."""

    @property
    def stored_spec(self) -> StreamSpec:
        return self.spec

    def store(self, waveforms, lengths):
        return PlainFrontend.forward(self, waveforms, lengths)

    def finish(self, stored):
        return replace(stored, values=stored.values * self.gain)

    def forward(self, waveforms, lengths):
        return self.finish(self.store(waveforms, lengths))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("frontend", PlainFrontend),
        ("frontend", LearnedGain),
        ("frontend", GainOfStored),
        ("conditioner", Rotate),
        ("conditioner", Halve),
        ("encoder", PlainEncoder),
        ("encoder", ShowsMaps),
        ("head", PlainHead),
        ("postprocessor", PlainDecision),
    ],
)
def test_parts_that_keep_every_law_pass(sed_host, kind, part):
    check_part(kind, part, host=sed_host)


# Config


class SecretConfig(PartConfig):
    units: int = 8


@breaks("config", "encoder", "no description of field units")
class Undescribed(PlainEncoder):
    Config = SecretConfig


class RoundedConfig(PartConfig):
    size: int = Field(16, description="features")
    hop_seconds: float = Field(0.0125, description="seconds")
    sample_rate: int = Field(8000, description="hertz")

    @field_serializer("hop_seconds")
    def _rounded(self, value: float) -> float:
        return round(value, 2)


@breaks("config", "frontend", "hop_seconds=0.01")
class ForgetfulConfig(PlainFrontend):
    Config = RoundedConfig


class LooseConfig(PartConfig):
    model_config = ConfigDict(extra="ignore")
    units: int = Field(8, description="units")


@breaks("config", "encoder", 'the unknown key "no_such_field" is accepted')
class TakesAnything(PlainEncoder):
    Config = LooseConfig


# Shapes and grids


@breaks("shapes and grids", "frontend", "the frames that change most lie at")
class WrongHop(PlainFrontend):
    def __init__(self, config: PlainFrontendConfig) -> None:
        super().__init__(config)
        self.spec = StreamSpec(config.size, FrameGrid(self.spec.grid.hop_seconds * 1.1))

    def forward(self, waveforms, lengths):
        return replace(super().forward(waveforms, lengths), grid=self.spec.grid)


@breaks("shapes and grids", "frontend", "times the sum of theirs")
class MagnitudesDoNotAdd(PlainFrontend):
    @property
    def additive(self) -> bool:
        return True

    @property
    def energy_spec(self) -> StreamSpec:
        return self.spec

    def energies(self, waveforms, lengths):
        features = super().forward(waveforms, lengths)
        return replace(features, values=features.values.abs())

    def compress(self, energies):
        return energies

    def forward(self, waveforms, lengths):
        return self.compress(self.energies(waveforms, lengths))


@breaks("shapes and grids", "frontend", "frame_count says")
class Miscounts(PlainFrontend):
    def frame_count(self, n_samples: int) -> int:
        return n_samples // self.hop + 1


@breaks("shapes and grids", "frontend", "not zero on padding")
class LeavesPadding(PlainFrontend):
    def forward(self, waveforms, lengths):
        features = super().forward(waveforms, lengths)
        return replace(features, values=features.values + 1)


@breaks("shapes and grids", "encoder", "time_reduction 2")
class ForgetsToReduce(PlainEncoder):
    time_reduction = 2


@breaks("shapes and grids", "encoder", "frames have shape (1, 1, 7), expected [1, T, 8]")
class WrongSize(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        return Encoded(replace(frames, values=frames.values[..., :-1]))


@breaks("shapes and grids", "head", "outside [0, 1]")
class LogitsAsProbabilities(PlainHead):
    def forward(self, encoded):
        prediction = super().forward(encoded)
        return replace(prediction, clip=prediction.extras["clip_logits"])


@breaks("shapes and grids", "conditioner", "lengths [1] became [0]")
class Shortens(Halve):
    def forward(self, inputs, targets, generator):
        shorter = replace(inputs.main, lengths=inputs.main.lengths - 1)
        return inputs.with_stream("main", shorter), targets


@breaks("shapes and grids", "encoder", "IndexError")
class NeedsThreeFrames(PlainEncoder):
    def forward(self, inputs):
        inputs.main.values[:, 2]
        return super().forward(inputs)


@breaks("shapes and grids", "encoder", 'attention map "level" is a Tensor; give Features')
class MapWithoutGrid(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        return Encoded(frames, attention={"level": frames.values})


@breaks("shapes and grids", "encoder", 'attention map "level" has shape (1, 1), expected [1, T, F]')
class CurveWithoutFeatures(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        return Encoded(frames, attention={"level": replace(frames, values=frames.values.mean(-1))})


@breaks("shapes and grids", "encoder", "covers 0.02 s of a clip of 0.06 s")
class CoarseMapOnFineGrid(PlainEncoder):
    """Gives a map of every fourth frame, and forgets that its grid is reduced."""

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        coarse = replace(frames, values=frames.values[:, ::4], lengths=(frames.lengths + 3) // 4)
        return Encoded(frames, attention={"coarse": coarse})


# Stages


@breaks("stages", "frontend", "stored before and after it has learnt")
class StoresWhatLearns(GainOfStored):
    def store(self, waveforms, lengths):
        return LearnedGain.forward(self, waveforms, lengths)

    def finish(self, stored):
        return stored


@breaks("stages", "frontend", "finished and computed whole")
class FinishesTwice(GainOfStored):
    def forward(self, waveforms, lengths):
        return self.finish(super().forward(waveforms, lengths))


@breaks("stages", "frontend", "the spec says")
class StoresOnAnotherGrid(GainOfStored):
    @property
    def stored_spec(self) -> StreamSpec:
        return StreamSpec(self.spec.size, FrameGrid(0.001, 0.0005))


@breaks("stages", "frontend", "more frames of padding")
class FinishesWithThePadding(GainOfStored):
    def finish(self, stored):
        mean = stored.values.mean(1, keepdim=True)
        return super().finish(replace(stored, values=stored.values - mean))


# Lengths


@breaks("lengths", "encoder", "in training mode")
class PlainBatchNorm(PlainEncoder):
    """Statistics in training count padding; in evaluation nothing shows."""

    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.norm = nn.BatchNorm1d(config.units)

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        values = self.norm(frames.values.transpose(1, 2)).transpose(1, 2)
        return Encoded(replace(frames, values=values).zero_padded())


@breaks("lengths", "encoder", "more frames of padding")
class MeanOverPadding(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        values = frames.values - frames.values.mean(1, keepdim=True)
        return Encoded(replace(frames, values=values).zero_padded())


@breaks("lengths", "encoder", "full of noise")
class ReadsPadding(PlainEncoder):
    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.conv = nn.Conv1d(streams["main"].size, config.units, 3, padding=1)

    def forward(self, inputs):
        values = self.conv(inputs.main.values.transpose(1, 2)).transpose(1, 2)
        return Encoded(replace(inputs.main, values=values).zero_padded())


@breaks("lengths", "encoder", 'of attention map "level"')
class MapReadsPadding(PlainEncoder):
    """Its frames keep the law; its map is each frame's share of the padded clip's energy."""

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        energy = inputs.main.values.square().mean(-1, keepdim=True)
        share = replace(frames, values=energy / energy.sum(1, keepdim=True).clamp(min=1e-9))
        return Encoded(frames, attention={"level": share.zero_padded()})


@breaks("lengths", "encoder", "alone and in the batch")
class MapOfTheBatch(PlainEncoder):
    """Its map is scaled to the highest value of the batch."""

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        level = frames.values.abs().mean(-1, keepdim=True)
        scaled = replace(frames, values=level / level.max().clamp(min=1e-9))
        return Encoded(frames, attention={"level": scaled.zero_padded()})


@breaks("lengths", "encoder", 'of attention map "weights"')
class WeighsPadding(PlainEncoder):
    """Its [T, T] weights are a softmax over all frames of the batch, padding among them."""

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        weights = (frames.values @ frames.values.transpose(1, 2)).softmax(-1)
        return Encoded(frames, attention={"weights": replace(frames, values=weights)})


@breaks("lengths", "frontend", "alone and in the batch")
class LoudestOfTheBatch(PlainFrontend):
    def forward(self, waveforms, lengths):
        mask = torch.arange(waveforms.shape[1]) < lengths.unsqueeze(1)
        return super().forward(waveforms / (waveforms * mask).abs().max().clamp(min=1e-3), lengths)


@breaks("lengths", "head", "clip 0 of clip probabilities")
class PoolsPadding(PlainHead):
    def forward(self, encoded):
        prediction = super().forward(encoded)
        return replace(prediction, clip=prediction.frames.mean(1))


@breaks("lengths", "conditioner", "alone and in the batch")
class BatchMean(Halve):
    def forward(self, inputs, targets, generator):
        main = inputs.main.zero_padded()
        mean = main.values.sum((0, 1)) / main.lengths.sum()
        return inputs.with_stream("main", replace(main, values=main.values - mean)), targets


@breaks("lengths", "conditioner", "full of noise")
class MixesPadding(Rotate):
    def forward(self, inputs, targets, generator):
        main = inputs.main
        level = main.values.amax((1, 2), keepdim=True)
        return inputs.with_stream("main", replace(main, values=main.values - level)), targets


# Determinism


@breaks("determinism", "encoder", 'of attention map "level"')
class MapIsDrawn(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        noisy = replace(frames, values=torch.rand_like(frames.values)).zero_padded()
        return Encoded(frames, attention={"level": noisy})


@breaks("determinism", "conditioner", "the global state differing")
class DrawsFromTorch(Conditioner):
    def forward(self, inputs, targets, generator):
        main = inputs.main
        noisy = replace(main, values=main.values + torch.randn_like(main.values)).zero_padded()
        return inputs.with_stream("main", noisy), targets


@breaks("determinism", "conditioner", "the global state differing")
class DrawsFromPython(Conditioner):
    def forward(self, inputs, targets, generator):
        main = inputs.main
        louder = replace(main, values=main.values * random.uniform(0.5, 1.5))
        return inputs.with_stream("main", louder), targets


@breaks("determinism", "encoder", "in evaluation mode")
class DropsInEvaluation(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        keep = (torch.rand(len(frames.lengths), 1, 1) < 0.5).float()
        return Encoded(replace(frames, values=frames.values * keep))


@breaks("determinism", "conditioner", "changed in place")
class InPlace(Halve):
    def forward(self, inputs, targets, generator):
        inputs.main.values.clamp_(-1, 1)
        return inputs, targets


@breaks("determinism", "head", "changed in place")
class HeadInPlace(PlainHead):
    def forward(self, encoded):
        encoded.frames.values.mul_(0.5)
        return super().forward(encoded)


@breaks("determinism", "encoder", "weight dense.weight")
class OtherWeightsEachTime(PlainEncoder):
    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        nn.init.constant_(self.dense.weight, random.random())


# Targets that move


@breaks("targets move", "conditioner", "the label on frames")
class MovesFeaturesOnly(Rotate):
    def forward(self, inputs, targets, generator):
        return super().forward(inputs, None, generator)[0], targets


@breaks("targets move", "conditioner", "the label on frames")
class MovesTargetsOnly(Rotate):
    def forward(self, inputs, targets, generator):
        return inputs, super().forward(inputs, targets, generator)[1]


@breaks("targets move", "conditioner", "the marker lies")
class SwapsClips(Conditioner):
    def forward(self, inputs, targets, generator):
        main = inputs.main
        mixed = main.values + main.values.flip(0) * main.mask().unsqueeze(-1)
        return inputs.with_stream("main", replace(main, values=mixed)), targets


@breaks("targets move", "conditioner", "whose clip label is 0")
class MixesFramesNotClips(Conditioner):
    def forward(self, inputs, targets, generator):
        main = inputs.main
        mixed = main.values + main.values.flip(0) * main.mask().unsqueeze(-1)
        frames = targets.frames.maximum(targets.frames.flip(0)) * main.mask().unsqueeze(-1)
        moved = replace(targets, frames=frames)
        return inputs.with_stream("main", replace(main, values=mixed)), moved


# Gradients


@breaks("gradients", "encoder", "no gradient ever reaches dense.bias, dense.weight")
class Detached(PlainEncoder):
    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.skip = nn.Linear(streams["main"].size, config.units)

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        values = frames.values.detach() + self.skip(inputs.main.values)
        return Encoded(replace(frames, values=values).zero_padded())


@breaks("gradients", "frontend", "does not depend on the input by gradient")
class ThroughNumpy(PlainFrontend):
    def forward(self, waveforms, lengths):
        return super().forward(waveforms.detach(), lengths)


@breaks("gradients", "frontend", "no gradient ever reaches gain")
class ForgetsToLearn(GainOfStored):
    def finish(self, stored):
        return replace(stored, values=stored.values * self.gain.detach())


@breaks("gradients", "frontend", "digital silence")
class RootOfSilence(PlainFrontend):
    def forward(self, waveforms, lengths):
        features = super().forward(waveforms, lengths)
        return replace(features, values=(features.values**2).sqrt())


@breaks("gradients", "head", "no gradient ever reaches unused.bias, unused.weight")
class UnusedLayer(PlainHead):
    def __init__(self, config, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.unused = nn.Linear(2, 2)


@breaks("gradients", "encoder", "no gradient ever reaches mask.bias, mask.weight")
class LearnsFromThePicture(PlainEncoder):
    """A layer that makes a map and nothing else is never trained."""

    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.mask = nn.Linear(config.units, 1)

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        mask = replace(frames, values=self.mask(frames.values)).zero_padded()
        return Encoded(frames, attention={"mask": mask})


# Device and dtype


@breaks("device and dtype", "encoder", "float64")
class SingleOnly(PlainEncoder):
    def forward(self, inputs):
        values = inputs.main.values.float() @ self.dense.weight.float().T
        return Encoded(replace(inputs.main, values=values).zero_padded())


@breaks("device and dtype", "frontend", "float64")
class BasisIsNoBuffer(PlainFrontend):
    def __init__(self, config) -> None:
        super().__init__(config)
        self.fixed = self.basis.clone()

    def forward(self, waveforms, lengths):
        features = super().forward(waveforms, lengths)
        return replace(features, values=features.values @ self.fixed.T @ self.fixed)


@breaks("device and dtype", "head", "bfloat16 autocast")
class OverflowsInHalf(PlainHead):
    def forward(self, encoded):
        prediction = super().forward(encoded)
        if prediction.extras["frame_logits"].dtype == torch.bfloat16:
            prediction = replace(prediction, clip=prediction.clip / 0 * 0)
        return prediction


# Loss


@breaks("loss", "head", "one per clip")
class OneLossForAll(PlainHead):
    def loss(self, prediction, targets):
        return super().loss(prediction, targets).mean()


@breaks("loss", "head", "alone and in the batch")
class LossOfTheBatch(PlainHead):
    def loss(self, prediction, targets):
        losses = super().loss(prediction, targets)
        return losses - losses.mean() + losses.mean().detach() * len(losses)


@breaks("loss", "head", "other labels where none is known")
class IgnoresTheMask(PlainHead):
    def loss(self, prediction, targets):
        known = replace(targets, clip_mask=torch.ones_like(targets.clip_mask))
        return super().loss(prediction, known)


@breaks("loss", "head", "not finite")
class LogOfZero(PlainHead):
    def loss(self, prediction, targets):
        clip = prediction.clip
        losses = -(targets.clip * clip.log() + (1 - targets.clip) * (1 - clip).log())
        losses = torch.where(targets.clip_mask, losses, torch.zeros_like(losses))
        return losses.sum(1) + super().loss(prediction, targets)


@breaks("loss", "head", "the mean loss went from")
class ReversedGradient(PlainHead):
    def loss(self, prediction, targets):
        losses = super().loss(prediction, targets)
        return 2 * losses.detach() - losses


@breaks("loss", "head", "it led away from the labels")
class WrongSign(PlainHead):
    def loss(self, prediction, targets):
        return 10 / (1 + super().loss(prediction, targets)) * targets.frame_mask.any((1, 2))


# Bundle


@breaks("bundle", "encoder", "loaded and saved")
class WeightOutsideTheState(PlainEncoder):
    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.register_buffer("shift", torch.randn(config.units), persistent=False)

    def forward(self, inputs):
        frames = super().forward(inputs).frames
        return Encoded(replace(frames, values=frames.values + self.shift).zero_padded())


# Post-processing


@breaks("post-processing", "postprocessor", "changed in place")
class Overwrites(PlainDecision):
    def __call__(self, clip):
        clip.frames[:] = clip.frames > 0.5
        return super().__call__(clip)


@breaks("post-processing", "postprocessor", "0 frames, all zero")
class NeedsAFrame(PlainDecision):
    def __call__(self, clip):
        return replace(clip, active=clip.frames > 0.5 * clip.frames.max())


@breaks("post-processing", "postprocessor", "active is")
class DropsAFrame(PlainDecision):
    def __call__(self, clip):
        return replace(clip, active=clip.frames[1:] > 0.5)


@breaks("post-processing", "postprocessor", "depends on the clips before")
class Remembers(PostProcessor):
    def __init__(self, config, labels) -> None:
        super().__init__(config, labels)
        self.calls = 0

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        self.calls += 1
        return replace(clip, active=clip.frames > 0.1 * self.calls)


@breaks("post-processing", "postprocessor", "gave Event(")
class EndsBeforeItStarts(PostProcessor):
    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        return replace(clip, events=(Event(1.0, 0.5, clip.labels[0]),))


@breaks("post-processing", "postprocessor", "gave the tags ('nobody',)")
class TagsWhatIsNoLabel(PostProcessor):
    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        return replace(clip, tags=("nobody",))


@breaks("post-processing", "postprocessor", "two results")
class TagsEverySecondTime(PostProcessor):
    def __init__(self, config, labels) -> None:
        super().__init__(config, labels)
        self.calls = 0

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        self.calls += 1
        return replace(clip, tags=clip.labels[: self.calls % 2])


@breaks("post-processing", "postprocessor", "which is no field of Config")
class FitsNothing(PlainDecision):
    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        return {"treshold": (0.5,)}


# What the kit must say


@pytest.mark.parametrize(
    ("law", "kind", "part", "seen"),
    BROKEN,
    ids=[f"{law}-{part.__name__}" for law, _, part, _ in BROKEN],
)
def test_a_broken_part_is_told_the_law_and_the_smallest_input(sed_host, law, kind, part, seen):
    with pytest.raises(LawBroken) as caught:
        CHECKS[kind][law](kind, part, None, sed_host, None)
    error = caught.value
    assert error.law == law
    assert part.__name__ in error.part
    assert seen in str(error)
    assert LAWS[law] in str(error)
    assert "smallest input: " in str(error)


class StaysOnCpu(PlainEncoder):
    def forward(self, inputs):
        frames = super().forward(inputs).frames
        return Encoded(replace(frames, values=frames.values * torch.ones(8)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA device would let this run")
def test_a_part_that_stays_on_the_cpu_is_told_so(sed_host):
    with pytest.raises(LawBroken, match="cuda"):
        CHECKS["encoder"]["device and dtype"]("encoder", StaysOnCpu, None, sed_host, None)


def test_each_law_of_a_part_has_a_part_that_breaks_it():
    assert {law for law, *_ in BROKEN} | {"import cost"} == set(LAWS)


def test_the_smallest_failing_batch_is_the_one_shown(sed_host):
    with pytest.raises(LawBroken) as caught:
        CHECKS["encoder"]["lengths"]("encoder", MeanOverPadding, None, sed_host, None)
    assert caught.value.case == "main [B=1, T=1, F=16], lengths [1]"


def test_an_error_inside_a_part_is_kept_as_the_cause(sed_host):
    with pytest.raises(LawBroken) as caught:
        check_part("encoder", NeedsThreeFrames, host=sed_host)
    assert isinstance(caught.value.__cause__, IndexError)


def test_a_part_may_state_its_shortest_clip(sed_host):
    check_part("encoder", NeedsThreeFrames, host=sed_host, setting=Setting(shortest=3))


def test_an_exemption_names_a_law_and_gives_a_reason(sed_host):
    check_part(
        "frontend", ThroughNumpy, host=sed_host, exempt={"gradients": "frozen: it runs in numpy"}
    )
    with pytest.raises(ValueError, match='no law "gradient"'):
        check_part("frontend", ThroughNumpy, host=sed_host, exempt={"gradient": "frozen"})
    with pytest.raises(ValueError, match="say why"):
        check_part("frontend", ThroughNumpy, host=sed_host, exempt={"gradients": " "})


def test_a_check_for_another_kind_is_refused(sed_host):
    with pytest.raises(ValueError, match="for a head"):
        check_loss("encoder", PlainEncoder, host=sed_host)
    with pytest.raises(ValueError, match="not for a postprocessor"):
        check_gradients("postprocessor", PlainDecision, host=sed_host)


# Streams, scales and encoders in front


class TwoStreams(PlainEncoder):
    """Adds the mean of a second stream, which has another hop, and gives it as a scale."""

    def __init__(self, config, streams) -> None:
        super().__init__(config, streams)
        self.second = nn.Linear(streams["asr"].size, config.units)
        scale = StreamSpec(config.units, streams["asr"].grid)
        self.spec = EncodedSpec(self.spec.frames, (scale,))

    def forward(self, inputs: Inputs) -> Encoded:
        frames = super().forward(inputs).frames
        asr = inputs["asr"].zero_padded()
        mean = asr.values.sum(1, keepdim=True) / asr.lengths.view(-1, 1, 1)
        values = frames.values + self.second(mean)
        scale = replace(asr, values=self.second(asr.values)).zero_padded()
        return Encoded(replace(frames, values=values).zero_padded(), (scale,))


class ReadsScale(PlainHead):
    """Needs an encoder with a scale in front of it."""

    def __init__(self, config, encoded: EncodedSpec, n_classes: int) -> None:
        super().__init__(config, encoded, n_classes)
        self.coarse = nn.Linear(encoded.scales[0].size, n_classes)

    def forward(self, encoded: Encoded) -> Prediction:
        prediction = super().forward(encoded)
        scale = encoded.scales[0].zero_padded()
        mean = scale.values.sum(1) / scale.lengths.unsqueeze(1)
        clip_logits = prediction.extras["clip_logits"] + self.coarse(mean)
        extras = {**prediction.extras, "clip_logits": clip_logits}
        return replace(prediction, clip=torch.sigmoid(clip_logits), extras=extras)

    def loss(self, prediction: Prediction, targets: Targets) -> Tensor:
        return super().loss(prediction, targets)


TWO = Setting(
    streams={
        "main": StreamSpec(16, FrameGrid(0.02, 0.01)),
        "asr": StreamSpec(5, FrameGrid(0.03, 0.015)),
    }
)


def test_an_encoder_of_two_streams_runs_the_kit(sed_host):
    check_part("encoder", TwoStreams, host=sed_host, setting=TWO)


def test_a_head_that_reads_a_scale_runs_the_kit(sed_host):
    grid = FrameGrid(0.04, 0.02)
    encoded = EncodedSpec(StreamSpec(12, FrameGrid(0.02, 0.01)), (StreamSpec(6, grid),))
    for law, check in CHECKS["head"].items():
        if law != "bundle":
            check("head", ReadsScale, None, sed_host, Setting(encoded=encoded))


def test_a_head_can_be_tried_behind_an_encoder(sed_host):
    behind = Setting(
        encoder=("crnn", {"channels": (4,), "frequency_pooling": (4,), "rnn_units": 3})
    )
    check_part("head", PlainHead, host=sed_host, setting=behind)


# Import cost and plugins

ENTRY = """
    from sedsdk.hooks import PartSpec, hookimpl
    {first}
    SEDSDK_API = (1, 1)

    @hookimpl
    def sedsdk_encoders():
        yield PartSpec("tiny", "sedsdk.testing.plain:PlainEncoder", "one layer", "test")
"""


def write_module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()


def test_a_heavy_entry_module_is_shown_with_the_line_that_imports(tmp_path, monkeypatch):
    write_module(tmp_path, "heavy_entry", ENTRY.format(first="import torch"), monkeypatch)
    with pytest.raises(LawBroken) as caught:
        check_import_cost("heavy_entry")
    assert caught.value.law == "import cost"
    assert "imports torch at" in caught.value.detail
    assert "heavy_entry.py:3: import torch" in caught.value.detail


def test_a_light_entry_module_passes_and_a_broken_one_shows_its_error(tmp_path, monkeypatch):
    write_module(tmp_path, "light_entry", ENTRY.format(first=""), monkeypatch)
    check_import_cost("light_entry")
    write_module(tmp_path, "broken_entry", "import not_there_at_all", monkeypatch)
    with pytest.raises(LawBroken, match="not_there_at_all"):
        check_import_cost("broken_entry")


def test_the_parts_of_a_plugin_are_listed_and_conform(tmp_path, monkeypatch):
    write_module(tmp_path, "light_entry", ENTRY.format(first=""), monkeypatch)
    host = Host([("my-plugin", importlib.import_module("light_entry"))], discover=False)
    entries = parts_of("my-plugin", host)
    assert [entry.qualified_name for entry in entries] == ["my-plugin/tiny"]
    assert_conforms(entries[0], host=host)
    with pytest.raises(PluginError, match='Did you mean "my-plugin"'):
        parts_of("my-plugins", host)
    failing = Host([("bad", object())], discover=False)
    with pytest.raises(PluginError, match="is failed: states no API range"):
        parts_of("bad", failing)


def test_conditioner_options_reach_the_part(sed_host):
    with pytest.raises(LawBroken, match="'mode': 'append'"):
        CHECKS["conditioner"]["targets move"](
            "conditioner", MovesFeaturesOnly, {"mode": "append"}, sed_host, None
        )
    assert ConditionerConfig(mode="append").mode == "append"
