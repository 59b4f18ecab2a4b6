"""I-vectors of one recording, read in blocks of any size.

Row k of the result is estimated from frames 0 to k times the period, inclusive, so it comes out
once that frame and the context on its right are there. The arithmetic is done period by period in
fixed shapes: the rows are the same, bit for bit, whatever the blocks' sizes.
Source: online2/online-ivector-feature.cc of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaldi_bridge.errors import KaldiFileError, ShapeError
from kaldi_bridge.ivectors.cmvn import OnlineCmvn
from kaldi_bridge.ivectors.conjugate_gradients import improve, improve_from_afar
from kaldi_bridge.ivectors.posteriors import pruned_posteriors
from kaldi_bridge.ivectors.prepared import PreparedExtractor, Rows
from kaldi_bridge.ivectors.state import SpeakerState, packed_diagonal
from kaldi_bridge.ivectors.statistics import PeriodSums

Doubles = NDArray[np.float64]

FRAMES_AT_ONCE = 640  # these two bound the memory: a few MB at K = 100
PERIODS_AT_ONCE = 64


class IvectorStream:
    """Reads the features of one recording and gives its i-vectors as they become known."""

    def __init__(self, extractor: PreparedExtractor, state: SpeakerState | None = None) -> None:
        """Args:
        extractor: where the i-vectors come from.
        state: what is known of the speaker; nothing, if None.

        Raises:
            ShapeError: the state is of another extractor.
        """
        self._extractor = extractor
        self._before = extractor.initial_state() if state is None else extractor.checked(state)
        self._cmvn = OnlineCmvn(extractor.cmvn, extractor.global_sums, self._before.cmvn_sums)
        self._linear, self._quadratic = self._before.linear, self._before.quadratic
        self._count = self._before.count
        self._ivector = np.zeros(extractor.ivector_dim)
        self._ivector[0] = extractor.prior_offset
        self._moved = False  # whether that start has been left
        self._raw = np.empty((0, extractor.feature_dim))
        self._normalised = self._raw
        self._first = 0  # frame of the recording that is row 0 of the two
        self._received = 0
        self._waiting: list[Doubles] = []  # frames that do not complete an i-vector yet
        self._n_waiting = 0
        self._next = 0  # row of the result
        self._finished = False

    def push(self, rows: ArrayLike) -> Rows:
        """Takes the next frames and returns the i-vectors that are known now, [r, K].

        Args:
            rows: features, [n, F].

        Raises:
            ShapeError: another feature dimension, NaN or infinity, or after `finish`.
        """
        if self._finished:
            raise ShapeError("this recording is finished; start another IvectorStream.")
        values = self._extractor.checked_features(rows, self._received + self._n_waiting)
        self._n_waiting += len(values)
        needed = self._next * self._extractor.period + 1 + self._extractor.splice.right_context
        if self._received + self._n_waiting < needed:
            self._waiting.append(values.astype(np.float64))
            return self._no_rows()
        self._take_waiting()
        found = [self._no_rows()]
        for start in range(0, len(values), FRAMES_AT_ONCE):
            self._take(values[start : start + FRAMES_AT_ONCE].astype(np.float64))
            found.append(self._rows_before(self._received - self._extractor.splice.right_context))
        return np.concatenate(found)

    def finish(self) -> Rows:
        """Ends the recording and returns its last i-vectors, [r, K]; none if it had no frames."""
        if self._finished:
            return self._no_rows()
        self._finished = True
        self._take_waiting()
        return self._rows_before(self._received)

    @property
    def state(self) -> SpeakerState:
        """What is known of the speaker, for the next recording: all frames so far included.

        The i-vector's statistics reach to the last i-vector given, as Kaldi's do.
        """
        self._take_waiting()
        options = self._extractor.options
        state = replace(
            self._before,
            cmvn_sums=self._cmvn.speaker_sums(),
            linear=self._linear.copy(),
            quadratic=self._quadratic.copy(),
            count=self._count,
        )
        return state.limited(options.max_remembered_frames, options.posterior_scale)

    def _no_rows(self) -> Rows:
        return np.empty((0, self._extractor.ivector_dim), np.float32)

    def _take_waiting(self) -> None:
        waiting, self._waiting, self._n_waiting = self._waiting, [], 0
        if waiting:
            self._take(np.concatenate(waiting))

    def _take(self, values: Doubles) -> None:
        """Adds frames to the two buffers and drops those that no i-vector to come needs."""
        splice, period = self._extractor.splice, self._extractor.period
        needed = max(0, (self._next - 1) * period + 1 - splice.left_context)
        old = slice(needed - self._first, None)
        self._raw = np.concatenate([self._raw[old], values])
        self._normalised = np.concatenate([self._normalised[old], self._cmvn.push(values)])
        self._first = needed
        self._received += len(values)

    def _rows_before(self, frame: int) -> Rows:
        """Returns the i-vectors of which all frames are before `frame`."""
        period = self._extractor.period
        end = max(self._next, -(-frame // period))
        rows = [self._no_rows()]
        for begin in range(self._next, end, PERIODS_AT_ONCE):
            periods = np.arange(begin, min(begin + PERIODS_AT_ONCE, end))
            # period k is the frames after those of i-vector k - 1: for k = 0, frame 0 alone
            frames = (periods[:, None] - 1) * period + 1 + np.arange(period)
            with np.errstate(over="ignore", invalid="ignore"):  # what comes out is looked at
                rows.append(self._solved(self._sums(frames)))
        self._next = end
        return np.concatenate(rows)

    def _sums(self, frames: NDArray[np.int64]) -> PeriodSums:
        """Returns the statistics of each period, from its frames' numbers [n, P]."""
        extractor = self._extractor
        options = extractor.options
        last = self._received - 1
        normalised = extractor.lda.project(self._normalised, frames, last, self._first)
        likelihoods = extractor.ubm.log_likelihoods(normalised)
        gaussians, posteriors = pruned_posteriors(
            likelihoods.reshape(-1, likelihoods.shape[-1]), options.num_gselect, options.min_post
        )
        posteriors *= options.posterior_scale
        posteriors[frames.reshape(-1) < 0] = 0.0
        features = normalised
        if not options.online_cmvn_iextractor:
            features = extractor.lda.project(self._raw, frames, last, self._first)
        shape = (*frames.shape, -1)
        return extractor.projected.sums(
            features, gaussians.reshape(shape), posteriors.reshape(shape)
        )

    def _solved(self, sums: PeriodSums) -> Rows:
        """Adds the periods up and returns the i-vector after each, [n, K]."""
        state, dim = self._before, self._extractor.ivector_dim
        counts = np.cumsum(np.concatenate([[self._count], sums.count]))
        if state.max_count > 0:  # the prior gains weight as the count passes max_count
            gains = np.diff(np.maximum(counts, state.max_count)) / state.max_count
            sums.linear[:, 0] += state.prior_offset * gains
            sums.quadratic[:, packed_diagonal(dim)] += gains[:, None]
        linear = np.cumsum(np.concatenate([self._linear[None], sums.linear]), axis=0)
        quadratic = np.cumsum(np.concatenate([self._quadratic[None], sums.quadratic]), axis=0)
        self._linear, self._quadratic = linear[-1].copy(), quadratic[-1].copy()
        self._count = float(counts[-1])

        full = np.take(quadratic[1:], self._extractor.unpacking, axis=1)
        ivectors = np.empty((len(full), dim))
        for row, (matrix, vector) in enumerate(zip(full, linear[1:], strict=True)):
            solve = improve if self._moved or not state.count else improve_from_afar
            self._ivector = ivectors[row] = solve(matrix, vector, self._ivector)
            self._moved = True
        if not np.isfinite(ivectors).all():
            raise KaldiFileError(
                self._extractor.paths["ivector-extractor"],
                f"features from frame {self._next * self._extractor.period} on",
                "no finite i-vector comes out: this file or those beside it hold numbers far too "
                "large, or the features do.",
            )
        rows = ivectors.astype(np.float32)  # before the prior's mean is taken off, as in Kaldi
        rows[:, 0] = rows[:, 0].astype(np.float64) - self._extractor.prior_offset
        return rows
