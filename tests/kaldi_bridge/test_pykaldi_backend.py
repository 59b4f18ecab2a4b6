"""The calls made of PyKaldi, against its signatures; its numbers, where it is installed."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import ModuleType

import fake_pykaldi
import numpy as np
import pytest

from kaldi_bridge.archives import read_archive, read_scp
from kaldi_bridge.backends.pykaldi import INSTALL, PyKaldiBackend
from kaldi_bridge.backends.pykaldi_inputs import PyKaldiIvectors, pykaldi_features
from kaldi_bridge.errors import KaldiError, KaldiFileError, MissingFile, MissingLibrary, ShapeError
from kaldi_bridge.features import FeatureOptions
from kaldi_bridge.ivectors import ExtractorFiles

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
NETWORK = """<Nnet3>
input-node name=ivector dim=3
input-node name=input dim=4
component-node name=tdnn1 component=dim9 input=Append(input, ReplaceIndex(ivector, t, 0))
component-node name=prefinal-l component=dim7 input=tdnn1
component-node name=output.affine component=dim8 input=prefinal-l
output-node name=output input=output.affine objective=linear
component-node name=output-xent.log-softmax component=dim8 input=prefinal-l
output-node name=output-xent input=output-xent.log-softmax objective=linear

<NumComponents> 3 """


@pytest.fixture
def installed(monkeypatch):
    fake_pykaldi.install(monkeypatch)


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "final.raw"
    path.write_bytes(b"\0B" + NETWORK.encode())
    return path


def features(n_frames: int = 10) -> np.ndarray:
    return np.arange(n_frames * 4, dtype=np.float32).reshape(n_frames, 4)


class TestAbsent:
    @pytest.fixture(autouse=True)
    def placeholder(self, monkeypatch):
        """A package `kaldi` without nnet3, and none at all, are told the same."""
        for name in [name for name in sys.modules if name.split(".")[0] == "kaldi"]:
            monkeypatch.delitem(sys.modules, name)
        other = ModuleType("kaldi")
        other.__path__ = []
        monkeypatch.setitem(sys.modules, "kaldi", other)

    def test_one_sentence_says_what_to_install(self, model):
        assert not PyKaldiBackend.available()
        assert PyKaldiBackend.why_not() == INSTALL
        with pytest.raises(MissingLibrary) as raised:
            PyKaldiBackend(model)
        assert str(raised.value) == INSTALL
        assert "conda install -c pykaldi pykaldi-cpu" in INSTALL
        assert INSTALL.count(". ") == 0

    def test_features_say_it_too(self):
        with pytest.raises(MissingLibrary, match="conda install -c pykaldi"):
            pykaldi_features(np.zeros(400), FeatureOptions())


@pytest.mark.usefixtures("installed")
class TestContract:
    def test_it_is_found(self):
        assert PyKaldiBackend.available()
        assert PyKaldiBackend.why_not() == ""

    def test_nodes_and_dimensions(self, model):
        backend = PyKaldiBackend(model)
        assert backend.nodes == (
            "tdnn1",
            "prefinal-l",
            "output.affine",
            "output",
            "output-xent.log-softmax",
            "output-xent",
        )
        dims = {node: backend.node_dim(node) for node in backend.nodes}
        assert list(dims.values()) == [9, 7, 8, 8, 8, 8]
        assert (backend.feature_dim, backend.ivector_dim) == (4, 3)

    @pytest.mark.parametrize("node", ["output", "prefinal-l", "output-xent"])
    def test_online_ivectors(self, model, node):
        ivectors = np.ones((2, 3))
        backend = PyKaldiBackend(model)
        found = backend.compute(
            features(), ivectors, node=node, subsampling=3, frames_per_chunk=51, ivector_period=7
        )
        source = {"output": "output.affine", "output-xent": "output-xent.log-softmax"}
        expected = np.zeros((4, backend.node_dim(node)), np.float32)
        expected[:, 0] = features()[::3].sum(1)
        expected[:, 1:6] = [51, 7, len(source.get(node, node)), 2, 6]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32

    def test_one_ivector(self, model):
        found = PyKaldiBackend(model).compute(features(), [1.0, 2.0, 4.0])
        np.testing.assert_array_equal(found[:, 4], np.full(10, 7))

    def test_all_frames_at_once(self, model):
        found = PyKaldiBackend(model).compute(features(), np.ones(3), frames_per_chunk=None)
        np.testing.assert_array_equal(found[:, 1], np.full(10, 10))

    def test_a_network_without_ivectors(self, tmp_path):
        path = tmp_path / "final.raw"
        text = NETWORK.replace("input-node name=ivector dim=3\n", "")
        path.write_text(text.replace("Append(input, ReplaceIndex(ivector, t, 0))", "input"))
        backend = PyKaldiBackend(path)
        assert backend.ivector_dim == 0
        found = backend.compute(features())
        np.testing.assert_array_equal(found[:, 0], features().sum(1))
        with pytest.raises(ShapeError, match="takes no i-vectors"):
            backend.compute(features(), np.ones(3))

    def test_views_and_doubles_are_made_ready(self, model):
        # the wrapper tells NumPy not to copy, and NumPy 2 raises where it must
        x = np.asfortranarray(np.repeat(features().astype(np.float64), 2, 0))[::2]
        found = PyKaldiBackend(model).compute(x, np.ones((3, 2)).T[:, ::1])
        np.testing.assert_array_equal(found[:, 0], features().sum(1))

    def test_a_node_that_needs_no_ivectors(self, model):
        text = NETWORK.replace("Append(input, ReplaceIndex(ivector, t, 0))", "input")
        model.write_text(text)
        found = PyKaldiBackend(model).compute(features(), node="tdnn1")
        np.testing.assert_array_equal(found[:, 0], features().sum(1))

    def test_no_frames(self, model):
        assert PyKaldiBackend(model).compute(np.zeros((0, 4)), np.ones(3)).shape == (0, 8)

    def test_a_compiler_is_kept_for_each_node(self, model):
        backend = PyKaldiBackend(model)
        assert backend._reading("tdnn1")[1] is backend._reading("tdnn1")[1]
        assert backend._reading("tdnn1")[1] is not backend._reading("output")[1]

    def test_mdl_and_gzipped_text(self, tmp_path):
        mdl = tmp_path / "final.mdl"
        transitions = b"<TransitionModel> junk </TransitionModel> "
        mdl.write_bytes(b"\0B" + transitions + NETWORK.encode())
        packed = tmp_path / "final.raw.txt.gz"
        packed.write_bytes(gzip.compress(NETWORK.encode()))
        nodes = PyKaldiBackend(mdl).nodes
        assert PyKaldiBackend(packed).nodes == nodes
        assert "prefinal-l" in nodes

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((np.zeros((5, 3)), np.ones(3)), {}, r"features of shape \[5, 3\]: expected .*F = 4"),
            ((np.zeros((5, 4)), np.ones((2, 4))), {}, "i-vectors of shape"),
            ((np.zeros((5, 4)), np.ones(3)), {"node": "prefinal"}, 'no node "prefinal". Nodes: t'),
            ((np.zeros((5, 4)), np.ones(3)), {"subsampling": 0}, "subsampling is 0"),
            ((np.zeros((5, 4)), np.ones(3)), {"frames_per_chunk": -1}, "frames_per_chunk is -1"),
            ((np.zeros((5, 4)), np.ones(3)), {"ivector_period": 0}, "ivector_period is 0"),
        ],
    )
    def test_what_does_not_fit(self, model, arguments, options, message):
        with pytest.raises(ShapeError, match=message):
            PyKaldiBackend(model).compute(*arguments, **options)

    def test_kaldis_own_errors_keep_their_words(self, model, tmp_path):
        with pytest.raises(KaldiError, match="with i-vectors: Could not get iVector for frame"):
            PyKaldiBackend(model).compute(features(200), np.ones((2, 3)))
        with pytest.raises(KaldiError, match=r"without i-vectors: .*not computable"):
            PyKaldiBackend(model).compute(features(200))
        broken = tmp_path / "broken.raw"
        broken.write_bytes(b"\0B<Nnet2> ")
        with pytest.raises(KaldiError, match=r"broken\.raw: Expected token <Nnet3>"):
            PyKaldiBackend(broken)

    def test_missing_files_and_names_that_kaldi_would_run(self, tmp_path):
        with pytest.raises(MissingFile):
            PyKaldiBackend(tmp_path / "nowhere.raw")
        for name in ("final.raw |", "final.raw:12"):
            trap = tmp_path / name
            trap.write_bytes(NETWORK.encode())
            with pytest.raises(KaldiFileError, match="more than a name"):
                PyKaldiBackend(trap)


@pytest.mark.usefixtures("installed")
class TestInputs:
    def test_features_at_the_scale_of_16_bits(self):
        options = FeatureOptions("mfcc", num_ceps=5, num_mel_bins=30, use_energy=False)
        found = pykaldi_features(np.full(480, 1 / 32768), options)
        np.testing.assert_array_equal(found, np.full((3, 5), 160))

    def test_filterbanks(self):
        found = pykaldi_features(np.zeros(320), FeatureOptions("fbank", num_mel_bins=30))
        assert found.shape == (2, 30)

    @pytest.mark.skipif(
        not GOLDEN.is_dir(), reason="needs the golden files in ../shared/golden/kaldi"
    )
    def test_ivectors_follow_ivector_extract_online2(self):
        files = ExtractorFiles.load(GOLDEN / "conf/ivector_extractor_maxcount.conf")
        extractor = PyKaldiIvectors(files)
        values = extractor._info.values
        assert values["use-most-recent-ivector"] == "false"
        assert float(values["max-count"]) == 8
        assert Path(values["ivector-extractor"]).name == "final.ie"
        first, state = extractor.extract(features(21))
        np.testing.assert_array_equal(first[:, 1], [0, 10, 20])
        np.testing.assert_array_equal(first[:, 2], features(21)[::10].sum(1))
        second, _ = extractor.extract(features(4), state)
        np.testing.assert_array_equal(second, [[21, 0, features()[0].sum()]])
        again, _ = extractor.extract(features(4), state)
        np.testing.assert_array_equal(again, second)

    @pytest.mark.skipif(
        not GOLDEN.is_dir(), reason="needs the golden files in ../shared/golden/kaldi"
    )
    def test_an_option_that_older_kaldis_lack_is_refused_in_words(self):
        files = ExtractorFiles.load(GOLDEN / "conf/ivector_extractor_cmvn.conf")
        with pytest.raises(KaldiError, match="--online-cmvn-iextractor=true"):
            PyKaldiIvectors(files)


WITHOUT = PyKaldiBackend.why_not() or (
    "" if GOLDEN.is_dir() else "needs the golden files in ../shared/golden/kaldi"
)


def _name(path: Path) -> str:
    return f"{path.parents[1].name}/{path.name}"


@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
class TestGolden:
    """The same bounds as for the native backend; needs PyKaldi."""

    @pytest.mark.parametrize("path", sorted(GOLDEN.glob("models/*/out/*.fsf3.ark")), ids=_name)
    def test_nodes(self, path):
        inputs = read_scp(GOLDEN / "feats/mfcc_hires.scp")
        ivectors = read_scp(GOLDEN / "ivectors/ivector_online.scp")
        backend = PyKaldiBackend(path.parents[1] / "final.raw")
        for key, expected in read_archive(path):
            found = backend.compute(
                inputs[key],
                ivectors[key] if backend.ivector_dim else None,
                node=path.name.removesuffix(".fsf3.ark"),
                subsampling=3,
            )
            difference = np.abs(found - expected).max()
            assert difference <= 2e-4 * np.sqrt(np.mean(np.square(expected)))

    def test_ivectors(self):
        inputs = read_scp(GOLDEN / "feats/mfcc_hires.scp")
        files = ExtractorFiles.load(GOLDEN / "conf/ivector_extractor.conf")
        extractor = PyKaldiIvectors(files)
        for key, expected in read_archive(GOLDEN / "ivectors/ivector_online.ark"):
            found, _ = extractor.extract(inputs[key])
            difference = np.abs(found - expected).max()
            assert difference <= 2e-4 * np.sqrt(np.mean(np.square(expected)))
