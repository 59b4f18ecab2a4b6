"""An extractor's files: where they are found, and what is said of those that are no good."""

from __future__ import annotations

import contextlib
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_extractor import made_features, make_extractor

from kaldi_bridge.errors import KaldiError, KaldiFileError, MissingFile, NotSupported, ShapeError
from kaldi_bridge.ivectors import ExtractorFiles, IvectorExtractor
from kaldi_bridge.sink import Sink

NAMES = ["final.ie", "final.dubm", "final.mat", "global_cmvn.stats"]
FEATURES = made_features(25, 6)


def small(folder, **sizes):
    defaults = {"feature_dim": 6, "lda_dim": 5, "gaussians": 3, "ivector_dim": 4}
    return make_extractor(folder, **(defaults | sizes))


def conf_lines(folder, splice="splice_opts", **changes):
    lines = {
        "ivector-extractor": f"{folder}/final.ie",
        "diag-ubm": f"{folder}/final.dubm",
        "lda-matrix": f"{folder}/final.mat",
        "global-cmvn-stats": f"{folder}/global_cmvn.stats",
        "cmvn-config": f"{folder}/online_cmvn.conf",
        "splice-config": f"{folder}/{splice}",
    }
    lines |= {key.replace("_", "-"): value for key, value in changes.items()}
    return "".join(f"--{key}={value}\n" for key, value in lines.items() if value is not None)


@pytest.fixture
def folder(tmp_path):
    return small(tmp_path / "exp/nnet3/extractor")


@pytest.fixture
def rows(folder):
    return IvectorExtractor.load(folder).extract(FEATURES)[0]


