"""Rows of an embedding: how many a recording gives, where they lie in time, what they depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.features.options import FeatureOptions

if TYPE_CHECKING:
    from kaldi_bridge.acoustic_model import AcousticModel

NUMBERS = 1
"""Raised when the same model and the same audio come to give other numbers than before."""


def first_centre(options: FeatureOptions) -> float:
    """Returns the middle of the first analysis window, in seconds; 0.0125 for most models."""
    return (options.first_sample(0) + options.window_samples / 2) / options.sample_rate


def shortest_clip(options: FeatureOptions) -> int:
    """Returns how many samples give a frame: a window, or half a shift without snip-edges."""
    if options.snip_edges:
        return options.window_samples
    return options.shift_samples - options.shift_samples // 2


def row_count(n_samples: int, options: FeatureOptions, factor: int) -> int:
    """Returns the rows of a recording, at least 1, for one row per `factor` frames."""
    return -(-options.frame_count(max(n_samples, shortest_clip(options))) // factor)


def lengthened(samples: NDArray[np.float32], options: FeatureOptions) -> NDArray[np.float32]:
    """Returns samples [N], N at least 1, continued by their mirror image until they give a frame.

    The last sample is repeated first, as Kaldi does beyond a recording's ends without snip-edges.
    """
    lacking = shortest_clip(options) - len(samples)
    return np.pad(samples, (0, lacking), mode="symmetric") if lacking > 0 else samples


def key_parts(
    digest: str,
    audio: str,
    model: AcousticModel,
    node: str,
    subsampling: int | None,
    frames_per_chunk: int | None,
    **others: Any,
) -> dict[str, object]:
    """Returns what an embedding depends on, as `EmbeddingCache` wants it.

    Args:
        digest: of the model's files.
        audio: digest of the samples and their rate.
        model: gives the subsampling that None stands for.
        node: whose activations.
        subsampling: frames per row; None for the model's own.
        frames_per_chunk: frames that share an i-vector.
        others: backend and precision.
    """
    return {
        "model": digest,
        "audio": audio,
        "node": node,
        "subsampling": subsampling or model.frame_subsampling_factor,
        "frames_per_chunk": frames_per_chunk,
        "numbers": NUMBERS,
        **others,
    }
