"""The part under test: how it is built, fed and read, whatever its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from sedsdk.config import PartRef, part, read_model
from sedsdk.contract import PartConfig
from sedsdk.errors import UnknownPart
from sedsdk.hooks import PartKind, PartSpec
from sedsdk.host import Host, PluginRecord, default_host
from sedsdk.offers import Offer, OfferKind
from sedsdk.stages import EncodedSpec, Frontend, StreamSpec
from sedsdk.testing import plain
from sedsdk.testing.batches import (
    Batch,
    EncodedBatch,
    StreamBatch,
    WaveformBatch,
    encoded_batch,
    label_shares,
    ragged_lengths,
    sample_lengths,
    stream_batch,
    waveform_batch,
)
from sedsdk.testing.laws import Trial
from sedsdk.types import FrameGrid

HANDED_PLUGIN = "handed"
HANDED_NAME = f"{HANDED_PLUGIN}/part"
TRAINING_FRAMES = 7

Options = Mapping[str, Any]


def _one_stream() -> dict[str, StreamSpec]:
    return {"main": StreamSpec(16, FrameGrid(0.02, 0.01))}


@dataclass(frozen=True)
class Setting:
    """What surrounds the part under test; the defaults suit most parts.

    Attributes:
        streams: what conditioners and encoders read.
        encoded: what heads read, if no `encoder` is given.
        encoder: name and options of the encoder in front of a head that cannot do with random
            frames, such as one that reads attention maps.
        labels: class names.
        shortest: frames of the shortest clip that the part accepts.
        marker_frames: frames by which a conditioner may smear a feature in time.
        grid_hops: hops by which a frontend's answer to a click may miss the click.
    """

    streams: Mapping[str, StreamSpec] = field(default_factory=_one_stream)
    encoded: EncodedSpec = field(
        default_factory=lambda: EncodedSpec(StreamSpec(12, FrameGrid(0.02, 0.01)))
    )
    encoder: tuple[str, Options] | None = None
    labels: tuple[str, ...] = ("babycry", "glassbreak", "gunshot")
    shortest: int = 1
    marker_frames: int = 1
    grid_hops: float = 1.5


@dataclass(frozen=True)
class Output:
    """One named result.

    Attributes:
        name: what a message calls it.
        values: one row per clip.
        lengths: valid frames per clip; None where there is no time axis.
        is_map: it is an attention map: a picture that nothing learns from, whose features may be
            the frames of the batch.
    """

    name: str
    values: Tensor
    lengths: Tensor | None = None
    is_map: bool = False

    def clip(self, index: int) -> Tensor:
        """Returns the valid part of one clip's result."""
        row = self.values[index]
        return row if self.lengths is None else row[: int(self.lengths[index])]


