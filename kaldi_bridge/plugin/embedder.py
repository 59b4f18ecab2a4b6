"""Embeddings of recordings of any length, block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.cache import AudioDigest, EmbeddingCache
from kaldi_bridge.plugin.outputs import Embedded
from kaldi_bridge.plugin.rows import first_centre, key_parts, lengthened
from sedsdk.audio import read_blocks
from sedsdk.types import FrameGrid

BLOCK_SECONDS = 10.0
"""Audio that is read at a time."""

Heard = Callable[[float], None]
"""Told how many seconds of the recording have been read."""


@dataclass(frozen=True)
class Embedder:
    """One node of one model, for recordings.

    Attributes:
        model: computes.
        digest: SHA-256 of the model's files.
        node: whose activations.
        subsampling: frames of features per row; None for the model's own.
        frames_per_chunk: frames that share an i-vector.
        spool: folder for the rows of a recording until they are written.
        cache: keeps embeddings by the audio's content, or None.
    """

    model: AcousticModel
    digest: str
    node: str
    subsampling: int | None
    frames_per_chunk: int
    spool: Path
    cache: EmbeddingCache | None = None

    def made_from(self, path: Path) -> dict[str, object]:
        """Returns what the embedding of a recording depends on; reads all of it.

        Raises:
            AudioError: it cannot be read.
        """
        audio = AudioDigest(self.model.sample_rate)
        for block in read_blocks(path, self.model.sample_rate, BLOCK_SECONDS):
            audio.update(block.samples)
        return self._parts(audio)

    def __call__(self, key: str, path: Path, heard: Heard) -> Embedded:
        """Computes the embedding of a recording; its rows lie in a file that has no name.

        With a cache they are in memory, and the recording is read twice.

        Raises:
            AudioError: it cannot be read.
            KaldiError: the network cannot compute it.
        """
        audio = AudioDigest(self.model.sample_rate)
        if self.cache is None:
            rows = self._spooled(self._rows(path, audio, heard))
            return Embedded(key, rows, self._times(len(rows)), self._parts(audio))
        parts = self.made_from(path)
        rows = self.cache.get_or_compute(
            parts, lambda: np.concatenate(list(self._rows(path, audio, heard)))
        )
        return Embedded(key, rows, self._times(len(rows)), parts)

    def _rows(self, path: Path, audio: AudioDigest, heard: Heard) -> Iterator[NDArray[np.float32]]:
        model = self.model
        stream = model.stream(
            node=self.node, subsampling=self.subsampling, frames_per_chunk=self.frames_per_chunk
        )
        for block in read_blocks(path, model.sample_rate, BLOCK_SECONDS):
            audio.update(block.samples)
            samples = block.samples
            if block.start_sample == 0:
                samples = lengthened(samples, model.feature_options)
            yield _as_rows(stream.push(torch.from_numpy(samples)))
            heard((block.start_sample + len(block.samples)) / model.sample_rate)
        yield _as_rows(stream.finish())

    def _spooled(self, pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Puts rows into a temporary file and maps it."""
        n_rows, size = 0, self.model.node_dim(self.node)
        with tempfile.TemporaryFile(dir=self.spool) as file:
            for piece in pieces:
                file.write(piece.tobytes())
                n_rows += len(piece)
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(n_rows, size))

    def _parts(self, audio: AudioDigest) -> dict[str, object]:
        return key_parts(
            self.digest,
            audio.hexdigest(),
            self.model,
            self.node,
            self.subsampling,
            self.frames_per_chunk,
            backend="native",
            precision="float32",
        )

    def _times(self, n_rows: int) -> NDArray[np.float64]:
        factor = self.subsampling or self.model.frame_subsampling_factor
        first = first_centre(self.model.feature_options)
        return FrameGrid(self.model.frame_shift_seconds * factor, first).times(n_rows)


def _as_rows(values: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.float().cpu().numpy())
