"""I-vectors of every extractor, what leads to them, and the extractor's files in text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.archives import read_matrix
from kaldi_bridge.errors import MissingFile, NotSupported
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.rows import Arrays, Check, Outcome, compared, over_rms, relative_frobenius
from kaldi_bridge.ivectors import IvectorExtractor
from kaldi_bridge.ivectors.cmvn import OnlineCmvn
from kaldi_bridge.ivectors.files import read_diagonal_gmm, read_subspace_model
from kaldi_bridge.ivectors.posteriors import pruned_posteriors

IVECTOR_BOUND = 2e-4
LARGE_DIM = 80
"""From here on conjugate gradients do not converge and single rows tell little (MANIFEST)."""
TEXT_BOUND = 1e-5

INTERMEDIATES = ("online_cmvn_feats", "lda_normalized_feats", "lda_feats")
_FRAME = re.compile(r"\[([^\]]*)\]")


def ivector_checks(golden: Golden) -> Iterator[Check]:
    """Yields a check for each file of i-vectors and of what leads to them."""
    for path in golden.arrays_in("ivectors/*") + golden.arrays_in("long/*"):
        if path.stem in INTERMEDIATES:
            what = path.stem.replace("_", " ")
            yield Check(golden.claim(path), what, partial(_intermediate, golden, path))
        elif path.stem.startswith("ivector_const"):
            yield Check(golden.claim(path), "last i-vector", partial(_last, golden, path))
        elif path.stem.startswith("ivector"):
            what = "speakers" if path.stem.endswith("_spk") else "recordings"
            yield Check(
                golden.claim(path), f"i-vectors of {what}", partial(_ivectors, golden, path)
            )
    for path in sorted(golden.root.glob("*/ubm_post.txt")):
        golden.claim(path)
        yield Check(path, "UBM posteriors", partial(_posteriors, golden, path))
    yield from _extractor_checks(golden)


def _extractor_checks(golden: Golden) -> Iterator[Check]:
    for path in sorted(golden.root.glob("extractor*/*")):
        if path.name.endswith((".txt", ".txt.gz")):
            golden.claim(path)
            yield Check(path, "text as binary", partial(_as_binary, path))
        elif path.name in ("final.ie", "final.dubm", "final.mat"):
            golden.understood.add(path)  # read by every check of its i-vectors


def _extractor_for(golden: Golden, path: Path) -> IvectorExtractor:
    """The extractor of a file: from its command, else the conf with the longest name in common."""
    written = golden.command_for(path)
    named = written.option("config") if written else None
    if named is not None and "ivector" in named:
        return IvectorExtractor.load(golden.root / named)
    label = path.stem.removeprefix("ivector_online").removeprefix("ivector_const")
    label = re.sub(r"(_spk|_repeat)+$", "", label) if path.stem.startswith("ivector") else ""
    prefix = "ivector_extractor"
    for folder in (path.parent, golden.root / "conf"):
        confs = sorted(folder.glob(f"{prefix}*.conf"), key=lambda conf: -len(conf.stem))
        for conf in confs:
            own = conf.stem.removeprefix(prefix)
            if own == label or (own and label.startswith(own)):
                return IvectorExtractor.load(conf)
    raise MissingFile(f"no {prefix}{label}.conf beside {path.name} or in conf/.")


def _features_for(golden: Golden, path: Path) -> Arrays:
    written = golden.command_for(path)
    named = re.search(r"\sscp:(\S+)", written.text) if written else None
    if named is not None:
        return golden.table(f"scp:{named[1]}")
    for scp in (path.with_name("feats_all.scp"), path.with_name("mfcc_hires.scp")):
        if scp.is_file():
            return golden.table(str(scp.relative_to(golden.root)))
    return golden.table("scp:feats/mfcc_hires.scp")


def _ivectors(golden: Golden, path: Path) -> Outcome:
    expected = golden.reference(path)
    extractor = _extractor_for(golden, path)
    features = _features_for(golden, path)
    if path.stem.endswith("_spk"):
        speakers = golden.lists(golden.nearest("spk2utt.spk", path))
    else:
        speakers = [(key, [key]) for key in expected]
    found: dict[str, NDArray[Any]] = {}
    for _, recordings in speakers:
        state = None
        for key in recordings:
            rows, state = extractor.extract(features[key], state)
            repeated = path.stem.endswith("_repeat")
            found[key] = extractor.repeat(rows, len(features[key])) if repeated else rows
    large = extractor.ivector_dim >= LARGE_DIM
    return compared(found, expected, IVECTOR_BOUND, relative_frobenius if large else over_rms)


def _last(golden: Golden, path: Path) -> Outcome:
    expected = golden.reference(path)
    extractor, features = _extractor_for(golden, path), _features_for(golden, path)
    found = {key: extractor.extract(features[key])[0][-1] for key in expected}
    return compared(found, expected, IVECTOR_BOUND)


def _intermediate(golden: Golden, path: Path) -> Outcome:
    expected = golden.reference(path)
    extractor, features = _extractor_for(golden, path), _features_for(golden, path)
    found = {}
    for key in expected:
        rows = features[key].astype(np.float64)
        if path.stem != "lda_feats":
            rows = normalised(extractor, rows)
        found[key] = projected(extractor, rows) if path.stem.startswith("lda") else rows
    return compared(found, expected, IVECTOR_BOUND)


def normalised(extractor: IvectorExtractor, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the features of one recording after online mean normalisation, [T, F]."""
    nobody = np.zeros_like(extractor.global_sums)
    return OnlineCmvn(extractor.cmvn, extractor.global_sums, nobody).push(rows)