class TestPaths:
    def same(self, conf, rows):
        np.testing.assert_array_equal(IvectorExtractor.load(conf).extract(FEATURES)[0], rows)

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def test_absolute(self, folder, rows, tmp_path):
        self.same(self.write(tmp_path / "elsewhere/a.conf", conf_lines(folder)), rows)

    def test_relative_to_the_working_folder(self, folder, rows, tmp_path, monkeypatch):
        conf = self.write(tmp_path / "a/b/c.conf", conf_lines("exp/nnet3/extractor"))
        monkeypatch.chdir(tmp_path)
        self.same(conf, rows)

    def test_relative_to_a_folder_above_the_conf(self, folder, rows, tmp_path):
        conf = tmp_path / "exp/nnet3/ivectors_test/conf/ivector_extractor.conf"
        self.same(self.write(conf, conf_lines("exp/nnet3/extractor")), rows)

    def test_absolute_on_another_machine(self, folder, rows, tmp_path):
        conf = tmp_path / "exp/nnet3/ivectors_test/conf/ivector_extractor.conf"
        foreign = "/export/b07/someone/egs/librispeech/s5/exp/nnet3/extractor"
        self.same(self.write(conf, conf_lines(foreign)), rows)

    def test_by_name_beside_the_conf(self, folder, rows):
        conf = folder / "ivector_extractor.conf"
        self.same(self.write(conf, conf_lines("/gone/with/it")), rows)
        self.same(folder, rows)

    def test_by_name_beside_the_other_files(self, folder, rows, tmp_path):
        text = conf_lines("/gone", ivector_extractor=folder / "final.ie")
        self.same(self.write(tmp_path / "conf/a.conf", text), rows)

    def test_a_folder_with_a_conf_in_it(self, folder, rows, tmp_path):
        self.write(tmp_path / "model/conf/ivector_extractor.conf", conf_lines(folder))
        self.same(tmp_path / "model", rows)

    def test_splice_conf_or_splice_opts(self, folder, rows):
        (folder / "splice_opts").rename(folder / "splice.conf")
        self.same(folder, rows)

    def test_missing_says_the_key_and_every_place(self, folder, tmp_path):
        conf = tmp_path / "exp/nnet3/conf/a.conf"
        text = conf_lines(folder, lda_matrix="/export/s5/exp/gone/final.lda")
        with pytest.raises(MissingFile) as error:
            IvectorExtractor.load(self.write(conf, text))
        message = str(error.value)
        assert f"{conf}: --lda-matrix=/export/s5/exp/gone/final.lda is not there" in message
        for place in (
            "/export/s5/exp/gone/final.lda",
            conf.parent / "exp/gone/final.lda",
            tmp_path / "exp/gone/final.lda",
            tmp_path / "gone/final.lda",
            conf.parent / "final.lda",
            folder / "final.lda",
        ):
            assert f"\n  {place}" in message

    def test_a_file_that_is_not_named(self, folder, tmp_path):
        conf = self.write(tmp_path / "a.conf", conf_lines(folder, diag_ubm=None))
        with pytest.raises(MissingFile, match="--diag-ubm is not set"):
            IvectorExtractor.load(conf)

    @pytest.mark.parametrize("name", [*NAMES, "online_cmvn.conf", "splice_opts"])
    def test_a_folder_that_lacks_one(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(MissingFile, match=name):
            IvectorExtractor.load(folder)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(MissingFile, match="neither"):
            IvectorExtractor.load(tmp_path / "nothing")

    @pytest.mark.parametrize("command", ["cat final.mat |", "-", "|"])
    def test_commands_are_not_run(self, folder, tmp_path, command):
        conf = self.write(tmp_path / "a.conf", conf_lines(folder, lda_matrix=command))
        with pytest.raises(KaldiFileError, match="lda-matrix"):
            IvectorExtractor.load(conf)


class TestOptions:
    def load(self, folder, ivector_conf="", cmvn_conf=None):
        conf = folder / "ivector_extractor.conf"
        conf.write_text(conf_lines(folder) + ivector_conf)
        if cmvn_conf is not None:
            (folder / "online_cmvn.conf").write_text(cmvn_conf)
        return ExtractorFiles.load(conf)

    def test_defaults_are_the_recipes(self, folder):
        options = ExtractorFiles.load(folder).options
        assert (options.num_gselect, options.ivector_period, options.max_count) == (5, 10, 0)
        assert options.min_post == pytest.approx(0.025)
        assert options.posterior_scale == pytest.approx(0.1)
        assert options.max_remembered_frames == 1000

    def test_all_are_read(self, folder):
        files = self.load(
            folder,
            "--ivector-period=5\n--num_gselect=3\n--min-post=0.1\n--posterior-scale=0.5\n"
            "--max-count=100\n--max-remembered-frames=50\n--online-cmvn-iextractor=true\n"
            "--use-most-recent-ivector=false\n--greedy-ivector-extractor=false\n",
            "--cmn-window=300\n--speaker-frames=100 # less\n--global-frames=20\n--norm-vars\n",
        )
        options, cmvn = files.options, files.cmvn
        assert (options.ivector_period, options.num_gselect, options.max_count) == (5, 3, 100)
        assert options.max_remembered_frames == 50
        assert options.online_cmvn_iextractor
        assert (cmvn.cmn_window, cmvn.speaker_frames, cmvn.global_frames) == (300, 100, 20)
        assert cmvn.norm_means
        assert cmvn.norm_vars

    @pytest.mark.parametrize("value", ["true", "false"])
    def test_most_recent_changes_nothing(self, folder, rows, value):
        self.load(folder, f"--use-most-recent-ivector={value}\n")
        found, _ = IvectorExtractor.load(folder).extract(FEATURES)
        np.testing.assert_array_equal(found, rows)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("--max-cuont=100", "Did you mean --max-count"),
            ("--greedy-ivector-extractor=true", "not supported"),
            ("--ivector-period=0", "ivector-period"),
            ("--ivector-period=1000000000", "ivector-period"),
            ("--num-gselect=0", "num-gselect"),
            ("--min-post=0.5", "below 0.5"),
            ("--min-post=-1", "min-post"),
            ("--posterior-scale=0", "above 0"),
            ("--posterior-scale=1.5", "posterior-scale"),
            ("--max-count=nan", "max-count"),
            ("--max-remembered-frames=-1", "max-remembered-frames"),
            ("--online-cmvn-iextractor=maybe", "true or false"),
        ],
    )
    def test_wrong_ones_are_refused_with_their_line(self, folder, line, message):
        with pytest.raises(KaldiFileError, match=message) as error:
            self.load(folder, line + "\n")
        assert error.value.where == "line 7"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("--cmn-windwo=300", "Did you mean --cmn-window"),
            ("--cmn-window=0", "cmn-window"),
            ("--norm-means=false --norm-vars=true", "together with the means"),
            ("--skip-dims=6", "dimensions from 0 to 5"),
            ("--skip-dims=1:x", "dimensions from 0 to 5"),
        ],
    )
    def test_wrong_normalisation_is_refused(self, folder, text, message):
        with pytest.raises(KaldiFileError, match=message):
            self.load(folder, cmvn_conf=text + "\n")

    def test_wrong_splicing_is_refused(self, folder):
        (folder / "splice_opts").write_text("--left-context=-1 --right-context=3\n")
        with pytest.raises(KaldiFileError, match="left-context"):
            ExtractorFiles.load(folder)


def mixed(folder, tmp_path, name, **sizes):
    """Puts one file of an extractor of another size in its place."""
    other = small(tmp_path / "other", **sizes)
    shutil.copy(other / name, folder / name)
    return folder


