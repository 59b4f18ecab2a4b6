"""Layouts of recipes, releases, online folders and Vosk, built on the spot."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from made_extractor import make_extractor

from kaldi_bridge.directory import ModelFiles, find_model
from kaldi_bridge.errors import KaldiFileError, MissingFile, NotSupported, ShapeError
from kaldi_bridge.ivectors import ExtractorFiles
from kaldi_bridge.ivectors.cmvn import CmvnOptions
from kaldi_bridge.ivectors.options import FILE_KEYS, cmvn_options

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
HIRES = "--use-energy=false\n--num-mel-bins=40\n--num-ceps=40\n--low-freq=20\n--high-freq=-400\n"


def put(path: Path, text: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def network(input_dim: int = 40, ivector_dim: int = 100) -> bytes:
    """The head of a binary model: what nnet3 writes before its components."""
    nodes = [f"input-node name=ivector dim={ivector_dim}"] if ivector_dim else []
    nodes += [f"input-node name=input dim={input_dim}", "output-node name=output input=input"]
    head = "<Nnet3> \n" + "\n".join(nodes) + "\n\n<NumComponents> "
    return b"\0B<TransitionModel> \4" + bytes(3000) + head.encode() + b"\4\1\0\0\0"


def cmvn(files: ModelFiles) -> CmvnOptions:
    return cmvn_options(files.require_cmvn_settings(), files.feature_dim)


def put_extractor(folder: Path, ie: bytes = b"\0B<IvectorExtractor> ") -> Path:
    for name in ("final.dubm", "final.mat", "global_cmvn.stats", "online_cmvn.conf"):
        put(folder / name)
    put(folder / "splice_opts", "--left-context=3 --right-context=3")
    put(folder / "final.ie", ie)
    return folder


def librispeech(root: Path, dims: bytes | None = None) -> Path:
    """The two archives of release 0013 unpacked in one folder; neither has a feature conf."""
    model = root / "exp/chain_cleaned/tdnn_1d_sp"
    put(model / "final.mdl", dims or network())
    put(model / "0.mdl")
    put(model / "0.trans_mdl")
    put(model / "tree")
    put(model / "phones.txt", "<eps> 0\nSIL 1\n")
    put(model / "cmvn_opts", "--norm-means=false --norm-vars=false\n")
    put(model / "frame_subsampling_factor", "3\n")
    put(model / "configs/final.config")
    put_extractor(root / "exp/nnet3_cleaned/extractor")
    return model


class TestRecipe:
    def test_the_librispeech_release_needs_nothing_else(self, tmp_path):
        model = librispeech(tmp_path)
        files = find_model(model)
        assert files.model == model / "final.mdl"
        assert (files.feature_dim, files.ivector_dim) == (40, 100)
        assert files.frame_subsampling_factor == 3
        assert files.extractor == tmp_path / "exp/nnet3_cleaned/extractor"
        assert "nnet3_cleaned goes with exp/chain_cleaned" in files.origin["extractor"]
        assert files.tree == model / "tree"
        assert files.phones == model / "phones.txt"
        assert files.cmvn_opts == "--norm-means=false --norm-vars=false"
        assert not files.online_cmvn

    def test_a_missing_feature_conf_is_built_in_and_says_so(self, tmp_path):
        files = find_model(librispeech(tmp_path))
        features = files.require_features()
        assert (features.kind, features.dim, features.path) == ("mfcc", 40, None)
        expected = dict(line[2:].split("=") for line in HIRES.split())
        assert dict(features.settings) == expected
        assert files.origin["feature_conf"] == "built in"
        assert any("mfcc_hires.conf" in note and "8 kHz" in note for note in files.notes)
        options = features.options()
        assert (options.num_mel_bins, options.num_ceps) == (40, 40)
        assert (options.low_freq, options.high_freq) == (20, -400)
        assert options.use_energy is False
        assert options.sample_frequency == 16000

    def test_the_root_of_a_release_is_as_good_as_its_model_folder(self, tmp_path):
        model = librispeech(tmp_path)
        assert find_model(tmp_path).model == model / "final.mdl"
        assert find_model(tmp_path).extractor == tmp_path / "exp/nnet3_cleaned/extractor"

    def test_the_recipes_conf_wins_over_what_is_built_in(self, tmp_path):
        model = librispeech(tmp_path)
        put(tmp_path / "conf/mfcc.conf", "--use-energy=false\n")
        hires = put(tmp_path / "conf/mfcc_hires.conf", HIRES)
        put(tmp_path / "conf/online_cmvn.conf")
        files = find_model(model)
        assert files.feature_conf == hires
        assert not files.notes
        assert "feature_conf" not in files.missing

    def test_among_confs_the_one_with_the_networks_dimension(self, tmp_path):
        model = librispeech(tmp_path, network(13, 0))
        put(tmp_path / "conf/mfcc_hires.conf", HIRES)
        plain = put(tmp_path / "conf/mfcc.conf", "--use-energy=false\n")
        assert find_model(model).feature_conf == plain

    @pytest.mark.parametrize(("text", "dim"), [("--num-mel-bins=80\n", 80), ("--use-energy\n", 24)])
    def test_filterbanks_count_their_bands(self, tmp_path, text, dim):
        model = librispeech(tmp_path, network(dim, 0))
        put(tmp_path / "conf/mfcc_hires.conf", HIRES)
        fbank = put(tmp_path / "conf/fbank.conf", text)
        features = find_model(model).require_features()
        assert (features.kind, features.dim, features.path) == ("fbank", dim, fbank)

    def test_features_of_no_known_kind_are_missing_with_what_was_rejected(self, tmp_path):
        model = librispeech(tmp_path, network(43))
        put(tmp_path / "conf/mfcc_hires.conf", HIRES)
        files = find_model(model)
        assert files.features is None
        with pytest.raises(MissingFile, match="gives 40 values per frame, the network takes 43"):
            files.require_features()
        with pytest.raises(MissingFile, match=r"feature_conf=\"\.\.\.\""):
            files.require("feature_conf")


class TestExtractor:
    def test_one_that_is_missing_is_an_error_only_when_asked_for(self, tmp_path):
        model = put(tmp_path / "lonely/final.mdl", network())
        files = find_model(model)
        assert files.extractor is None
        with pytest.raises(MissingFile) as raised:
            files.require("extractor")
        text = str(raised.value)
        assert "i-vector" in text
        for place in ("lonely/conf/ivector_extractor.conf", "ivector/final.ie", "nnet3*/extractor"):
            assert place in text
        assert 'extractor="..."' in text

    def test_a_network_without_ivectors_wants_none(self, tmp_path):
        files = find_model(librispeech(tmp_path, network(40, 0)))
        assert files.extractor is None
        assert files.ivector_dim == 0
        assert "extractor" not in files.missing

    def test_of_several_the_one_that_final_ie_id_names(self, tmp_path):
        model = librispeech(tmp_path)
        other = put_extractor(tmp_path / "exp/nnet3_other/extractor", b"\0B another")
        digest = hashlib.md5(b"\0B another", usedforsecurity=False).hexdigest()
        put(model / "final.ie.id", f"{digest}\n")
        files = find_model(model)
        assert files.extractor == other
        assert "final.ie.id" in files.origin["extractor"]
        assert not any("another extractor" in note for note in files.notes)

    def test_a_record_beside_the_extractor_replaces_its_digest(self, tmp_path):
        model = librispeech(tmp_path)
        other = put_extractor(tmp_path / "exp/nnet3_other/extractor")
        put(other / "final.ie.id", "from-elsewhere\n")
        put(model / "final.ie.id", "from-elsewhere\n")
        assert find_model(model).extractor == other

    def test_several_that_nothing_tells_apart_are_not_guessed_at(self, tmp_path):
        model = put(tmp_path / "exp/chain_x/tdnn/final.mdl", network()).parent
        put_extractor(tmp_path / "exp/nnet3_a/extractor")
        put_extractor(tmp_path / "exp/nnet3_b/extractor")
        files = find_model(model)
        assert files.extractor is None
        with pytest.raises(MissingFile, match="nnet3_a/extractor: one of several"):
            files.require("extractor")

    def test_one_that_was_not_trained_with_the_model_is_noted(self, tmp_path):
        model = librispeech(tmp_path)
        put(model / "final.ie.id", "0123abcd\n")
        notes = find_model(model).notes
        assert any("0123abcd" in note and "another extractor" in note for note in notes)

    def test_given_as_folder_or_conf(self, tmp_path):
        model = librispeech(tmp_path)
        folder = put_extractor(tmp_path / "mine")
        assert find_model(model, extractor=folder).extractor == folder
        conf = put(tmp_path / "mine/conf/ivector_extractor.conf", "--ivector-period=10\n")
        assert find_model(model, extractor=conf).extractor == conf
        assert find_model(model, extractor=tmp_path / "mine").extractor == conf

    def test_given_but_wrong(self, tmp_path):
        model = librispeech(tmp_path)
        with pytest.raises(MissingFile, match="no such file or folder; the i-vector extractor"):
            find_model(model, extractor=tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(MissingFile, match=r"holds no i-vector extractor: neither final\.ie"):
            find_model(model, extractor=tmp_path / "empty")


class TestOnlineFolder:
    @pytest.fixture
    def online(self, tmp_path):
        """What prepare_online_decoding.sh writes, moved away from where it was written."""
        folder, then = tmp_path / "moved/tdnn_online", "/home/someone/exp/chain/tdnn_online"
        put(folder / "final.mdl", network())
        put(folder / "frame_subsampling_factor", "3\n")
        put(folder / "conf/mfcc.conf", HIRES)
        put_extractor(folder / "ivector_extractor")
        put(folder / "conf/splice.conf", "--left-context=3\n--right-context=3\n")
        ie = f"--splice-config={then}/conf/splice.conf\n--max-count=100\n"
        put(folder / "conf/ivector_extractor.conf", ie)
        lines = [
            "--feature-type=mfcc",
            f"--mfcc-config={then}/conf/mfcc.conf",
            f"--ivector-extraction-config={then}/conf/ivector_extractor.conf",
            "--endpoint.silence-phones=1:2:3",
        ]
        put(folder / "conf/online.conf", "\n".join(lines))
        return folder

    def test_absolute_paths_of_another_machine_are_found_again(self, online):
        files = find_model(online)
        assert files.feature_conf == online / "conf/mfcc.conf"
        assert files.extractor == online / "conf/ivector_extractor.conf"
        assert "--ivector-extraction-config" in files.origin["extractor"]
        assert files.frame_subsampling_factor == 3

    def test_beside_a_model_it_serves_the_model(self, online):
        model = put(online.parent / "tdnn/final.mdl", network()).parent
        files = find_model(model)
        assert files.feature_conf == online / "conf/mfcc.conf"
        assert files.extractor == online / "conf/ivector_extractor.conf"

    def test_what_kaldi_would_open_comes_first(self, online, tmp_path, monkeypatch):
        put(online / "conf/online.conf", "--mfcc-config=conf/mfcc.conf\n")
        assert find_model(online).feature_conf == online / "conf/mfcc.conf"
        put(tmp_path / "work/conf/mfcc.conf", HIRES)
        monkeypatch.chdir(tmp_path / "work")
        assert find_model(online).feature_conf == Path("conf/mfcc.conf")

    def test_commands_are_not_run(self, online):
        put(online / "conf/online.conf", '--mfcc-config="cat mfcc.conf |"\n')
        with pytest.raises(KaldiFileError, match=r"line 1: --mfcc-config.*not run"):
            find_model(online)

    def test_statistics_for_online_normalisation(self, online):
        stats = put(online / "global_cmvn.stats", " [\n 1 2 ]\n")
        with (online / "conf/online.conf").open("a") as conf:
            conf.write("\n--global-cmvn-stats=/home/someone/exp/tdnn_online/global_cmvn.stats\n")
        assert not find_model(online).online_cmvn, "Kaldi's pipeline asks for --cmvn-config"
        with (online / "conf/online.conf").open("a") as conf:
            conf.write("--cmvn-config=/home/someone/exp/tdnn_online/conf/online_cmvn.conf\n")
        with pytest.raises(MissingFile, match=r"options of online(?s:.*)conf/online_cmvn\.conf"):
            find_model(online).require_cmvn_settings()
        put(online / "conf/online_cmvn.conf", "--cmn-window=300 # frames\n")
        files = find_model(online)
        assert files.online_cmvn
        assert files.require("global_cmvn_stats") == stats
        assert cmvn(files) == CmvnOptions(cmn_window=300)


class TestVosk:
    def test_the_newer_layout(self, tmp_path):
        put(tmp_path / "am/final.mdl", network(40, 30))
        put(tmp_path / "am/tree")
        put(tmp_path / "conf/mfcc.conf", HIRES)
        put(tmp_path / "conf/model.conf", "--min-active=200\n--frame-subsampling-factor=3\n")
        put(tmp_path / "graph/phones.txt", "<eps> 0\n")
        put_extractor(tmp_path / "ivector")
        files = find_model(tmp_path)
        assert files.model == tmp_path / "am/final.mdl"
        assert files.feature_conf == tmp_path / "conf/mfcc.conf"
        assert files.extractor == tmp_path / "ivector"
        assert files.frame_subsampling_factor == 3
        assert files.phones == tmp_path / "graph/phones.txt"
        assert not files.online_cmvn
        assert any("--max-count=100" in note for note in files.notes)

    @pytest.mark.parametrize("model", ["am/final.mdl", "final.mdl"])
    def test_its_programs_max_count_unless_a_conf_says_otherwise(self, tmp_path, model):
        sizes = {"feature_dim": 5, "lda_dim": 4, "gaussians": 3, "ivector_dim": 3}
        extractor = make_extractor(tmp_path / "ivector", **sizes)
        assert ExtractorFiles.load(extractor).options.max_count == 0, "no model beside it"
        put(tmp_path / model)
        put(tmp_path / "mfcc.conf")
        assert ExtractorFiles.load(extractor).options.max_count == 100
        lines = [f"--{key}={names[0]}\n" for key, names in FILE_KEYS.items()]
        put(extractor / "ivector_extractor.conf", "".join(lines))
        assert ExtractorFiles.load(extractor).options.max_count == 0

    def test_statistics_of_the_older_layout(self, tmp_path):
        put(tmp_path / "final.mdl", network(40, 30))
        put(tmp_path / "mfcc.conf", HIRES)
        stats = put(tmp_path / "global_cmvn.stats")
        assert not find_model(tmp_path).online_cmvn, "may be a recipe's folder"
        put_extractor(tmp_path / "ivector")
        files = find_model(tmp_path)
        assert (files.online_cmvn, files.global_cmvn_stats) == (True, stats)
        assert cmvn(files) == CmvnOptions()

    def test_statistics_beside_its_model_mean_online_normalisation(self, tmp_path):
        put(tmp_path / "am/final.mdl", network(40, 0))
        stats = put(tmp_path / "am/global_cmvn.stats")
        files = find_model(tmp_path)
        assert (files.online_cmvn, files.global_cmvn_stats) == (True, stats)

    def test_the_older_layout_fixes_the_subsampling(self, tmp_path):
        put(tmp_path / "final.mdl", network(40, 30))
        put(tmp_path / "mfcc.conf", HIRES)
        put_extractor(tmp_path / "ivector")
        files = find_model(tmp_path)
        assert files.feature_conf == tmp_path / "mfcc.conf"
        assert files.extractor == tmp_path / "ivector"
        assert files.frame_subsampling_factor == 3


class TestModel:
    @pytest.mark.parametrize("name", ["final.raw", "7.mdl", "mine.raw.txt.gz"])
    def test_a_bare_file(self, tmp_path, name):
        head = network()
        path = put(tmp_path / name, gzip.compress(head) if name.endswith("gz") else head)
        files = find_model(path)
        assert files.model == path
        assert files.input_dims == {"ivector": 100, "input": 40}
        assert files.frame_subsampling_factor == 1
        assert any("subsampling factor" in note for note in files.notes)

    def test_a_folder_without_one(self, tmp_path):
        put(tmp_path / "100.mdl")
        with pytest.raises(MissingFile, match=r"It holds 100\.mdl: give one") as raised:
            find_model(tmp_path)
        assert f"{tmp_path}/final.mdl" in str(raised.value)
        assert f"{tmp_path}/am/final.mdl" in str(raised.value)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(MissingFile, match="no such file or folder; a model"):
            find_model(tmp_path / "nowhere")

    def test_several_below_a_root_are_listed(self, tmp_path):
        put(tmp_path / "exp/chain/tdnn_a/final.mdl")
        put(tmp_path / "exp/chain/tdnn_b/final.mdl")
        with pytest.raises(MissingFile, match=r"several models(?s:.*)tdnn_a\n.*tdnn_b"):
            find_model(tmp_path)

    def test_an_online_copy_is_not_a_second_model(self, tmp_path):
        model = librispeech(tmp_path)
        put(tmp_path / "exp/chain_cleaned/tdnn_1d_sp_online/final.mdl", network())
        assert find_model(tmp_path).model.parent == model

    def test_a_damaged_head_is_left_to_the_reader(self, tmp_path):
        for content in (b"", b"\0B<Nne", gzip.compress(network())[:40], b"\x1f\x8bjunk"):
            path = put(tmp_path / "final.mdl", content)
            files = find_model(path)
            assert files.input_dims == {}
            assert (files.feature_dim, files.ivector_dim) == (0, 0)


class TestSmallFiles:
    @pytest.mark.parametrize("text", ["", "three", "0", "-3", "1000000", "3 3"])
    def test_an_impossible_subsampling_factor(self, tmp_path, text):
        model = librispeech(tmp_path)
        put(model / "frame_subsampling_factor", text)
        with pytest.raises(KaldiFileError, match="frame_subsampling_factor, line 1"):
            find_model(model)

    def test_online_normalisation_without_its_statistics(self, tmp_path):
        model = librispeech(tmp_path)
        put(model / "online_cmvn")
        files = find_model(model)
        assert files.online_cmvn
        with pytest.raises(
            MissingFile, match=r"online mean normalisation(?s:.*)global_cmvn\.stats"
        ):
            files.require("global_cmvn_stats")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (None, CmvnOptions()),
            ("", CmvnOptions()),
            ("--norm-means=false --norm-vars=false", CmvnOptions(norm_means=False)),
            ("--norm-vars=true --cmn-window=100", CmvnOptions(norm_vars=True, cmn_window=100)),
            ("--config=conf/online_cmvn.conf", CmvnOptions(cmn_window=300, skip_dims=(3, 39))),
            (
                "--cmn-window=50 --config=conf/online_cmvn.conf",
                CmvnOptions(cmn_window=50, skip_dims=(3, 39)),
            ),
        ],
    )
    def test_options_of_online_normalisation(self, tmp_path, text, expected):
        """The command line wins over its --config wherever that stands: parse-options.cc."""
        model = librispeech(tmp_path)
        put(tmp_path / "conf/online_cmvn.conf", "--cmn-window=300\n--skip-dims=3:39\n")
        put(model / "online_cmvn")
        put(model / "global_cmvn.stats")
        (model / "cmvn_opts").unlink()
        if text is not None:
            put(model / "cmvn_opts", f"{text}\n")
        files = find_model(model)
        assert cmvn(files) == expected
        assert not any("per speaker" in note for note in files.notes)

    def test_options_that_cannot_be_used(self, tmp_path):
        model = librispeech(tmp_path)
        put(model / "online_cmvn")
        put(model / "cmvn_opts", "--config=conf/gone.conf\n")
        with pytest.raises(MissingFile, match=r"no cmvn settings found(?s:.*)conf/gone\.conf"):
            cmvn(find_model(model))
        put(model / "cmvn_opts", "--norm-maens=false\n")
        with pytest.raises(KaldiFileError, match="Did you mean --norm-means"):
            cmvn(find_model(model))

    @pytest.mark.parametrize("text", ["", "--norm-vars=false", "--norm-means=true"])
    def test_speaker_normalisation_is_noted(self, tmp_path, text):
        model = librispeech(tmp_path)
        put(model / "cmvn_opts", text)
        assert any("mean normalisation per speaker" in note for note in find_model(model).notes)

    def test_a_given_conf(self, tmp_path):
        model = librispeech(tmp_path)
        mine = put(tmp_path / "mine.conf", HIRES)
        assert find_model(model, feature_conf=mine).feature_conf == mine
        plain = put(tmp_path / "plain.conf", "--use-energy=false\n")
        with pytest.raises(ShapeError, match="13 values per frame; the network takes 40"):
            find_model(model, feature_conf=plain)
        with pytest.raises(MissingFile, match="the feature conf was given"):
            find_model(model, feature_conf=tmp_path / "nowhere.conf")

    def test_plp_is_found_and_not_computed(self, tmp_path):
        model = librispeech(tmp_path, network(13, 0))
        put(tmp_path / "conf/plp.conf", "--sample-frequency=8000\n")
        features = find_model(model).require_features()
        assert (features.kind, features.dim) == ("plp", 13)
        with pytest.raises(NotSupported, match="plp features; mfcc and fbank are computed"):
            features.options()


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the golden files in ../shared/golden/kaldi")
class TestGoldenModels:
    def test_every_model_with_its_conf_and_extractor(self):
        folders = sorted(path.parent for path in GOLDEN.glob("models/*/final.raw"))
        assert folders
        for folder in folders:
            files = find_model(folder)
            printed = (folder / "info.txt").read_text()  # by nnet3-am-info
            nodes = re.findall(r"input-node name=(\w+) dim=(\d+)", printed)
            assert files.input_dims == {name: int(dim) for name, dim in nodes}
            assert files.feature_conf is not None
            assert files.feature_conf.samefile(GOLDEN / "conf/mfcc_hires.conf")
            if files.ivector_dim:
                assert files.require("extractor").samefile(GOLDEN / "conf/ivector_extractor.conf")
