"""The vectorised extractor against its plain twin, over the options of the conf files."""

from __future__ import annotations

import numpy as np
import pytest
from made_extractor import made_features, make_extractor
from plain_ivectors import plain_ivectors

from kaldi_bridge.ivectors import IvectorExtractor
from kaldi_bridge.ivectors.files import ExtractorFiles

SMALL = {"feature_dim": 6, "lda_dim": 5, "gaussians": 9, "ivector_dim": 4, "context": (2, 1)}
NAMES = {
    "ivector-extractor": "final.ie",
    "diag-ubm": "final.dubm",
    "lda-matrix": "final.mat",
    "global-cmvn-stats": "global_cmvn.stats",
    "cmvn-config": "online_cmvn.conf",
    "splice-config": "splice_opts",
}


def written(folder, ivector_conf="", cmvn_conf="", **sizes):
    """Writes a small extractor and a conf file for it; returns the conf's path."""
    make_extractor(folder, **(SMALL | sizes))
    (folder / "online_cmvn.conf").write_text("\n".join(cmvn_conf.split()) + "\n")
    lines = [f"--{key}={name}" for key, name in NAMES.items()] + ivector_conf.split()
    (folder / "ivector_extractor.conf").write_text("\n".join(lines) + "\n")
    return folder / "ivector_extractor.conf"


CONFS = {
    "defaults": ("", "", {}),
    "every frame": ("--ivector-period=1", "", {}),
    "odd period": ("--ivector-period=7 --posterior-scale=1", "", {}),
    "max count": ("--max-count=2.5 --posterior-scale=0.3", "", {}),
    "max count from the start": ("--max-count=0.01", "", {}),
    "short memory": ("--max-remembered-frames=20", "", {}),
    "short memory, max count": ("--max-remembered-frames=20 --max-count=3", "", {}),
    "nothing remembered": ("--max-remembered-frames=0", "", {}),
    "normalised statistics": ("--online-cmvn-iextractor=true", "", {}),
    "all Gaussians": ("--num-gselect=50 --min-post=0", "", {}),
    "best Gaussian": ("--num-gselect=1", "", {}),
    "wide pruning": ("--min-post=0.4", "", {}),
    "variances": ("", "--norm-vars=true", {}),
    "variances, short windows": (
        "--online-cmvn-iextractor=true",
        "--norm-vars=true --cmn-window=9 --speaker-frames=6 --global-frames=4",
        {},
    ),
    "short windows": ("", "--cmn-window=15 --speaker-frames=9 --global-frames=5", {}),
    "window of one frame": ("", "--cmn-window=1", {}),
    "skipped dimensions": ("", "--norm-vars=true --skip-dims=0:3", {}),
    "no normalisation": ("", "--norm-means=false", {}),
    "no offset": ("", "", {"offset_column": False}),
    "no context": ("", "", {"context": (0, 0)}),
    "long context": ("", "", {"context": (12, 9)}),
    "text files": ("", "", {"binary": False}),
    "one Gaussian": ("", "", {"gaussians": 1}),
    "one dimension": ("", "", {"ivector_dim": 1}),
    "more than fifteen dimensions": ("", "", {"ivector_dim": 24, "gaussians": 30}),
}


@pytest.mark.parametrize("name", CONFS)
def test_equals_the_plain_twin(tmp_path, name):
    ivector_conf, cmvn_conf, sizes = CONFS[name]
    path = written(tmp_path, ivector_conf, cmvn_conf, **sizes)
    files, extractor = ExtractorFiles.load(path), IvectorExtractor.load(path)
    state = plain_state = None
    for seed, n_frames in enumerate((31, 1, 48, 20)):
        features = made_features(n_frames, files.feature_dim, seed)
        found, state = extractor.extract(features, state)
        expected, plain_state = plain_ivectors(features, files, plain_state)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(state.count, plain_state.count, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(state.linear, plain_state.linear, rtol=1e-9, atol=1e-9)
        full = state.quadratic[extractor.unpacking]
        np.testing.assert_allclose(full, plain_state.quadratic, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(state.cmvn_sums[0, :-1], plain_state.sums, atol=1e-9)
        np.testing.assert_allclose(state.cmvn_sums[1, :-1], plain_state.squares, atol=1e-9)
        assert state.cmvn_sums[0, -1] == pytest.approx(plain_state.frames)


def test_a_recording_longer_than_the_blocks_that_bound_the_memory(tmp_path):
    path = written(tmp_path, "--ivector-period=3", "--cmn-window=100")
    files, features = ExtractorFiles.load(path), made_features(1500, 6)
    found, _ = IvectorExtractor.load(path).extract(features)
    expected, _ = plain_ivectors(features, files)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_without_a_speaker_the_first_frame_alone_makes_the_first_row(tmp_path):
    """A closed form: with one Gaussian, the posterior is 1 and the system is known."""
    path = written(tmp_path, gaussians=1)
    files, features = ExtractorFiles.load(path), made_features(5, 6)
    found, _ = IvectorExtractor.load(path).extract(features)
    m, s, p = files.model.matrices[0], files.model.precisions[0], 0.1
    spliced = np.concatenate([features[0], features[0], features[0], features[1], [1.0]])
    prior = np.array([files.model.prior_offset, 0, 0, 0])
    q = np.eye(4) + p * m.T @ s @ m
    x = np.linalg.solve(q, prior + p * m.T @ s @ files.lda @ spliced)
    np.testing.assert_allclose(found[0], x - prior, rtol=1e-5, atol=1e-6)
