"""I-vectors and what leads to them, against the outputs of Kaldi's own binaries."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kaldi_bridge.archives import read_archive
from kaldi_bridge.ivectors import ExtractorFiles, IvectorExtractor, IvectorStream
from kaldi_bridge.ivectors.cmvn import CmvnOptions, OnlineCmvn
from kaldi_bridge.ivectors.files import read_diagonal_gmm, read_lda, read_subspace_model
from kaldi_bridge.ivectors.posteriors import pruned_posteriors

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
pytestmark = pytest.mark.skipif(
    not (GOLDEN / "extractor").is_dir(),
    reason="needs the golden files of Kaldi in ../shared/golden/kaldi",
)

TOLERANCE = 2e-4
LARGE_DIM = 80  # from here on the fifteen steps have not converged: judged by Frobenius norms
EACH = [["utt1"], ["utt2"], ["utt3"], ["utt4"]]
SPEAKERS = [["utt1", "utt2", "utt4"], ["utt3"]]
LONG = [["utt5", "utt1", "utt2"]]
CASES = [
    ("ivectors/ivector_online", "conf/ivector_extractor.conf", EACH),
    ("ivectors/ivector_online_spk", "conf/ivector_extractor.conf", SPEAKERS),
    ("ivectors/ivector_online_maxcount", "conf/ivector_extractor_maxcount.conf", EACH),
    ("ivectors/ivector_online_cmvniex", "conf/ivector_extractor_cmvn.conf", EACH),
    ("ivectors/ivector_online_bigk", "conf/ivector_extractor_bigk.conf", EACH),
    ("ivectors/ivector_online_bigk_spk", "conf/ivector_extractor_bigk.conf", SPEAKERS),
    ("long/ivector_online", "conf/ivector_extractor.conf", [["utt5"]]),
    ("long/ivector_online_w_spk", "long/ivector_extractor_w.conf", LONG),
    ("long/ivector_online_mrf200_maxcount10_spk", "long/ivector_extractor_mrf200.conf", LONG),
    ("long/ivector_online_bigk", "conf/ivector_extractor_bigk.conf", [["utt5"]]),
]


def stored(name):
    """Returns the matrices of an archive, by utterance."""
    if (GOLDEN / f"{name}.npz").is_file():
        return dict(np.load(GOLDEN / f"{name}.npz"))
    return dict(read_archive(GOLDEN / f"{name}.ark"))


@pytest.fixture(scope="module")
def features():
    return stored("feats/mfcc_hires") | stored("long/mfcc_hires")


@pytest.fixture(scope="module")
def files():
    return ExtractorFiles.load(GOLDEN / "conf/ivector_extractor.conf")


def assert_near(found, expected):
    assert found.shape == expected.shape
    difference = found.astype(np.float64) - expected
    if expected.shape[-1] >= LARGE_DIM:
        assert np.linalg.norm(difference) <= TOLERANCE * np.linalg.norm(expected)
    else:
        assert np.abs(difference).max() <= TOLERANCE * np.sqrt(np.mean(np.square(expected)))


@pytest.mark.parametrize(("name", "conf", "speakers"), CASES, ids=[case[0] for case in CASES])
def test_ivectors(features, name, conf, speakers):
    extractor, expected = IvectorExtractor.load(GOLDEN / conf), stored(name)
    assert sorted(expected) == sorted(name for names in speakers for name in names)
    for utterances in speakers:
        state = None
        for utterance in utterances:
            found, state = extractor.extract(features[utterance], state)
            assert found.dtype == np.float32
            assert_near(found, expected[utterance])


def test_ivectors_in_blocks_are_kaldis_too(features):
    extractor = IvectorExtractor.load(GOLDEN / "long/ivector_extractor_mrf200.conf")
    expected = stored("long/ivector_online_mrf200_maxcount10_spk")
    state = None
    for utterance in LONG[0]:
        stream = IvectorStream(extractor, state)
        blocks = np.array_split(features[utterance], 23)
        found = [*map(stream.push, blocks), stream.finish()]
        assert_near(np.concatenate(found), expected[utterance])
        state = stream.state


def test_one_row_per_frame(features):
    extractor = IvectorExtractor.load(GOLDEN / "conf/ivector_extractor.conf")
    for utterance, expected in stored("ivectors/ivector_online_repeat").items():
        ivectors, _ = extractor.extract(features[utterance])
        assert_near(extractor.repeat(ivectors, len(features[utterance])), expected)


def test_the_last_row_stands_for_the_recording(features):
    extractor = IvectorExtractor.load(GOLDEN / "conf/ivector_extractor.conf")
    for utterance, expected in stored("ivectors/ivector_const").items():
        assert_near(extractor.extract(features[utterance])[0][-1], expected)


@pytest.mark.parametrize("name", ["ivectors/online_cmvn_feats", "long/online_cmvn_feats"])
def test_normalised_features(features, files, name):
    for utterance, expected in stored(name).items():
        nothing = np.zeros((2, files.feature_dim + 1))
        cmvn = OnlineCmvn(CmvnOptions(), files.global_sums, nothing)
        assert_near(cmvn.push(features[utterance].astype(np.float64)), expected)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("ivectors/online_cmvn_feats", "ivectors/lda_normalized_feats"),
        ("feats/mfcc_hires", "ivectors/lda_feats"),
    ],
)
def test_spliced_projection(source, name):
    extractor = IvectorExtractor.load(GOLDEN / "conf/ivector_extractor.conf")
    rows = stored(source)
    for utterance, expected in stored(name).items():
        frames = np.arange(len(expected))
        values = rows[utterance].astype(np.float64)
        found = extractor.lda.project(values, frames[None], len(frames) - 1)
        assert_near(found[0], expected)


def test_posteriors_of_the_background_model(files):
    normalised = stored("ivectors/lda_normalized_feats")
    for line in (GOLDEN / "ivectors/ubm_post.txt").read_text().splitlines():
        utterance, entries = line.split(maxsplit=1)
        expected = [words.split() for words in re.findall(r"\[([^]]*)\]", entries)]
        rows = normalised[utterance].astype(np.float64)
        likelihoods = files.ubm.log_likelihoods(rows[None])[0]
        gaussians, posteriors = pruned_posteriors(likelihoods, 5, 0.025)
        assert len(expected) == len(rows)
        for words, chosen, values in zip(expected, gaussians, posteriors, strict=True):
            kept = values > 0
            assert chosen[kept].tolist() == [int(word) for word in words[::2]]
            # the features are rounded to float32: log likelihoods of some -100 move by 1e-4
            expected_values = [float(word) for word in words[1::2]]
            np.testing.assert_allclose(values[kept], expected_values, atol=1e-4)


@pytest.mark.parametrize(
    ("read", "binary", "text"),
    [
        (read_lda, "final.mat", "final.mat.txt"),
        (read_diagonal_gmm, "final.dubm", "final.dubm.txt"),
        (read_subspace_model, "final.ie", "final.ie.txt.gz"),
    ],
)
def test_text_files_hold_what_binary_files_hold(read, binary, text):
    def arrays(found):
        return list(vars(found).values()) if hasattr(found, "__dataclass_fields__") else [found]

    folder = GOLDEN / "extractor"
    pairs = zip(arrays(read(folder / binary)), arrays(read(folder / text)), strict=True)
    for of_binary, of_text in pairs:
        np.testing.assert_allclose(of_text, of_binary, rtol=2e-6)


def test_the_folder_alone_is_enough(features):
    extractor = IvectorExtractor.load(GOLDEN / "extractor")
    expected = stored("ivectors/ivector_online")["utt2"]
    assert_near(extractor.extract(features["utt2"])[0], expected)
