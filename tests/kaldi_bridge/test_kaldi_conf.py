"""Conf files: what is read, and what is said about those that cannot be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.errors import KaldiFileError, MissingFile

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "some.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_conf(path)

    return write


class TestLines:
    def test_dashes_underscores_and_capitals_name_the_same_key(self, conf):
        assert conf("--Num_Mel-bins=40\n") == {"num-mel-bins": "40"}

    def test_comments_blank_lines_and_windows_line_ends(self, conf):
        text = "# a 'comment\r\n\r\n--dither=0 # --snip-edges=false\r\n   --high-freq=-400\r\n"
        assert conf(text) == {"dither": "0", "high-freq": "-400"}

    def test_a_bare_flag_is_true_and_an_empty_value_stays_empty(self, conf):
        assert conf("--use-energy\n--lda-matrix=\n") == {"use-energy": "true", "lda-matrix": ""}

    def test_quoted_values_lose_their_quotes_only(self, conf):
        text = "--a=\"two words # no comment\"\n--b='x=y'\n--c=two words\n--d = 3\n"
        assert conf(text) == {"a": "two words # no comment", "b": "x=y", "c": "two words", "d": "3"}

    def test_several_options_on_a_line_as_in_splice_opts(self, conf):
        read = conf("--left-context=3 --right-context=2\n")
        assert read == {"left-context": "3", "right-context": "2"}
        assert read.lines == {"left-context": 1, "right-context": 1}

    def test_the_last_of_two_lines_wins(self, conf):
        read = conf("--dither=1\n--dither=0\n")
        assert read == {"dither": "0"}
        assert read.lines == {"dither": 2}

    def test_byte_order_mark_and_strange_letters(self, conf):
        assert conf(b"\xef\xbb\xbf--lda-matrix=/m\xfcll/final.mat\n").path("lda-matrix") == Path(
            b"/m\xfcll/final.mat".decode("utf-8", "surrogateescape")
        )

    def test_backslashes_of_windows_paths_stay(self, conf):
        assert conf("--diag-ubm=C:\\models\\final.dubm\n")["diag-ubm"] == "C:\\models\\final.dubm"

    @pytest.mark.parametrize(
        "line", ["num_ceps=40", "-dither=0", "--=3", "--", "feats", "--a b=1", "--1a=2", "x --a=1"]
    )
    def test_a_broken_line_is_named(self, conf, tmp_path, line):
        with pytest.raises(KaldiFileError, match=r"some\.conf, line 3: expected --key=value") as e:
            conf(f"# fine\n--dither=0\n{line}\n")
        assert e.value.path == tmp_path / "some.conf"
        assert e.value.where == "line 3"

    def test_an_open_quote_is_named(self, conf):
        with pytest.raises(KaldiFileError, match=r"line 1: a quotation mark is not closed\."):
            conf('--a="b\n')

    def test_a_model_is_no_conf(self, conf):
        with pytest.raises(KaldiFileError, match="not a conf file"):
            conf(b"\0B<Nnet3> ")
        with pytest.raises(KaldiFileError, match="not a conf file"):
            conf(b"--a=1\n" * 200_000)

    def test_absent_files_and_folders(self, tmp_path):
        with pytest.raises(MissingFile, match=r"none\.conf: no such conf file"):
            read_conf(tmp_path / "none.conf")
        with pytest.raises(KaldiFileError, match="a folder"):
            read_conf(tmp_path)

    @given(st.binary(max_size=200))
    def test_any_bytes_give_options_or_one_error(self, tmp_path_factory, raw):
        path = tmp_path_factory.getbasetemp() / "any.conf"
        path.write_bytes(raw)
        said = ""
        try:
            assert all(isinstance(value, str) for value in read_conf(path).values())
        except KaldiFileError as problem:
            said = str(problem)
        assert not said or said.startswith(f"{path}, line ")

    @pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the folder ../shared/golden/kaldi")
    def test_those_of_the_golden_extractor(self):
        read = read_conf(GOLDEN / "conf/ivector_extractor.conf")
        assert read.real("posterior-scale", 1.0) == 0.1
        assert read.path("splice-config") == Path("conf/splice.conf")
        assert read_conf(GOLDEN / "extractor/online_cmvn.conf") == {}
        assert read_conf(GOLDEN / "extractor/splice_opts") == {
            "left-context": "3",
            "right-context": "3",
        }


class TestGetters:
    def test_booleans_are_kaldis(self):
        for text, value in {"true": 1, "T": 1, "1": 1, "False": 0, "f": 0, "0": 0}.items():
            assert Conf("c", {"a": text}).boolean("a", not value) is bool(value)
        assert Conf("c", {}).boolean("a", True) is True

    @pytest.mark.parametrize("text", ["yes", "", "2", "truee"])
    def test_other_booleans_are_refused(self, text):
        options = Conf("my.conf", {"use-energy": text}, {"use-energy": 7})
        with pytest.raises(KaldiFileError) as e:
            options.boolean("use-energy", True)
        assert str(e.value) == f"my.conf, line 7: --use-energy={text}: must be true or false."

    def test_integers(self):
        assert Conf("c", {"a": "-12"}).integer("a", 0) == -12
        assert Conf("c", {}).integer("a", 5, least=7) == 5

    @pytest.mark.parametrize("text", ["1.0", "", "ten", "1_0", "٣", "4294967296", "9", "-1"])
    def test_other_integers_are_refused(self, text):
        with pytest.raises(KaldiFileError, match=r"must be a whole number from 0 to 8\.$"):
            Conf("c", {"a": text}).integer("a", 0, least=0, most=8)

    def test_reals(self):
        values = {"a": "-.5", "b": "1e-3", "c": "+2.", "d": "40"}
        read = [Conf("c", values).real(key, 0.0) for key in values]
        assert read == [-0.5, 0.001, 2.0, 40.0]

    @pytest.mark.parametrize("text", ["nan", "inf", "1e999", "", "1_0", "0x10", "1 2", "-1"])
    def test_other_reals_are_refused(self, text):
        with pytest.raises(KaldiFileError, match=r"must be a finite number, 0 or more\.$"):
            Conf("c", {"a": text}).real("a", 0.0, least=0)

    @pytest.mark.parametrize("text", ["", "-", "cat final.mat |", "| tee x"])
    def test_commands_are_no_paths(self, text):
        with pytest.raises(KaldiFileError, match="commands and pipes are not run"):
            Conf("c", {"lda-matrix": text}).path("lda-matrix")

    def test_absent_paths_are_none(self):
        assert Conf("c", {}).path("lda-matrix") is None

    def test_words(self):
        assert Conf("c", {"w": "povey"}).word("w", "hamming", ["hamming", "povey"]) == "povey"
        with pytest.raises(KaldiFileError, match=r"--w=x: must be one of hamming, povey\.$"):
            Conf("c", {"w": "x"}).word("w", "hamming", ["hamming", "povey"])

    def test_unknown_keys_get_a_guess_and_the_whole_list(self):
        options = Conf("c", {"num-mel-bin": "40"}, {"num-mel-bin": 3})
        with pytest.raises(KaldiFileError) as e:
            options.refuse_unknown(["num-mel-bins", "dither"])
        assert str(e.value) == (
            "c, line 3: --num-mel-bin=40: unknown option. Did you mean --num-mel-bins? "
            "Known: --dither, --num-mel-bins."
        )

    def test_refused_keys_say_why(self):
        with pytest.raises(KaldiFileError, match=r"--vtln-map=x: not computed\.$"):
            Conf("c", {"vtln-map": "x"}).refuse_unknown([], {"vtln-map": "not computed."})
