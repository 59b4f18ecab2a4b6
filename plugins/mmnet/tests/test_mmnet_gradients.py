"""What learns through what: attention through the ensemble alone; finite differences; a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mmnet_twin import randomised
from sedsdk_mmnet.class_weights import WeightedHeadConfig
from sedsdk_mmnet.encoder import MmnetConfig, MmnetConvnet, MmnetResnet
from sedsdk_mmnet.macro import Macro, MacroConfig
from sedsdk_mmnet.macro_micro import MacroMicro, MacroMicroConfig, MacroMicroMs
from sedsdk_mmnet.plat import Plat, PlatConfig
from sedsdk_mmnet.segment_heads import Att, Slat, Wlat
from sedsdk_mmnet.spda import Spda, SpdaConfig
from torch import Tensor

from sedsdk import (
    Encoded,
    EncodedSpec,
    Features,
    FrameGrid,
    Inputs,
    Pipeline,
    StreamSpec,
    Targets,
    compose,
    part,
)

GRID = FrameGrid(0.16, 0.08)
SPEC = EncodedSpec(StreamSpec(4, GRID), (StreamSpec(3, GRID),))
LENGTHS = torch.tensor([5, 3])


def head(made: type[Any], config: type[Any], **options: Any) -> Any:
    torch.manual_seed(0)
    found = made(config(units=3, **options), SPEC, 2)
    if found.needs_fit:
        found.fit(torch.tensor([0.4, 0.1]))
    return randomised(found, seed=1)


def values(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, 5, 4), (2, 5, 3))
    x, scale = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return x.requires_grad_(), scale.requires_grad_()


def encoded(x: Tensor, scale: Tensor) -> Encoded:
    return Encoded(Features(x, LENGTHS, GRID), (Features(scale, LENGTHS, GRID),))


def targets() -> Targets:
    clip = torch.tensor([[1.0, 0], [0, 1]]).double()
    nothing = torch.zeros(2, 5, 2)
    return Targets(clip, torch.ones(2, 2).bool(), nothing, nothing.bool(), GRID)


def attention_of(made: Any) -> list[Tensor]:
    found = [p for name, p in made.named_parameters() if ".attention." in name]
    assert len(found) == len(made.micro)
    return found


def gradients(made: Any, of: list[Tensor], given: Encoded) -> list[Tensor | None]:
    total = made.loss(made(given), targets()).sum()
    return list(torch.autograd.grad(total, of, allow_unused=True))


# The attention


@pytest.mark.parametrize("made", [MacroMicro, MacroMicroMs])
@pytest.mark.parametrize("scale", ["segments", "printed", "mean"])
def test_no_gradient_of_the_micro_loss_flows_through_the_attention(made: Any, scale: str) -> None:
    """With Equation 8's ŷ in the clip loss nothing else could teach f_att: its gradient is 0."""
    plain = head(made, MacroMicroConfig, clip_loss="macro", micro_scale=scale)
    attention = attention_of(plain)
    assert gradients(plain, attention, encoded(*values())) == [None] * len(attention)
    others = [p for name, p in plain.named_parameters() if ".attention." not in name]
    for found in gradients(plain, others, encoded(*values())):
        assert found is not None
        assert bool(found.any())


@pytest.mark.parametrize("made", [MacroMicro, MacroMicroMs])
def test_the_attention_learns_through_the_ensemble_alone(made: Any) -> None:
    """Its gradient is the same to the last bit with ten times the micro loss, and without one."""
    found = []
    for weight in (0.0, 1.0, 10.0):
        ensemble = head(made, MacroMicroConfig, micro_weight=weight)
        attention = attention_of(ensemble)
        found.append(gradients(ensemble, attention, encoded(*values())))
    for none, one, ten in zip(*found, strict=True):
        assert none is not None
        assert one is not None
        assert ten is not None
        assert bool(none.any())
        assert torch.equal(none, one)
        assert torch.equal(none, ten)


def test_the_detector_learns_from_the_micro_loss() -> None:
    found = []
    for weight in (0.0, 1.0):
        made = head(MacroMicro, MacroMicroConfig, micro_weight=weight)
        found.append(gradients(made, [made.micro[0].detection.conv.weight], encoded(*values())))
    assert not torch.allclose(found[0][0], found[1][0])


def test_the_feature_map_gets_no_micro_gradient_through_the_attention() -> None:
    """The loss's gradient by X is that of the loss with a_t put in as a constant."""
    made = head(MacroMicro, MacroMicroConfig, clip_loss="macro")
    x, scale = values()
    whole = gradients(made, [x], encoded(x, scale))[0]
    prediction = made(encoded(x, scale))
    constant = prediction.extras["attention"].detach().clone()
    held = replace(prediction, extras={**prediction.extras, "attention": constant})
    (wanted,) = torch.autograd.grad(made.loss(held, targets()).sum(), x)
    assert whole is not None
    torch.testing.assert_close(whole, wanted, rtol=0, atol=0)


def test_the_extrapolated_labels_send_no_gradient_to_the_macro_net() -> None:
    """PLAT's classifier learns from the clip loss alone."""
    found = []
    for weight in (0.0, 3.0):
        made = head(Plat, PlatConfig, micro_weight=weight)
        found.append(gradients(made, list(made.classifier.parameters()), encoded(*values())))
    for none, some in zip(*found, strict=True):
        assert none is not None
        assert some is not None
        assert torch.equal(none, some)