class Subject:
    """A part of any kind, by name or by class, with its options and its setting.

    Args:
        kind: kind of part.
        part: a name that the host resolves, or the class itself.
        options: for its `Config`.
        host: None for the default one.
        setting: what surrounds the part.

    Raises:
        UnknownPart: no loaded plugin offers the name.
        ConfigError: an option is unknown or wrong.
    """

    def __init__(
        self,
        kind: PartKind,
        part: str | type[Any],
        options: Options | None = None,
        host: Host | None = None,
        setting: Setting | None = None,
    ) -> None:
        self.kind = kind
        self.setting = setting or Setting()
        self.options = dict(options or {})
        self.host = KitHost(host or default_host(), kind, part)
        self.part_class = self.host.load(kind, self.reference.part)
        named = part if isinstance(part, str) else f"{part.__module__}.{part.__qualname__}"
        self.title = f"{kind} {named}" + (f" {self.options}" if self.options else "")

    @property
    def reference(self) -> PartRef:
        """The part as a pipeline config names it."""
        return part(self.host.name, **self.options)

    @property
    def config(self) -> PartConfig:
        """The validated config."""
        model: type[PartConfig] = self.part_class.Config
        return read_model(model, self.options, self.title)

    def trial(self, law: str, batch: Batch | None = None, note: str = "") -> Trial:
        """Returns a trial of a law on a batch."""
        case = "; ".join(text for text in (batch.case if batch else "", note) if text)
        return Trial(law, self.title, case or "none needed")

    def build(self, seed: int = 0) -> Any:
        """Builds the part with seeded weights, fitted if it has to be, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.kind == "frontend":
                made = self.part_class(self.config)
                if made.needs_fit:
                    batch = self.waveforms(made, (30, 20), seed)
                    made.fit([(batch.waveforms, batch.lengths)])
            elif self.kind in ("conditioner", "encoder"):
                made = self.part_class(self.config, self.setting.streams)
            elif self.kind == "head":
                spec = self.encoder.spec if self.encoder else self.setting.encoded
                made = self.part_class(self.config, spec, len(self.setting.labels))
                if made.needs_fit:
                    made.fit(label_shares(made.n_classes))
            else:
                made = self.part_class(self.config, self.setting.labels)
        return made.eval() if isinstance(made, nn.Module) else made

    @cached_property
    def encoder(self) -> Any:
        """The encoder in front of a head, in evaluation mode, or None."""
        if self.setting.encoder is None:
            return None
        name, options = self.setting.encoder
        return Subject("encoder", name, options, self.host.outer, self.setting).build()

    # Batches

    def waveforms(self, made: Frontend, frames: tuple[int, ...], seed: int) -> WaveformBatch:
        """Returns waveforms that give so many frames each, or a few more."""
        generator = torch.Generator().manual_seed(seed)
        return waveform_batch(sample_lengths(made, frames), generator)

    def batch(self, made: Any, lengths: tuple[int, ...], seed: int = 0) -> Any:
        """Returns a random batch for the built part; lengths in frames."""
        generator = torch.Generator().manual_seed(seed)
        if self.kind == "frontend":
            return self.waveforms(made, lengths, seed)
        if self.kind == "head" and self.setting.encoder is None:
            return encoded_batch(made.encoded, lengths, generator)
        streams = stream_batch(self.setting.streams, lengths, len(self.setting.labels), generator)
        if self.kind == "head":
            return EncodedBatch(None, streams, self.encoder)
        return streams

    def batches(self, made: Any) -> Iterator[Any]:
        """Yields random batches, smallest first."""
        for lengths in ragged_lengths(self.setting.shortest):
            yield self.batch(made, lengths)

    def training_batches(self, made: Any) -> Iterator[Any]:
        """Yields those batches that normalisation over a batch can be trained on."""
        for lengths in ragged_lengths(self.setting.shortest):
            if len(lengths) > 1 and max(lengths) >= TRAINING_FRAMES:
                yield self.batch(made, lengths)

    # Results

    def run(self, made: Any, batch: Batch, seed: int = 0) -> list[Output]:
        """Runs the built part on a batch, all its draws from `seed`."""
        if isinstance(batch, WaveformBatch):
            features = made(batch.waveforms, batch.lengths)
            return [Output("features", features.values, features.lengths)]
        if isinstance(batch, EncodedBatch):
            prediction = made(batch.value)
            return [
                Output("clip probabilities", prediction.clip),
                Output("frame probabilities", prediction.frames, prediction.lengths),
            ]
        if self.kind == "conditioner":
            return self._run_conditioner(made, batch, seed)
        encoded = made(batch.inputs)
        outputs = [Output("frames", encoded.frames.values, encoded.frames.lengths)]
        for index, scale in enumerate(encoded.scales):
            outputs.append(Output(f"scale {index}", scale.values, scale.lengths))
        for name, found in encoded.attention.items():
            title = f'attention map "{name}"'
            outputs.append(Output(title, found.values, found.lengths, is_map=True))
        return outputs

    def _run_conditioner(self, made: Any, batch: StreamBatch, seed: int) -> list[Output]:
        targets = batch.targets if made.when == "training" else None
        generator = torch.Generator().manual_seed(seed)
        inputs, moved = made(batch.inputs, targets, generator)
        outputs = [
            Output(f"stream {name}", inputs[name].values, inputs[name].lengths) for name in inputs
        ]
        if moved is not None:
            outputs.append(Output("frame targets", moved.frames, inputs.main.lengths))
            outputs.append(Output("clip targets", moved.clip))
        return outputs


class KitHost(Host):
    """A host that also knows the kit's plain parts and a part handed in as a class.

    Args:
        outer: resolves every other name.
        kind: kind of the part under test.
        part: its name, or its class.
    """

    outer: Host

    def __init__(self, outer: Host, kind: PartKind, part: str | type[Any]) -> None:
        self.outer = outer.outer if isinstance(outer, KitHost) else outer
        super().__init__([plain], discover=False, strict=True)
        self.name = part if isinstance(part, str) else HANDED_NAME
        self._handed = None if isinstance(part, str) else part
        self._handed_kind = kind
        if self._handed is not None:
            self._records.append(PluginRecord(HANDED_PLUGIN, "loaded", api=plain.SEDSDK_API))

    def load(self, kind: PartKind, name: str) -> type[Any]:
        """Returns the class behind a name, handed in or loaded."""
        if self._handed is not None and (kind, name) == (self._handed_kind, HANDED_NAME):
            return self._handed
        return super().load(kind, name)

    def record(self, plugin: str) -> PluginRecord | None:
        """Returns the record of a plugin."""
        return self.outer.record(plugin) or super().record(plugin)

    @property
    def plugins(self) -> list[PluginRecord]:
        """Every plugin of the outer host, and the kit's own."""
        own = [record for record in self._records if self.outer.record(record.name) is None]
        return [*self.outer.plugins, *own]

    def _find(self, kind: OfferKind, name: str) -> Offer:
        if self._handed is not None and (kind, name) == (self._handed_kind, HANDED_NAME):
            target = f"{self._handed.__module__}:{self._handed.__name__}"
            return Offer(kind, PartSpec("part", target, "under test", ""), HANDED_PLUGIN)
        try:
            return super()._find(kind, name)
        except UnknownPart:
            return self.outer._find(kind, name)
