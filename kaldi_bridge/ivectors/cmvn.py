"""Running mean (and variance) normalisation, with what is known before the recording.

Frame t is normalised by the frames max(0, t - window + 1) to t. While there are fewer than
`window`, statistics of the speaker's earlier recordings fill up, then global ones.
Source: feat/online-feature.cc of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

VARIANCE_FLOOR = 1e-20


@dataclass(frozen=True)
class CmvnOptions:
    """What online_cmvn.conf may say; the names are Kaldi's, with underscores.

    Attributes:
        cmn_window: frames that a mean is taken over, the present one included.
        speaker_frames: at most so many frames' worth of the speaker's earlier recordings.
        global_frames: at most so many frames' worth of the global statistics.
        norm_means: whether anything is normalised at all.
        norm_vars: whether variances are normalised too.
        skip_dims: dimensions left as they are.
    """

    cmn_window: int = 600
    speaker_frames: int = 600
    global_frames: int = 200
    norm_means: bool = True
    norm_vars: bool = False
    skip_dims: tuple[int, ...] = ()


class OnlineCmvn:
    """Normalises one recording, block by block; the blocks' sizes do not change a bit."""

    def __init__(self, options: CmvnOptions, global_sums: Doubles, speaker_sums: Doubles) -> None:
        """Args:
        options: window and what is normalised.
        global_sums: [2, F + 1]: sums and count, then sums of squares.
        speaker_sums: the same, of the speaker's earlier recordings; all zero if there are none.
        """
        self._options = options
        self._speaker = _joined(speaker_sums)
        self._frames = 0
        # sums of x and x² over the frames up to t: t = -1, or as far back as the window reaches
        self._history = np.zeros((1, self._speaker.size - 1))
        # of the global statistics Kaldi takes the frames it wants, whatever their count
        speaker_frames = min(options.speaker_frames, self._speaker[-1])
        self._priors = [
            (self._speaker, speaker_frames),
            (_joined(global_sums), options.global_frames),
        ]

    def push(self, rows: Doubles) -> Doubles:
        """Returns the next rows normalised.

        Args:
            rows: [n, F].
        """
        n, dim = rows.shape
        before = len(self._history)
        sums = np.empty((before + n, 2 * dim))
        sums[:before] = self._history
        sums[before:, :dim] = rows
        np.square(rows, out=sums[before:, dim:])
        np.cumsum(sums[before - 1 :], axis=0, out=sums[before - 1 :])

        window = self._options.cmn_window
        counts = np.minimum(np.arange(self._frames + 1, self._frames + n + 1), window)
        last = np.arange(before, before + n)
        moments = sums[last] - sums[last - counts]
        self._frames += n
        self._history = sums[-window:].copy()
        if not self._options.norm_means:
            return rows
        return self._normalised(rows, self._filled_up(moments, counts.astype(np.float64)))

    def speaker_sums(self) -> Doubles:
        """Returns the speaker's sums, all frames of this recording included, [2, F + 1]."""
        joined = self._speaker.copy()
        joined[:-1] += self._history[-1]
        joined[-1] += self._frames
        dim = joined.size // 2
        sums = np.zeros((2, dim + 1))
        sums[0, :dim], sums[1, :dim], sums[0, dim] = joined[:dim], joined[dim:-1], joined[-1]
        return sums

    def _filled_up(self, sums: Doubles, counts: Doubles) -> Doubles:
        """Adds earlier statistics where the window is not full; returns means of x and x²."""
        for prior, limit in self._priors:
            taken = np.minimum(self._options.cmn_window - counts, limit)
            if prior[-1] > 0 and taken.any():
                sums = sums + (taken / prior[-1])[:, None] * prior[:-1]
                counts = counts + taken
        return sums / counts[:, None]

    def _normalised(self, rows: Doubles, moments: Doubles) -> Doubles:
        dim = rows.shape[1]
        means = moments[:, :dim]
        scales = np.ones_like(means)
        if self._options.norm_vars:
            variances = np.maximum(moments[:, dim:] - means**2, VARIANCE_FLOOR)
            scales = 1.0 / np.sqrt(variances)
        skipped = list(self._options.skip_dims)
        means[:, skipped], scales[:, skipped] = 0.0, 1.0
        return (rows - means) * scales


def _joined(sums: Doubles) -> Doubles:
    """Returns [2, F + 1] Kaldi statistics as one vector: sums, sums of squares, count."""
    return np.concatenate([sums[0, :-1], sums[1, :-1], sums[0, -1:]])