# Finite differences


@pytest.mark.parametrize(
    ("made", "config", "options"),
    [
        (Macro, MacroConfig, {}),
        (Macro, MacroConfig, {"pooling": "max"}),
        (Wlat, WeightedHeadConfig, {}),
        (Slat, WeightedHeadConfig, {}),
        (Att, WeightedHeadConfig, {}),
        (Spda, SpdaConfig, {"parts": 2}),
        (Plat, PlatConfig, {}),
        (MacroMicro, MacroMicroConfig, {}),
        (MacroMicro, MacroMicroConfig, {"mixing": "logits", "micro_scale": "printed"}),
        (MacroMicroMs, MacroMicroConfig, {}),
    ],
)
def test_gradients_are_those_of_finite_differences(
    made: Any, config: Any, options: dict[str, Any]
) -> None:
    """By the feature maps; what the loss takes as given (a_t, extrapolated labels) is held."""
    subject = head(made, config, **options)
    taken = ("attention", "segment_weights_1", "activation_logits")
    with torch.no_grad():
        base = subject(encoded(*values())).extras
    held = {name: base[name] for name in taken if name in base}

    def loss(x: Tensor, scale: Tensor) -> Tensor:
        prediction = subject(encoded(x, scale))
        fixed = replace(prediction, extras={**prediction.extras, **held})
        found: Tensor = subject.loss(fixed, targets())
        return found + 0 * scale.sum()

    assert torch.autograd.gradcheck(loss, values(), atol=1e-7)


@pytest.mark.parametrize("made", [MmnetConvnet, MmnetResnet])
@pytest.mark.parametrize("train", [False, True])
def test_encoder_gradients_are_those_of_finite_differences(made: Any, train: bool) -> None:
    torch.manual_seed(0)
    config = MmnetConfig(channels=(2, 3, 3), pooling=(2,), pyramid=True)
    encoder = randomised(made(config, {"main": StreamSpec(2, GRID)})).train(train)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64).requires_grad_()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        found = encoder(Inputs({"main": Features(x, torch.tensor([6, 3]), GRID)}))
        return (found.frames.values, *(scale.values for scale in found.scales))

    assert torch.autograd.gradcheck(run, (x,), atol=1e-6)


# Learning


def short_events(seed: int, n_clips: int = 16) -> tuple[Inputs, Targets, list[int]]:
    """Noise of 64 frames, every other clip with a burst of 4 frames in two of six bands."""
    random = np.random.default_rng(seed)
    clips = random.normal(size=(n_clips, 64, 6)).astype(np.float32)
    onsets = [int(random.integers(2, 58)) if row % 2 else -1 for row in range(n_clips)]
    for row, onset in enumerate(onsets):
        if onset >= 0:
            clips[row, onset : onset + 4, 2:4] += 2.5
    grid = FrameGrid(0.01)
    lengths = torch.full((n_clips,), 64)
    clip = torch.tensor([[float(onset >= 0)] for onset in onsets])
    unknown = torch.zeros(n_clips, 64, 1)
    known = torch.ones_like(clip, dtype=torch.bool)
    inputs = Inputs({"main": Features(torch.from_numpy(clips), lengths, grid)})
    return inputs, Targets(clip, known, unknown, unknown.bool(), grid), onsets


def trained(head: str, pyramid: bool = False) -> Pipeline:
    pipeline = compose(
        ["burst"],
        part("log_mel", sample_rate=8000, n_mels=6, n_fft=512, hop_seconds=0.01),
        part("mmnet_resnet", channels=(8, 12, 12, 12), pooling=(2, 2), pyramid=pyramid),
        part(head, units=16),
        seed=0,
    ).train()
    pipeline.head.fit(torch.tensor([0.5]))
    optimiser = torch.optim.SGD(pipeline.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        inputs, labels, _ = short_events(step)
        loss = pipeline.training_losses(inputs, labels, generator).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return pipeline.eval()


@pytest.mark.parametrize(("head", "pyramid"), [("macro_micro", False), ("macro_micro_ms", True)])
def test_clip_labels_alone_teach_where_a_short_event_is(head: str, pyramid: bool) -> None:
    """Unheard clips are tagged, and attention and segment probability peak on the burst."""
    pipeline = trained(head, pyramid)
    inputs, labels, onsets = short_events(1000, n_clips=60)
    with torch.no_grad():
        prediction = pipeline(inputs)
    right = (prediction.clip > 0.5) == (labels.clip > 0.5)
    assert float(right.float().mean()) >= 0.9
    near = {"segments": 0, "attention": 0}
    curves = {"segments": prediction.frames, "attention": prediction.extras["attention"]}
    for row, onset in enumerate(onsets):
        if onset < 0:
            continue
        for name, curve in curves.items():
            centre = 4 * int(curve[row, :, 0].argmax()) + 1.5
            near[name] += abs(centre - (onset + 1.5)) <= 6
    assert near["segments"] >= 27  # of 30
    assert near["attention"] >= 24