class TestFilesThatDoNotFit:
    @pytest.mark.parametrize(
        ("name", "sizes", "message"),
        [
            ("final.mat", {"feature_dim": 7}, "50 columns, but 7 frames"),
            ("global_cmvn.stats", {"feature_dim": 5}, "43 columns, but 7 frames"),
            ("final.mat", {"lda_dim": 6}, "not of one extractor"),
            ("final.dubm", {"lda_dim": 6}, "not of one extractor"),
            ("final.ie", {"lda_dim": 6}, "not of one extractor"),
            ("final.dubm", {"gaussians": 4}, "has 3 Gaussians, .* has 4"),
            ("final.ie", {"gaussians": 4}, "has 4 Gaussians, .* has 3"),
        ],
    )
    def test_are_refused_by_name(self, folder, tmp_path, name, sizes, message):
        with pytest.raises(ShapeError, match=message):
            IvectorExtractor.load(mixed(folder, tmp_path, name, **sizes))


def write_model(path, matrices, precisions, *, w=None, offset=1.0):
    with path.open("wb") as file:
        sink = Sink(file, binary=True)
        sink.token("<IvectorExtractor>")
        sink.token("<w>")
        sink.matrix(np.zeros((0, 0)) if w is None else w)
        sink.token("<w_vec>")
        sink.vector(np.ones(len(matrices)))
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


class TestModels:
    @pytest.mark.parametrize(
        ("change", "kind", "message"),
        [
            ("weights", NotSupported, "weights depend on the i-vector"),
            ("indefinite", KaldiFileError, "Gaussian 1 is not positive definite"),
            ("nan", KaldiFileError, "NaN or infinity"),
            ("sizes", KaldiFileError, "differ in size"),
            ("precisions", KaldiFileError, "precisions of 4"),
            ("offset", KaldiFileError, "offset is nan"),
            ("wide", KaldiFileError, "i-vectors of 200 dimensions"),
            ("none", KaldiFileError, "without Gaussians"),
        ],
    )
    def test_that_cannot_be_used(self, folder, change, kind, message):
        matrices = list(np.random.default_rng(0).standard_normal((3, 5, 4)))
        precisions = [np.eye(5) for _ in range(3)]
        more = {}
        if change == "weights":
            more["w"] = np.ones((3, 4))
        elif change == "indefinite":
            precisions[1] = np.diag([1.0, 1, -0.01, 1, 1])
        elif change == "nan":
            matrices[2][0, 0] = np.nan
        elif change == "sizes":
            matrices[1] = np.ones((5, 3))
        elif change == "precisions":
            precisions = [np.eye(4)] * 3
        elif change == "offset":
            more["offset"] = np.nan
        elif change == "wide":
            matrices = [np.ones((5, 200))] * 3
        elif change == "none":
            matrices, precisions = [], []
        write_model(folder / "final.ie", matrices, precisions, **more)
        with pytest.raises(kind, match=message) as error:
            IvectorExtractor.load(folder)
        assert str(folder / "final.ie") in str(error.value)

    def test_numbers_beyond_reason_are_refused_when_they_matter(self, folder):
        matrices = np.full((3, 5, 4), 1e200)
        write_model(folder / "final.ie", matrices, np.array([np.eye(5)] * 3))
        extractor = IvectorExtractor.load(folder)
        with pytest.raises(KaldiFileError, match="no finite i-vector"):
            extractor.extract(FEATURES)

    def test_single_precision_is_read_too(self, folder):
        files = ExtractorFiles.load(folder)
        matrices, precisions = files.model.matrices, files.model.precisions
        single = folder / "final.ie"
        write_model(single, matrices.astype(np.float32), precisions.astype(np.float32), offset=10.0)
        again = ExtractorFiles.load(folder).model
        np.testing.assert_allclose(again.matrices, matrices, rtol=1e-6)
        assert again.matrices.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" [ 1 2 3 ]\n", "2 rows"),
        (" [\n 1 2 0\n 1 2 0 ]\n", "0 frames"),
        (" [\n 1 nan 5\n 1 2 0 ]\n", "NaN"),
        (" [\n 1 2 5\n 1 2 ]\n", "row"),
        ("", "expected"),
    ],
)
def test_statistics_that_are_none(folder, text, message):
    (folder / "global_cmvn.stats").write_text(text)
    with pytest.raises(KaldiFileError, match=message):
        IvectorExtractor.load(folder)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folders = {
        binary: small(tmp_path_factory.mktemp("fuzz") / "x", binary=binary)
        for binary in (True, False)
    }
    return {
        (binary, name): (folder, (folder / name).read_bytes())
        for binary, folder in folders.items()
        for name in NAMES
    }


@settings(max_examples=300)
@given(data=st.data(), binary=st.booleans(), name=st.sampled_from(NAMES))
def test_damaged_files_give_one_error_of_ours_or_finite_rows(originals, data, binary, name):
    folder, content = originals[binary, name]
    damaged = bytearray(content)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        (folder / name).write_bytes(damaged)
        with np.errstate(all="ignore"), contextlib.suppress(KaldiError):
            found, _ = IvectorExtractor.load(folder).extract(FEATURES)
            assert found.shape == (3, 4)
            assert np.isfinite(found).all()
    finally:
        (folder / name).write_bytes(content)
