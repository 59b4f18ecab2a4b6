"""The files of an i-vector extractor: where they are, what they hold, whether they fit together.

Formats: ivector/ivector-extractor.cc and gmm/diag-gmm.cc of Kaldi 5.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge import vosk
from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.errors import MissingFile, NotSupported, ShapeError
from kaldi_bridge.ivectors.cmvn import CmvnOptions
from kaldi_bridge.ivectors.options import FILE_KEYS, IvectorOptions, SpliceOptions, cmvn_options
from kaldi_bridge.ivectors.paths import find_in_folder, find_named
from kaldi_bridge.ivectors.posteriors import DiagonalGmm
from kaldi_bridge.source import Reals, Source

Doubles = NDArray[np.float64]

CONF_NAME = "ivector_extractor.conf"
MAX_IVECTOR_TO_FEATURE_DIM = 16  # beyond it the derived K × K matrices outgrow the file they are of


@dataclass(frozen=True, eq=False)
class SubspaceModel:
    """What final.ie holds: each Gaussian's mean is a linear function of the i-vector.

    Attributes:
        matrices: M, the mean of Gaussian g is M_g x, [G, D, K].
        precisions: inverse covariances, [G, D, D].
        prior_offset: mean of the i-vector's first element; the others' is 0.
    """

    matrices: Doubles
    precisions: Doubles
    prior_offset: float


@dataclass(frozen=True, eq=False)
class ExtractorFiles:
    """Everything that an extractor reads.

    Attributes:
        paths: option's key (as `ivector-extractor`) → file.
        options: numbers of ivector_extractor.conf.
        cmvn: options of the normalisation.
        splice: frames joined before the LDA.
        global_sums: statistics of the training data, [2, F + 1].
        lda: [D, width × F], or one column more: an offset.
        ubm: Gaussians that say which frames are alike.
        model: the subspace.
    """

    paths: Mapping[str, Path]
    options: IvectorOptions
    cmvn: CmvnOptions
    splice: SpliceOptions
    global_sums: Doubles
    lda: Doubles
    ubm: DiagonalGmm
    model: SubspaceModel

    @property
    def feature_dim(self) -> int:
        """Dimension F of the features."""
        return int(self.global_sums.shape[1]) - 1

    @classmethod
    def load(cls, path: Path | str) -> ExtractorFiles:
        """Reads a conf file and what it names, or the folder of an extractor.

        Args:
            path: an `ivector_extractor.conf`, or a folder that has one, itself or in `conf`; or a
                folder with final.ie, final.dubm, final.mat, global_cmvn.stats, online_cmvn.conf and
                splice_opts (or splice.conf), read with Kaldi's default options; in a model folder
                of Vosk with max-count at 100, as Vosk sets it.

        Raises:
            MissingFile: a file is not there; the message says where it was looked for.
            KaldiFileError: a file is damaged or an option wrong.
            NotSupported: weights that depend on the i-vector.
            ShapeError: sound files that do not belong together.
        """
        path = Path(path)
        for conf_path in (path / CONF_NAME, path / "conf" / CONF_NAME):
            if path.is_dir() and conf_path.is_file():
                path = conf_path
        if path.is_dir():
            options = IvectorOptions(max_count=vosk.MAX_COUNT if vosk.is_extractor(path) else 0.0)
            paths = {key: find_in_folder(path, key, FILE_KEYS[key]) for key in FILE_KEYS}
        elif path.exists():
            conf = read_conf(path)
            options = IvectorOptions.of(conf)
            paths = _named_files(conf)
        else:
            raise MissingFile(
                f"{path}: neither an {CONF_NAME} nor the folder of an extractor is there."
            )
        global_sums = read_cmvn_sums(paths["global-cmvn-stats"])
        cmvn = cmvn_options(read_conf(paths["cmvn-config"]), global_sums.shape[1] - 1)
        splice = SpliceOptions.of(read_conf(paths["splice-config"]))
        lda = read_lda(paths["lda-matrix"])
        ubm = read_diagonal_gmm(paths["diag-ubm"])
        model = read_subspace_model(paths["ivector-extractor"])
        files = cls(paths, options, cmvn, splice, global_sums, lda, ubm, model)
        files._check()
        return files

    def _check(self) -> None:
        name = {key: str(path) for key, path in self.paths.items()}
        width, dim = self.splice.width, self.feature_dim
        rows, columns = self.lda.shape
        if columns - width * dim not in (0, 1):
            raise ShapeError(
                f"{name['lda-matrix']} has {columns} columns, but {width} frames "
                f"({name['splice-config']}) of {dim} features ({name['global-cmvn-stats']}) need "
                f"{width * dim} or {width * dim + 1}."
            )
        gaussians, model_dim, _ = self.model.matrices.shape
        if not rows == self.ubm.dim == model_dim:
            raise ShapeError(
                f"features of {rows} dimensions behind {name['lda-matrix']}, {self.ubm.dim} in "
                f"{name['diag-ubm']}, {model_dim} in {name['ivector-extractor']}: these files are "
                "not of one extractor."
            )
        if gaussians != self.ubm.count:
            raise ShapeError(
                f"{name['ivector-extractor']} has {gaussians} Gaussians, {name['diag-ubm']} has "
                f"{self.ubm.count}: these files are not of one extractor."
            )


def read_cmvn_sums(path: Path) -> Doubles:
    """Reads global_cmvn.stats, [2, F + 1]: sums and count, then sums of squares."""
    source = Source.open(path)
    sums = _finite(source, source.matrix("double"))
    if sums.ndim != 2 or sums.shape[0] != 2 or sums.shape[1] < 2:
        raise source.fail(f"statistics should be 2 rows of features and a count, got {sums.shape}.")
    if sums[0, -1] <= 0:
        raise source.fail(f"statistics of {sums[0, -1]:g} frames; global ones cannot be empty.")
    return sums


def read_lda(path: Path) -> Doubles:
    """Reads final.mat, [D, columns]."""
    source = Source.open(path)
    matrix = _finite(source, source.matrix())
    if matrix.size == 0:
        raise source.fail("the matrix is empty.")
    return matrix


def read_diagonal_gmm(path: Path) -> DiagonalGmm:
    """Reads final.dubm; the constants stored in it are computed anew, as Kaldi does."""
    source = Source.open(path)
    source.component = source.expect("<DiagGMM>", "<DiagGMMBegin>").strip("<>")
    if source.peek() == "<GCONSTS>":
        source.token()
        source.vector()
    source.expect("<WEIGHTS>")
    weights = _finite(source, source.vector())
    source.expect("<MEANS_INVVARS>")
    means = _finite(source, source.matrix())
    source.expect("<INV_VARS>")
    inverse_variances = _finite(source, source.matrix())
    source.expect("</DiagGMM>", "<DiagGMMEnd>")
    if means.shape != inverse_variances.shape or len(means) != len(weights) or not means.size:
        raise source.fail(
            f"{len(weights)} weights, means {means.shape} and variances {inverse_variances.shape} "
            "do not fit together."
        )
    if weights.min() < 0 or weights.max() == 0:
        raise source.fail("weights must not be negative, nor all 0.")
    if inverse_variances.min() <= 0:
        raise source.fail("inverse variances must be above 0.")
    return DiagonalGmm(weights, means, inverse_variances)


def read_subspace_model(path: Path) -> SubspaceModel:
    """Reads final.ie."""
    source = Source.open(path)
    source.expect("<IvectorExtractor>")
    source.component = "IvectorExtractor"
    source.expect("<w>")
    if source.matrix("double").size:
        raise NotSupported(
            f"{path}: the Gaussians' weights depend on the i-vector; Kaldi has no online i-vectors "
            "for that. Train with ivector-extractor-init --use-weights=false."
        )
    source.expect("<w_vec>")
    source.vector("double")
    source.expect("<M>")
    matrices = _stacked(source, [source.matrix("double") for _ in range(_gaussians(source))])
    source.expect("<SigmaInv>")
    gaussians, dim, ivector_dim = matrices.shape
    if ivector_dim > MAX_IVECTOR_TO_FEATURE_DIM * dim:
        raise source.fail(f"i-vectors of {ivector_dim} dimensions of features of {dim}.")
    precisions = _stacked(source, [source.packed("double") for _ in range(gaussians)])
    if precisions.shape[1:] != (dim, dim):
        raise source.fail(f"matrices of {dim} rows, but precisions of {precisions.shape[1]}.")
    _check_positive_definite(source, precisions)
    source.expect("<IvectorOffset>")
    offset, _ = source.sized_real("double")
    source.expect("</IvectorExtractor>")
    if not np.isfinite(offset):
        raise source.fail(f"the i-vector's offset is {offset}.")
    return SubspaceModel(matrices, precisions, offset)


def _gaussians(source: Source) -> int:
    count = source.count("matrices", 4)
    if count == 0:
        raise source.fail("an extractor without Gaussians.")
    return count


def _stacked(source: Source, arrays: list[Reals]) -> Doubles:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or not arrays[0].size:
        raise source.fail(f"the Gaussians' matrices differ in size or are empty: {sorted(shapes)}.")
    return _finite(source, np.stack(arrays).astype(np.float64))


def _finite(source: Source, values: Reals) -> Doubles:
    if not np.isfinite(values).all():
        raise source.fail("the numbers before this hold NaN or infinity.")
    return values.astype(np.float64)


def _check_positive_definite(source: Source, precisions: Doubles) -> None:
    try:
        np.linalg.cholesky(precisions)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(precisions)[:, 0]
        problem = (
            f"SigmaInv of Gaussian {int(np.argmin(least))} is not positive definite (least "
            f"eigenvalue {least.min():.3g})."
        )
        raise source.fail(problem) from None


def _named_files(conf: Conf) -> dict[str, Path]:
    """Finds what the conf file names; each file may lie beside those found before it."""
    paths: dict[str, Path] = {}
    for key in FILE_KEYS:
        folders = list(dict.fromkeys(path.parent for path in paths.values()))
        paths[key] = find_named(conf, key, folders)
    return paths
