"""Online i-vectors, one frame and one Gaussian at a time, in float64, as Kaldi's notes read.

The slow twin of `kaldi_bridge.ivectors`: it shares the arrays that were read and no arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.ivectors.cmvn import CmvnOptions
from kaldi_bridge.ivectors.files import ExtractorFiles

Doubles = NDArray[np.float64]


@dataclass
class PlainState:
    sums: Doubles  # [F], of the speaker's frames
    squares: Doubles
    frames: float
    linear: Doubles  # [K]
    quadratic: Doubles  # [K, K]
    count: float


def plain_state(files: ExtractorFiles) -> PlainState:
    dim, k = files.feature_dim, files.model.matrices.shape[2]
    linear = np.zeros(k)
    linear[0] = files.model.prior_offset
    return PlainState(np.zeros(dim), np.zeros(dim), 0.0, linear, np.eye(k), 0.0)


def plain_cmvn(
    features: Doubles, options: CmvnOptions, global_sums: Doubles, state: PlainState
) -> Doubles:
    if not options.norm_means:
        return features.copy()
    rows = []
    for t in range(len(features)):
        window = features[max(0, t - options.cmn_window + 1) : t + 1]
        count = float(len(window))
        total, squares = window.sum(axis=0), (window**2).sum(axis=0)
        if count < options.cmn_window and state.frames > 0:
            taken = min(options.cmn_window - count, options.speaker_frames, state.frames)
            total = total + taken / state.frames * state.sums
            squares = squares + taken / state.frames * state.squares
            count += taken
        if count < options.cmn_window:
            taken = min(options.cmn_window - count, options.global_frames)
            total = total + taken / global_sums[0, -1] * global_sums[0, :-1]
            squares = squares + taken / global_sums[0, -1] * global_sums[1, :-1]
            count += taken
        mean = total / count
        row = features[t] - mean
        if options.norm_vars:
            row = row / np.sqrt(np.maximum(squares / count - mean**2, 1e-20))
        for dimension in options.skip_dims:
            row[dimension] = features[t, dimension]
        rows.append(row)
    return np.array(rows)


def plain_lda(features: Doubles, files: ExtractorFiles) -> Doubles:
    left, right = files.splice.left_context, files.splice.right_context
    rows = []
    for t in range(len(features)):
        around = [min(max(t + offset, 0), len(features) - 1) for offset in range(-left, right + 1)]
        spliced = np.concatenate([features[frame] for frame in around])
        if files.lda.shape[1] == len(spliced) + 1:
            spliced = np.append(spliced, 1.0)
        rows.append(files.lda @ spliced)
    return np.array(rows)


def plain_posteriors(frame: Doubles, files: ExtractorFiles) -> list[tuple[int, float]]:
    """Pruned posteriors of one frame, best first, without the posterior scale."""
    ubm, options = files.ubm, files.options
    likelihoods = []
    for g in range(len(ubm.weights)):
        precision = ubm.inverse_variances[g]
        mean = ubm.means_over_variances[g] / precision
        density = -0.5 * np.sum(np.log(2 * math.pi / precision) + precision * (frame - mean) ** 2)
        likelihoods.append((g, math.log(ubm.weights[g]) + float(density)))
    best = max(value for _, value in likelihoods)
    floor = best + math.log(options.min_post) if options.min_post > 0 else -math.inf
    kept = [(g, math.exp(value - best)) for g, value in likelihoods if value > floor]
    kept = sorted(kept, key=lambda pair: -pair[1])[: options.num_gselect]
    cut_off = options.min_post * sum(value for _, value in kept)
    while len(kept) > 1 and kept[-1][1] < cut_off:
        kept.pop()
    total = sum(value for _, value in kept)
    return [(g, value / total) for g, value in kept]


def plain_conjugate_gradients(a: Doubles, b: Doubles, x: Doubles, iterations: int = 15) -> Doubles:
    """The notes' section 7, without the exact solution where the steps did harm."""
    x = x.copy()
    residual = a @ x - b
    search = -residual
    squared = last_computed = residual @ residual
    for _ in range(min(iterations, len(b) + 5)):
        alpha = -(search @ residual) / (search @ a @ search)
        x = x + alpha * search
        residual = residual + alpha * (a @ search)
        change = (residual @ residual) / last_computed
        if change < 1e-4 or change > 1e4:
            residual = a @ x - b
            last_computed = residual @ residual
        if residual @ residual < 1e-300:
            break
        search = (residual @ residual) / squared * search - residual
        squared = residual @ residual
    return x


def plain_ivectors(
    features: NDArray[np.floating], files: ExtractorFiles, state: PlainState | None = None
) -> tuple[Doubles, PlainState]:
    """I-vectors [ceil(T / period), K] of one recording, and the speaker's state behind it."""
    state = plain_state(files) if state is None else state
    values = np.asarray(features, np.float64)
    options, model = files.options, files.model
    normalised = plain_lda(plain_cmvn(values, files.cmvn, files.global_sums, state), files)
    heard = normalised if options.online_cmvn_iextractor else plain_lda(values, files)
    linear, quadratic, count = state.linear.copy(), state.quadratic.copy(), state.count
    x = np.zeros(len(linear))
    x[0] = model.prior_offset
    rows = []
    last_row = (len(values) - 1) // options.ivector_period * options.ivector_period
    for t in range(last_row + 1):
        before = _prior_scale(count, options.max_count)
        for g, posterior in plain_posteriors(normalised[t], files):
            weight = posterior * options.posterior_scale
            projected = model.precisions[g] @ model.matrices[g]
            linear += weight * projected.T @ heard[t]
            quadratic += weight * model.matrices[g].T @ projected
            count += weight
        gain = _prior_scale(count, options.max_count) - before
        linear[0] += model.prior_offset * gain
        quadratic += gain * np.eye(len(linear))
        if t % options.ivector_period == 0:
            x = plain_conjugate_gradients(quadratic, linear, x)
            rows.append(x - model.prior_offset * np.eye(len(x))[0])
    after = PlainState(
        state.sums + values.sum(axis=0),
        state.squares + (values**2).sum(axis=0),
        state.frames + len(values),
        linear,
        quadratic,
        count,
    )
    return np.array(rows), _limited(after, files)


def _prior_scale(count: float, max_count: float) -> float:
    return max(count, max_count) / max_count if max_count > 0 else 1.0


def _limited(state: PlainState, files: ExtractorFiles) -> PlainState:
    options = files.options
    if state.frames > options.max_remembered_frames:
        scale = options.max_remembered_frames / state.frames
        state.sums, state.squares = state.sums * scale, state.squares * scale
        state.frames = options.max_remembered_frames
    limit = options.max_remembered_frames * options.posterior_scale
    if state.count > limit:
        scale = limit / state.count
        # what the data said, apart from the prior
        offset = np.zeros(len(state.linear))
        offset[0] = files.model.prior_offset
        prior = _prior_scale(state.count, options.max_count)
        heard = state.linear - prior * offset
        spread = state.quadratic - prior * np.eye(len(offset))
        prior = _prior_scale(limit, options.max_count)
        state.linear = scale * heard + prior * offset
        state.quadratic = scale * spread + prior * np.eye(len(offset))
        state.count = limit
    return state
