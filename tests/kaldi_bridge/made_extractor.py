"""I-vector extractors of any size, made on the spot and written in Kaldi's own formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.sink import Sink, opened_atomically

Doubles = NDArray[np.float64]

GLOBAL_FRAMES = 50_000


def make_extractor(
    folder: Path,
    *,
    feature_dim: int = 40,
    lda_dim: int = 40,
    gaussians: int = 512,
    ivector_dim: int = 100,
    context: tuple[int, int] = (3, 3),
    offset_column: bool = True,
    binary: bool = True,
    seed: int = 0,
) -> Path:
    """Writes final.ie, final.dubm, final.mat, global_cmvn.stats, online_cmvn.conf and splice_opts.

    Features near a standard normal distribution (as `made_features` gives) suit it: several
    Gaussians share most frames, and an i-vector moves the means by about their own spread.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    width = context[0] + 1 + context[1]
    lda = random.standard_normal((lda_dim, width * feature_dim)) / np.sqrt(width * feature_dim)
    if offset_column:
        lda = np.concatenate([lda, 0.1 * random.standard_normal((lda_dim, 1))], axis=1)
    _write(folder / "final.mat", binary, lambda sink: sink.matrix(_single(lda)))

    variances = random.uniform(0.5, 2.0, (gaussians, lda_dim))
    means = random.standard_normal((gaussians, lda_dim))
    weights = random.dirichlet(np.full(gaussians, 5.0))
    _write(folder / "final.dubm", binary, lambda sink: _gmm(sink, weights, means, variances))

    offset = 10.0
    matrices = random.standard_normal((gaussians, lda_dim, ivector_dim)) / np.sqrt(ivector_dim)
    matrices[:, :, 0] = means / offset
    roots = random.standard_normal((gaussians, lda_dim, lda_dim)) / np.sqrt(lda_dim)
    precisions = 0.5 * np.eye(lda_dim) + 0.5 * roots @ roots.transpose(0, 2, 1)
    _write(
        folder / "final.ie",
        binary,
        lambda sink: _subspace(sink, weights, matrices, precisions, offset),
    )

    sums = np.zeros((2, feature_dim + 1))
    sums[0, :-1] = GLOBAL_FRAMES * 0.2 * random.standard_normal(feature_dim)
    sums[1, :-1] = GLOBAL_FRAMES * random.uniform(1.0, 2.0, feature_dim)
    sums[0, -1] = GLOBAL_FRAMES
    _write(folder / "global_cmvn.stats", False, lambda sink: sink.matrix(sums))
    (folder / "online_cmvn.conf").write_text("# all defaults\n")
    left, right = context
    (folder / "splice_opts").write_text(f"--left-context={left} --right-context={right}\n")
    return folder


def made_features(n_frames: int, feature_dim: int = 40, seed: int = 0) -> NDArray[np.float32]:
    """Returns features [n_frames, feature_dim] that change slowly, as speech's do."""
    random = np.random.default_rng(seed)
    sounds = 1.5 * random.standard_normal((40, feature_dim))
    chosen = np.repeat(random.integers(0, len(sounds), n_frames // 8 + 1), 8)[:n_frames]
    noise = random.standard_normal((n_frames, feature_dim))
    return np.asarray(sounds[chosen] + noise + sounds[0], np.float32)


def _write(path: Path, binary: bool, write) -> None:  # type: ignore[no-untyped-def]
    with opened_atomically(path) as file:
        write(Sink(file, binary))


def _single(values: Doubles) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _gmm(sink: Sink, weights: Doubles, means: Doubles, variances: Doubles) -> None:
    sink.token("<DiagGMM>")
    sink.token("<GCONSTS>")
    sink.vector(np.zeros(len(weights), np.float32))  # readers compute them anew
    sink.token("<WEIGHTS>")
    sink.vector(_single(weights))
    sink.token("<MEANS_INVVARS>")
    sink.matrix(_single(means / variances))
    sink.token("<INV_VARS>")
    sink.matrix(_single(1 / variances))
    sink.token("</DiagGMM>")


def _subspace(
    sink: Sink, weights: Doubles, matrices: Doubles, precisions: Doubles, offset: float
) -> None:
    sink.token("<IvectorExtractor>")
    sink.token("<w>")
    sink.matrix(np.zeros((0, 0)))
    sink.token("<w_vec>")
    sink.vector(weights)
    sink.token("<M>")
    sink.integer(len(matrices))
    for matrix in matrices:
        sink.matrix(matrix)
    sink.token("<SigmaInv>")
    for precision in precisions:
        sink.packed(precision)
    sink.token("<IvectorOffset>")
    sink.real(offset, "double")
    sink.token("</IvectorExtractor>")