def projected(extractor: IvectorExtractor, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the features of one recording after splice and LDA, [T, D]."""
    frames = np.arange(len(rows))[:, None]
    return extractor.lda.project(rows, frames, len(rows) - 1)[:, 0]


def _posteriors(golden: Golden, path: Path) -> Outcome:
    extractor, features = _extractor_for(golden, path), _features_for(golden, path)
    options, ubm = extractor.options, extractor.ubm
    expected, found = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(" ")
        frames = [
            np.array(each.split(), np.float64).reshape(-1, 2) for each in _FRAME.findall(rest)
        ]
        expected[key] = np.zeros((len(frames), ubm.count))
        for row, pairs in zip(expected[key], frames, strict=True):
            row[pairs[:, 0].astype(int)] = pairs[:, 1]
        rows = projected(extractor, normalised(extractor, features[key].astype(np.float64)))
        likelihoods = ubm.log_likelihoods(rows[:, None])[:, 0]
        best, shares = pruned_posteriors(likelihoods, options.num_gselect, options.min_post)
        found[key] = np.zeros_like(expected[key])
        np.put_along_axis(found[key], best, shares, axis=1)
    return compared(found, expected, IVECTOR_BOUND)


def _as_binary(path: Path) -> Outcome:
    binary = path.with_name(path.name.removesuffix(".gz").removesuffix(".txt"))
    return compared(_held_by(path, binary.name), _held_by(binary, binary.name), TEXT_BOUND)


def _held_by(path: Path, kind: str) -> Arrays:
    if kind == "final.mat":
        return {"matrix": np.asarray(read_matrix(path))}
    if kind == "final.dubm":
        ubm = read_diagonal_gmm(path)
        return {
            "weights": ubm.weights,
            "means": ubm.means_over_variances,
            "inverse variances": ubm.inverse_variances,
        }
    if kind == "final.ie":
        model = read_subspace_model(path)
        gaussians = {f"M {g}": matrix for g, matrix in enumerate(model.matrices)}
        gaussians |= {f"SigmaInv {g}": matrix for g, matrix in enumerate(model.precisions)}
        return {**gaussians, "offset": np.array([model.prior_offset])}
    raise NotSupported(f"{path.name}: text of a file that is no part of an extractor.")
