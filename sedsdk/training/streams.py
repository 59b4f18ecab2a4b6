"""Streams of recorded clips: computed once, kept on disk, put together into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sedsdk.audio import read_audio
from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.manifest import Clip
from sedsdk.pipeline import Pipeline
from sedsdk.stages import Frontend
from sedsdk.types import MAIN_STREAM, Features, Inputs, Targets

Stored = Mapping[str, np.ndarray]
"""One clip's arrays by stream, as the frontends' `store` gives them."""


class StreamReader:
    """Reads clips as stored streams and turns stored streams into a pipeline's inputs.

    What is stored of an additive frontend are its energies, so fitting it later changes nothing
    on disk. What is stored of another frontend depends on its fitted state, which is part of the
    cache's key, and never on what learns, which is not. A frontend that is not deterministic is
    never cached.

    Args:
        pipeline: whose frontends compute the streams.
        cache_folder: where arrays are kept; None computes them at every reading.
        locks: folder of lock files, where processes share the cache; see `FeatureCache`.
    """

    def __init__(
        self, pipeline: Pipeline, cache_folder: Path | None, locks: Path | None = None
    ) -> None:
        self._pipeline = pipeline
        self._folder = cache_folder
        self._locks = locks
        self._caches: dict[str, FeatureCache | None] = {}

    def read(self, clip: Clip, streams: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Returns the clip's array [T, F] for every stream.

        Args:
            clip: to read.
            streams: names of those wanted; None for all.

        Raises:
            AudioError: the recording cannot be read.
        """
        stored = {}
        for name, frontend in self._frontends().items():
            if streams is not None and name not in streams:
                continue

            def compute(frontend: Frontend = frontend) -> np.ndarray:
                return _stored_values(frontend, clip)

            cache = self._cache(name, frontend)
            stored[name] = compute() if cache is None else cache.get(clip, compute)
        return stored

    def check(self, clip: Clip) -> None:
        """Reads a clip from end to end, and keeps those of its streams that fitting leaves alone.

        Raises:
            AudioError: the recording cannot be read.
        """
        frontends = self._frontends()
        kept = [
            name
            for name, frontend in frontends.items()
            if frontend.additive and self._cache(name, frontend) is not None
        ]
        if kept:
            self.read(clip, kept)
        else:
            rate = frontends[MAIN_STREAM].sample_rate
            read_audio(clip.path, rate, clip.start or 0.0, clip.end)

    def batch(self, clips: Sequence[Stored], device: torch.device | str) -> Inputs:
        """Pads stored clips to one batch on the device, for `Pipeline.finish`."""
        streams = {}
        for name, frontend in self._frontends().items():
            arrays = [torch.from_numpy(np.array(clip[name], dtype=np.float32)) for clip in clips]
            lengths = torch.tensor([len(array) for array in arrays], device=device)
            values = nn.utils.rnn.pad_sequence(arrays, batch_first=True).to(device)
            streams[name] = Features(values, lengths, frontend.stored_spec.grid)
        return Inputs(streams)

    def inputs(self, clips: Sequence[Stored], device: torch.device | str) -> Inputs:
        """Pads stored clips to one batch and finishes the features on the device."""
        return self._pipeline.finish(self.batch(clips, device))

    def main_hop_seconds(self) -> float:
        """Returns the hop of what is stored of stream "main"."""
        return self._frontends()[MAIN_STREAM].stored_spec.grid.hop_seconds

    def cut(self, stored: Stored, start: float, end: float) -> dict[str, np.ndarray]:
        """Returns the part of stored streams between two times, in seconds."""
        pieces = {}
        for name, frontend in self._frontends().items():
            hop = frontend.stored_spec.grid.hop_seconds
            first = round(start / hop)
            pieces[name] = stored[name][first : max(first + 1, round(end / hop))]
        return pieces

    def _frontends(self) -> dict[str, Frontend]:
        return dict(self._pipeline.frontends.items())  # type: ignore[arg-type]

    def _cache(self, name: str, frontend: Frontend) -> FeatureCache | None:
        if self._folder is None or not frontend.deterministic:
            return None
        if name not in self._caches:
            ref = self._pipeline.config.frontends[name].completed("frontend", self._pipeline.host)
            state = "energies" if frontend.additive else _state_digest(frontend)
            key = [ref.model_dump(mode="json"), state]
            self._caches[name] = FeatureCache(self._folder / name, key, self._locks)
        return self._caches[name]


def _stored_values(frontend: Frontend, clip: Clip) -> np.ndarray:
    samples, _ = read_audio(clip.path, frontend.sample_rate, clip.start or 0.0, clip.end)
    waveform = torch.from_numpy(samples).unsqueeze(0).to(frontend.device)
    length = torch.tensor([len(samples)], device=frontend.device)
    with torch.no_grad():
        values = frontend.store(waveform, length).values
    return values[0].cpu().numpy()


def _state_digest(frontend: Frontend) -> str:
    """Returns the SHA-256 of the frontend's state, that of what learns left out."""
    learning = {name for name, value in frontend.named_parameters() if value.requires_grad}
    state = hashlib.sha256()
    for name, value in sorted(frontend.state_dict().items()):
        if name in learning:
            continue
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def clip_targets(
    clips: Sequence[Clip],
    offsets: Sequence[float],
    inputs: Inputs,
    labels: Sequence[str],
) -> Targets:
    """Returns what is known of a batch of clips, on the grid of stream "main".

    Clip labels follow from strong labels where only those are given; frame labels are unknown
    where only clip labels are.

    Args:
        clips: with tags, events or both; events in seconds from the clip's start.
        offsets: seconds into each clip at which its features begin.
        inputs: features of these clips.
        labels: class names in output order; others are left out.
    """
    main = inputs.main
    n_clips, n_frames = main.values.shape[:2]
    index = {label: i for i, label in enumerate(labels)}
    frames = np.zeros((n_clips, n_frames, len(labels)), np.float32)
    clip_labels = np.zeros((n_clips, len(labels)), np.float32)
    strong = np.zeros(n_clips, bool)
    weak = np.zeros(n_clips, bool)
    for row, (clip, offset) in enumerate(zip(clips, offsets, strict=True)):
        length = int(main.lengths[row])
        strong[row] = clip.events is not None
        weak[row] = strong[row] or clip.tags is not None
        for event in clip.events or ():
            begin, end = event.onset - offset, event.offset - offset
            if event.label not in index or end <= 0 or begin >= length * main.grid.hop_seconds:
                continue
            first, last = main.grid.span(begin, end, length)
            frames[row, first:last, index[event.label]] = 1.0
        if clip.events is not None:
            clip_labels[row] = frames[row].max(0, initial=0.0)
        for tag in clip.tags or ():
            if tag in index and clip.events is None:
                clip_labels[row, index[tag]] = 1.0
    device = main.values.device
    known = torch.from_numpy(strong).to(device)
    frame_known = main.mask() & known.unsqueeze(1)
    classes = len(labels)
    return Targets(
        torch.from_numpy(clip_labels).to(device),
        torch.from_numpy(weak).to(device).unsqueeze(1).expand(-1, classes),
        torch.from_numpy(frames).to(device),
        frame_known.unsqueeze(2).expand(-1, -1, classes),
        main.grid,
    )
