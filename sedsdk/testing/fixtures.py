"""The kit's pytest fixtures, and readable ids for parametrised parts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sedsdk.host import Host
    from sedsdk.stages import StreamSpec
    from sedsdk.testing.batches import StreamBatch, WaveformBatch
    from sedsdk.testing.corpus import TinyCorpus


class RaggedBatches:
    """Random batches of clips of unequal length, seeded.

    Args:
        seed: the same seed gives the same sequence of batches.
    """

    def __init__(self, seed: int = 0) -> None:
        import torch

        self.generator = torch.Generator().manual_seed(seed)

    def waveforms(self, lengths: Sequence[int] = (4000, 2500, 3999)) -> WaveformBatch:
        """Returns waveforms [B, N], zero on padding, with `lengths` in samples."""
        from sedsdk.testing.batches import waveform_batch

        return waveform_batch(lengths, self.generator)

    def streams(
        self,
        lengths: Sequence[int] = (20, 7, 13),
        streams: dict[str, StreamSpec] | None = None,
        n_classes: int = 3,
    ) -> StreamBatch:
        """Returns features with targets, with `lengths` in frames of "main".

        Args:
            lengths: frames per clip.
            streams: size and grid per stream; None for one "main" of 16 features.
            n_classes: C.
        """
        from sedsdk.testing.batches import stream_batch
        from sedsdk.testing.subject import Setting

        specs = Setting().streams if streams is None else streams
        return stream_batch(specs, lengths, n_classes, self.generator)


@pytest.fixture
def sed_host() -> Host:
    """A host with the built-in parts only: discovery is off."""
    from sedsdk.host import Host

    return Host(discover=False)


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> TinyCorpus:
    """Six recordings of one second with strong labels, in a folder of this test."""
    from sedsdk.testing.corpus import write_tiny_corpus

    return write_tiny_corpus(tmp_path / "tiny_corpus")


@pytest.fixture
def ragged_batches() -> RaggedBatches:
    """A maker of random ragged batches, seeded."""
    return RaggedBatches()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shows parts by kind and name; other projects' values stay pytest's affair."""
    host = sys.modules.get("sedsdk.host")
    if host is None or not isinstance(val, host.PartEntry):
        return None
    return f"{val.kind} {val.qualified_name}"
