"""The rare-event papers' models at their printed sizes, the plain CRNN, and CNN14 beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cnn14
import torch

from sedsdk import Host, PartRef, Pipeline, compose, part

EVENT = ("babycry",)
"""Both papers train one model per event."""
MTFA_CHUNK_SECONDS = 5.12
"""256 frames; the paper does not print how many chunks make a batch."""
POSTPROCESSORS = {
    "mtfa": ("threshold", part("median", seconds=0.54), "to_events"),
    "multires": ("threshold", "clip_gate", "longest_run", "to_events"),
    "gradual": (
        "dynamic_threshold",
        part("median", seconds=0.3),
        "fill_gaps",
        "longest_run",
        "to_events",
    ),
}


@dataclass(frozen=True)
class Configuration:
    """A pipeline and the batch that it is trained on.

    Attributes:
        build: makes the pipeline, with the parts that a host has.
        batch_clips: clips of a training batch.
        batch_seconds: length of each.
        install: what brings its parts, as pip is told; empty for those that are always there.
    """

    build: Callable[[Host], Pipeline]
    batch_clips: int
    batch_seconds: float
    install: str = ""


def host_with_cnn14() -> Host:
    """Returns all installed plugins, and CNN14."""
    return Host([("panns", cnn14)])


def mtfa_input() -> PartRef:
    """1501 frames of 128 bands for 30 s (Zhang et al. 2019, Section 3.2)."""
    return part("log_mel", window_seconds=0.04, hop_seconds=0.02, n_mels=128)


def multires_input() -> PartRef:
    """1305 frames of 64 bands for 30 s (Wang et al. 2019, Section 4)."""
    return part("log_mel", window_seconds=0.046, hop_seconds=0.023, n_mels=64)


def mtfa(host: Host, **options: Any) -> Pipeline:
    """A row of Table 1 of Zhang et al. 2019."""
    encoder = part("mtfa", **options)
    after = POSTPROCESSORS["mtfa"]
    return compose(
        EVENT, mtfa_input(), encoder, "frame_bce", postprocessors=after, host=host, seed=0
    )


def multires(host: Host, **options: Any) -> Pipeline:
    """A row of Tables 1 and 2 of Wang et al. 2019."""
    encoder, head = part("multires_gru", **options), "event_attention"
    after = POSTPROCESSORS["multires"]
    return compose(EVENT, multires_input(), encoder, head, postprocessors=after, host=host, seed=0)


def gradual_input() -> PartRef:
    """600 frames of 40 bands and their neighbours for 30 s, the gradual network's."""
    return part(
        "log_mel",
        sample_rate=16000,
        window_seconds=0.02,
        hop_seconds=0.01,
        n_mels=40,
        drop_last=True,
        normalise="min_max",
        average_frames=5,
        context_frames=2,
    )


def gradual(host: Host, encoder: str) -> Pipeline:
    """A network of the gradual network's paper; its speech embeddings are the bundled model's."""
    frontends = {"main": gradual_input()}
    if encoder != "cbrnn":
        frontends["asr"] = part("tdnnf_embedding", hop_seconds=0.1)
    after = POSTPROCESSORS["gradual"]
    return compose(EVENT, frontends, encoder, "frame_bce", postprocessors=after, host=host, seed=0)


def crnn(host: Host) -> Pipeline:
    """The pipeline of recipe rare/recordings; its frontend is fitted to noise."""
    from sedsdk.training.recipe import load_recipe

    pipeline = Pipeline(load_recipe("rare/recordings", host).pipeline, host, seed=0)
    noise = 0.1 * torch.randn(1, pipeline.sample_rates[0])
    pipeline.frontends["main"].fit([(noise, torch.tensor([noise.shape[1]]))])  # type: ignore[operator]
    return pipeline


def cnn14_at(frontend: Callable[[], PartRef], host: Host) -> Pipeline:
    """CNN14 with its 527 classes, at the input of one of the papers."""
    classes = [f"class {number}" for number in range(cnn14.CLASSES)]
    return compose(
        classes, frontend(), "cnn14", "cnn14_tags", postprocessors=["threshold"], host=host, seed=0
    )


def _mtfa(mask: str) -> Configuration:
    return Configuration(partial(mtfa, mask=mask), 32, MTFA_CHUNK_SECONDS, "plugins/mtfa")


def _multires(**options: Any) -> Configuration:
    return Configuration(partial(multires, **options), 10, 30.0, "plugins/multires_rnn")


def _gradual(encoder: str) -> Configuration:
    return Configuration(partial(gradual, encoder=encoder), 8, 30.0, "plugins/gradual")


CONFIGURATIONS = {
    "mtfa-hourglass": _mtfa("hourglass"),
    "mtfa-resnet": _mtfa("resnet"),
    "mtfa-none": _mtfa("none"),
    "multires-uni": _multires(direction="uni", multi_resolution=False, layers=3),
    "multires-bi": _multires(direction="bi", multi_resolution=False, layers=3),
    "multires-3": _multires(layers=3),
    "multires-4": _multires(layers=4),
    "cbrnn": _gradual("cbrnn"),
    "gradual": _gradual("gradual"),
    "asr-finetune": _gradual("asr_finetune"),
    "crnn": Configuration(crnn, 64, 10.0),
    "cnn14-128": Configuration(partial(cnn14_at, mtfa_input), 32, MTFA_CHUNK_SECONDS),
    "cnn14-64": Configuration(partial(cnn14_at, multires_input), 10, 30.0),
}
