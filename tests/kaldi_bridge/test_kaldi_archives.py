"""Archives and scripts: Kaldi's own files, round trips, and files that lie."""

import gzip
import os
import pickle
import struct
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaldi_bridge.archives import read_archive, read_matrix, read_scp, write_archive
from kaldi_bridge.errors import (
    KaldiError,
    KaldiFileError,
    MissingFile,
    MissingLibrary,
    NotSupported,
    ShapeError,
)

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="needs the golden files of Kaldi in ../shared/golden/kaldi"
)
pytest.importorskip("kaldiio", reason="needs kaldiio: sedsdk[kaldi]")

TABLES = sorted(
    path.relative_to(GOLDEN).as_posix()
    for folder in ("feats", "ivectors", "long")
    for path in (GOLDEN / folder).glob("*.ark")
    if path.with_suffix(".npz").exists()
)


def arrays(seed=0):
    random = np.random.default_rng(seed)
    return {
        "single": random.standard_normal((12, 5)).astype(np.float32),
        "double": random.standard_normal((3, 7)),
        "vector": random.standard_normal(9).astype(np.float32),
        "double-vector": random.standard_normal(4),
        "integers": random.integers(-(2**31), 2**31, 6).astype(np.int32),
        "no-integers": np.zeros(0, np.int32),
        "ünï": np.array([[1e-38, -3.4e38, 0.1]], np.float32),
        "empty": np.zeros((0, 0), np.float32),
    }


def same(left, right):
    assert list(left) == list(right)
    for key in right:
        assert left[key].dtype == right[key].dtype, key
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)


def first(reader, path):
    """The first array as another reader finds it, copied: its arrays die with the reader."""
    with reader(f"ark:{path}") as entries:
        return np.array(next(iter(entries))[1])


def compressed(kind, least, extent, rows, columns, rest=b""):
    return b"\0B" + kind + b" " + struct.pack("<ffii", least, extent, rows, columns) + rest


class TestKaldisOwn:
    @needs_golden
    @pytest.mark.parametrize("name", TABLES or ["none"])
    def test_every_stored_table(self, name):
        read = dict(read_archive(GOLDEN / name))
        with np.load(GOLDEN / name.replace(".ark", ".npz")) as stored:
            assert sorted(read) == sorted(stored.files)
            for key, array in read.items():
                assert array.dtype == stored[key].dtype
                if "compressed" in name:  # one rounding more or less in float32
                    atol = 1e-6 * np.abs(stored[key]).max()
                    np.testing.assert_allclose(array, stored[key], rtol=0, atol=atol)
                else:
                    np.testing.assert_array_equal(array, stored[key])

    @needs_golden
    def test_packed_text_has_seven_digits(self):
        with np.load(GOLDEN / "feats/mfcc_hires.npz") as stored:
            for key, array in read_archive(GOLDEN / "feats/mfcc_hires.txt.ark.gz"):
                np.testing.assert_allclose(array, stored[key], rtol=6e-7)

    @needs_golden
    @pytest.mark.parametrize("inside", [True, False])
    def test_scripts_work_from_their_root_and_from_elsewhere(self, monkeypatch, tmp_path, inside):
        monkeypatch.chdir(GOLDEN if inside else tmp_path)
        script = read_scp(GOLDEN / "feats/fbank40.scp")
        same(dict(script), dict(read_archive(GOLDEN / "feats/fbank40.ark")))

    @needs_golden
    def test_single_matrices_binary_and_text(self):
        binary = read_matrix(GOLDEN / "extractor/final.mat")
        assert binary.shape == (40, 281)
        np.testing.assert_allclose(
            read_matrix(GOLDEN / "extractor/final.mat.txt"), binary, rtol=6e-7
        )
        sums = read_matrix(GOLDEN / "extractor/global_cmvn.stats", text_precision="double")
        assert (sums.shape, sums.dtype) == ((2, 41), np.float64)
        assert sums[0, 0] == 6008209.0


class TestRoundTrips:
    def test_binary_is_exact(self, tmp_path):
        write_archive(tmp_path / "a.ark", arrays())
        same(dict(read_archive(tmp_path / "a.ark")), arrays())

    def test_text_is_exact_in_its_precision(self, tmp_path):
        write_archive(tmp_path / "a.ark", arrays(), binary=False)
        double = dict(read_archive(tmp_path / "a.ark", text_precision="double"))
        for key, array in arrays().items():
            assert double[key].shape == array.shape
            np.testing.assert_array_equal(double[key].astype(array.dtype), array)

    def test_scripts_point_at_every_array(self, tmp_path):
        for binary in (True, False):
            write_archive(
                tmp_path / "a.ark", arrays().items(), binary=binary, scp=tmp_path / "a.scp"
            )
            script = read_scp(tmp_path / "a.scp", text_precision="double")
            assert len(script) == len(arrays())
            assert "vector" in script
            assert "other" not in script
            for key, array in arrays().items():
                np.testing.assert_array_equal(script[key].astype(array.dtype), array)
            with pytest.raises(KeyError):
                script["other"]

    @settings(max_examples=60)
    @given(rows=st.integers(1, 40), columns=st.integers(1, 12), seed=st.integers(0, 2**31))
    def test_compression_keeps_what_two_bytes_or_one_can(
        self, tmp_path_factory, rows, columns, seed
    ):
        path = tmp_path_factory.getbasetemp() / "packed.ark"
        random = np.random.default_rng(seed)
        matrix = (random.standard_normal((rows, columns)) * 10 ** random.uniform(-3, 3)).astype("f")
        write_archive(path, {"m": matrix, "v": matrix[0]}, compress=True)
        read = dict(read_archive(path))
        np.testing.assert_array_equal(read["v"], matrix[0])
        # Up to 8 rows: two bytes over the range. Above: 64, 128 or 63 steps between percentiles.
        extent = np.ptp(matrix) if np.ptp(matrix) else 1 + np.abs(matrix).max()
        step = extent / 65535 if rows <= 8 else np.ptp(matrix, axis=0) / 63 + 4 * extent / 65535
        assert (np.abs(read["m"] - matrix) <= step + 1e-6 * np.abs(matrix).max()).all()

    def test_constant_matrices_can_be_compressed(self, tmp_path):
        for rows in (1, 4, 20):
            write_archive(tmp_path / "a.ark", {"m": np.full((rows, 3), 7.0, "f")}, compress=True)
            ((_, matrix),) = read_archive(tmp_path / "a.ark")
            np.testing.assert_allclose(matrix, 7.0, atol=8 / 65535)

    def test_a_generator_is_written_as_it_comes(self, tmp_path):
        def items():
            for index in range(3):
                assert not (tmp_path / "sub/b.ark").exists()
                yield f"u{index}", np.full(2, index, np.float32)

        write_archive(tmp_path / "sub/b.ark", items(), scp=tmp_path / "sub/b.scp")
        assert [key for key, _ in read_archive(tmp_path / "sub/b.ark")] == ["u0", "u1", "u2"]
        assert sorted(os.listdir(tmp_path / "sub")) == ["b.ark", "b.scp"]


class TestAnotherImplementation:
    @pytest.fixture
    def kaldi(self):
        return pytest.importorskip("kaldi_native_io", reason="needs kaldi_native_io, Kaldi's code")

    def test_it_reads_what_is_written(self, kaldi, tmp_path):
        path = tmp_path / "a.ark"
        matrix = arrays()["single"]
        for binary, compress in ((True, False), (False, False), (True, True)):
            write_archive(path, {"m": matrix}, binary=binary, compress=compress)
            ((_, ours),) = read_archive(path)
            theirs = first(kaldi.SequentialFloatMatrixReader, path)
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)
        write_archive(path, {"v": arrays()["double-vector"]})
        theirs = first(kaldi.SequentialDoubleVectorReader, path)
        np.testing.assert_array_equal(theirs, arrays()["double-vector"])
        for binary in (True, False):
            write_archive(path, {"i": arrays()["integers"]}, binary=binary)
            theirs = first(kaldi.SequentialInt32VectorReader, path)
            np.testing.assert_array_equal(theirs, arrays()["integers"])

    @pytest.mark.parametrize("method", range(1, 8))
    def test_it_compresses_and_we_read(self, kaldi, tmp_path, method):
        matrix = np.abs(arrays()["single"])
        matrix /= matrix.max()
        kinds = kaldi.CompressionMethod
        named = {int(value): value for value in kinds.__members__.values()}
        with kaldi.CompressedMatrixWriter(f"ark:{tmp_path}/a.ark") as writer:
            writer.write("m", matrix, method=named[method])
        theirs = first(kaldi.SequentialFloatMatrixReader, tmp_path / "a.ark")
        ((_, ours),) = read_archive(tmp_path / "a.ark")
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)

    @pytest.mark.parametrize(
        "span", ["[0:3]", "[2:11]", "[2:12]", "[2:14]", "[0:3,1:2]", "[:,1:2]", "[,4:4]"]
    )
    def test_ranges_of_rows_and_columns(self, kaldi, tmp_path, span):
        matrix = arrays()["single"]
        write_archive(tmp_path / "a.ark", {"m": matrix}, scp=tmp_path / "a.scp")
        whole = (tmp_path / "a.scp").read_text().strip()
        (tmp_path / "b.scp").write_text(f"{whole}{span}\n")
        ours = read_scp(tmp_path / "b.scp")["m"]
        if span.startswith("[,"):  # Kaldi wants the colon; we know what is meant
            theirs = matrix[:, 4:5]
        else:
            reader = kaldi.RandomAccessFloatMatrixReader(f"scp:{tmp_path}/b.scp")
            theirs = np.array(reader["m"])
        np.testing.assert_array_equal(ours, theirs)


class TestCommands:
    """Kaldi and kaldiio run what ends in a pipe; nothing of the kind may happen here."""

    @pytest.fixture
    def canary(self, tmp_path):
        canary = tmp_path / "canary"
        yield canary
        assert not canary.exists()

    @pytest.mark.parametrize(
        "form",
        ["touch {} |", "|touch {}", " touch {} | ", "touch {}|[0:1]", "touch {}|:12", "a|b{}"],
    )
    def test_they_are_refused_everywhere_and_never_run(self, tmp_path, canary, form):
        command = form.format(canary)
        (tmp_path / "x.scp").write_text(f"u0 fine.ark:3\nu1 {command}\n")
        with pytest.raises(KaldiFileError, match=r"x\.scp, line 2: .*not a file: commands"):
            read_scp(tmp_path / "x.scp")
        for read in (read_matrix, read_archive, read_scp):
            with pytest.raises(NotSupported, match="commands, pipes, standard input and URLs"):
                read(command)
        with pytest.raises(NotSupported, match="commands"):
            write_archive(command, {})
        with pytest.raises(NotSupported, match="commands"):
            write_archive(tmp_path / "a.ark", {}, scp=command)

    @pytest.mark.parametrize("place", ["-", "https://host/a.ark", "file:///etc/passwd", "s3://b/k"])
    def test_so_are_streams_and_addresses(self, tmp_path, place):
        (tmp_path / "x.scp").write_text(f"u1 {place}\n")
        with pytest.raises(KaldiFileError, match="not a file"):
            read_scp(tmp_path / "x.scp")
        with pytest.raises(NotSupported):
            read_matrix(place)

    def test_pickles_and_sound_files_in_archives_stay_closed(self, tmp_path, canary):
        class Bomb:
            def __reduce__(self):
                return (Path.touch, (canary,))

        for stored in (b"PKL" + pickle.dumps(Bomb()), b"RIFF\0\0\0\0WAVE", b"NPY\x01\x01", b"fLaC"):
            (tmp_path / "a.ark").write_bytes(b"u1 " + stored)
            with pytest.raises(KaldiFileError, match='entry "u1"'):
                list(read_archive(tmp_path / "a.ark"))

    def test_devices_and_pipes_of_the_system_are_no_files(self, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
            with pytest.raises(KaldiFileError, match="not a regular file"):
                read_matrix(path)


class TestSizes:
    HUGE = 2**31 - 1

    @pytest.mark.parametrize(
        "stored",
        [
            b"\0BFM \x04" + struct.pack("<i", HUGE) + b"\x04" + struct.pack("<i", 40),
            b"\0BDM \x04" + struct.pack("<i", HUGE) + b"\x04" + struct.pack("<i", 0),
            b"\0BFM \x04" + struct.pack("<i", -1) + b"\x04" + struct.pack("<i", 40),
            b"\0BFV \x04" + struct.pack("<i", HUGE),
            b"\0B\x04" + struct.pack("<i", HUGE),
            b"\0B\x04" + struct.pack("<i", -5),
            compressed(b"CM", 0, 1, HUGE, 40),
            compressed(b"CM", 0, 1, 40, HUGE),
            compressed(b"CM2", 0, 1, HUGE, 1),
            compressed(b"CM3", 0, 1, HUGE, HUGE),
            compressed(b"CM3", 0, 1, HUGE, 0),
            compressed(b"CM2", 0, 1, 0, HUGE),
            compressed(b"CM", 0, 1, -1, -1),
        ],
    )
    def test_a_size_is_held_against_the_file_before_memory_is_taken(self, tmp_path, stored):
        path = tmp_path / "a.ark"
        path.write_bytes(b"fine \0BFV \x04\x01\0\0\0\0\0\x80\x3f" + b"utt9 " + stored + b"\0" * 60)
        entries = read_archive(path)
        assert next(entries)[0] == "fine"
        tracemalloc.start()
        try:
            with pytest.raises(KaldiFileError) as e:
                next(entries)
            assert tracemalloc.get_traced_memory()[1] < 1e6
        finally:
            tracemalloc.stop()
        assert str(e.value).startswith(f'{path}, entry "utt9", byte ')
        assert 22 <= int(e.value.where.split()[1]) <= path.stat().st_size

    def test_numbers_that_are_none_in_a_header(self, tmp_path):
        for least, extent in ((np.nan, 1), (0, np.inf)):
            (tmp_path / "m").write_bytes(compressed(b"CM3", least, extent, 1, 1, b"\x05"))
            with pytest.raises(KaldiFileError, match=r"over a range of|from nan"):
                read_matrix(tmp_path / "m")

    def test_integers_of_another_size(self, tmp_path):
        good = b"\0B\x04\x02\0\0\0" + b"\x04\x07\0\0\0" * 2
        (tmp_path / "m").write_bytes(good)
        assert read_matrix(tmp_path / "m").tolist() == [7, 7]
        (tmp_path / "m").write_bytes(good.replace(b"\x04\x07", b"\x08\x07", 1))
        with pytest.raises(KaldiFileError, match="not of 4 bytes"):
            read_matrix(tmp_path / "m")

    def test_an_empty_compressed_matrix(self, tmp_path):
        (tmp_path / "m").write_bytes(compressed(b"CM", 0, 0, 0, 0))
        assert read_matrix(tmp_path / "m").shape == (0, 0)


class TestDamage:
    @pytest.mark.parametrize(("binary", "compress"), [(True, False), (False, False), (True, True)])
    def test_cut_off_anywhere(self, tmp_path, binary, compress):
        path = tmp_path / "a.ark"
        write_archive(path, {"m": arrays()["single"], "v": arrays()["vector"]},
                      binary=binary, compress=compress)  # fmt: skip
        whole = path.read_bytes()
        full = list(read_archive(path))
        for end in range(len(whole)):
            path.write_bytes(whole[:end])
            got, complete = [], False
            with suppress(KaldiFileError):
                got.extend(read_archive(path))
                complete = True
            assert len(got) < 2 or whole[end:].isspace()
            if complete and len(got) < 2:  # only between two entries may a part look complete
                assert len(got) == (end > 0)
                assert end == 0 or whole[end:].lstrip()[:2] == b"v "
            for (key, array), (wanted, values) in zip(got, full, strict=False):
                assert key == wanted
                np.testing.assert_array_equal(array, values)

    @settings(max_examples=300)
    @given(st.data())
    def test_any_changed_bytes_give_arrays_or_one_error(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "mutated.ark"
        how = data.draw(st.sampled_from([{}, {"binary": False}, {"compress": True}]))
        write_archive(path, {"m": arrays()["single"], "i": arrays()["integers"]}, **how)
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw)
        said = str(path)
        tracemalloc.start()
        try:
            for _, array in read_archive(path):
                assert array.nbytes < 8 * len(raw) + 64
        except KaldiError as problem:
            said = str(problem)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert said.startswith(str(path))
        assert peak < 2e6

    def test_what_is_no_archive(self, tmp_path):
        path = tmp_path / "a.ark"
        for raw, said in (
            (b"\0BFM \x04\0\0\0\0\x04\0\0\0\0", "one object without a key; read_matrix"),
            (b" [ 1 2 3 ]\n", "no archive"),
            (b"\xff\xfe 1 2\n", "not UTF-8"),
            (b"\0" * 50, "no archive"),
            (b"x" * 5000, "no archive"),
            (b"u1 \0BTransitionModel ", 'kind "TransitionModel"'),
            (b"u1 one two\n", "expected numbers"),
            (b"u1  [ 1 2 x ]\n", "expected numbers"),
            (b"u1  [\n 1 2\n 3 ]\n", "row"),
        ):
            path.write_bytes(raw)
            with pytest.raises(KaldiFileError, match=said):
                list(read_archive(path))

    def test_what_is_no_single_matrix(self, tmp_path):
        path = tmp_path / "m"
        path.write_bytes(b"u1  [ 1 2 ]\n")
        with pytest.raises(KaldiFileError, match="for read_archive"):
            read_matrix(path)
        path.write_bytes(b" [ 1 2 ]\n 5")
        with pytest.raises(KaldiFileError, match="something follows"):
            read_matrix(path)
        with pytest.raises(MissingFile, match="no such file"):
            read_matrix(tmp_path / "none")
        with pytest.raises(MissingFile, match="no such file"):
            read_archive(tmp_path / "none")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("lonely", "expected a key, a blank and a place"),
            ("u0 other.ark:1", 'the key "u0" appears twice'),
            ("u1 a.ark:5[3]", "should look like 0:99"),
            ("u1 a.ark:5[4:3]", "should look like 0:99"),
            ("u1 a.ark:5[0:1,0:1,0:1]", "more than two parts"),
        ],
    )
    def test_broken_lines_of_a_script(self, tmp_path, line, said):
        (tmp_path / "x.scp").write_text(f"u0 a.ark:3\n\n{line}\n")
        with pytest.raises(KaldiFileError, match=f"line 3: .*{said}"):
            read_scp(tmp_path / "x.scp")

    def test_places_that_are_not_there(self, tmp_path):
        write_archive(tmp_path / "a.ark", {"m": arrays()["single"]})
        (tmp_path / "x.scp").write_text(
            "far a.ark:99999999999\nrange a.ark:2[20:30]\nnone b.ark:1\nin a.ark:4\n"
            f"long {'x' * 5000}\n"
        )
        script = read_scp(tmp_path / "x.scp")
        with pytest.raises(KaldiFileError, match=r'entry "far".*outside the file'):
            script["far"]
        with pytest.raises(KaldiFileError, match=r'entry "range".*20:30 leaves an array of 12'):
            script["range"]
        with pytest.raises(MissingFile, match=r"b\.ark: no such file \(looked from the working"):
            script["none"]
        with pytest.raises(KaldiFileError, match='entry "in"'):
            script["in"]
        with pytest.raises(MissingFile):
            script["long"]


class TestWriting:
    @pytest.mark.parametrize(
        ("key", "array", "said"),
        [
            ("", np.zeros(1, "f"), "one word without blanks"),
            ("a b", np.zeros(1, "f"), "one word without blanks"),
            ("[", np.zeros(1, "f"), "one word without blanks"),
            ("k", np.zeros(1, "f2"), r"float16 \[1\].*convert it"),
            ("k", np.zeros((1, 2), "i4"), "int32"),
            ("k", np.zeros(1, "i8"), "int64"),
            ("k", np.zeros((1, 1, 1), "f"), r"\[1, 1, 1\]"),
            ("k", np.array(1.0), "float64"),
        ],
    )
    def test_what_no_archive_can_hold_leaves_the_old_one(self, tmp_path, key, array, said):
        path, script = tmp_path / "a.ark", tmp_path / "a.scp"
        write_archive(path, arrays(), scp=script)
        before = path.read_bytes(), script.read_bytes()
        with pytest.raises(ShapeError, match=said):
            write_archive(path, [("fine", np.zeros(2, "f")), (key, array)], scp=script)
        assert (path.read_bytes(), script.read_bytes()) == before
        assert sorted(os.listdir(tmp_path)) == ["a.ark", "a.scp"]

    def test_keys_are_unique(self, tmp_path):
        with pytest.raises(ShapeError, match="appears twice"):
            write_archive(tmp_path / "a.ark", [("k", np.zeros(1, "f"))] * 2)

    def test_options_that_exclude_each_other(self, tmp_path):
        with pytest.raises(ShapeError, match="compressed archives are binary"):
            write_archive(tmp_path / "a.ark", {}, binary=False, compress=True)
        with pytest.raises(ShapeError, match="run gzip"):
            write_archive(tmp_path / "a.ark.gz", {})
        with pytest.raises(ShapeError, match="two names"):
            write_archive(tmp_path / "a.ark", {}, scp=tmp_path / "a.ark")
        with pytest.raises(ShapeError, match="cannot be compressed"):
            write_archive(tmp_path / "a.ark", {"m": np.full((9, 9), np.nan)}, compress=True)

    def test_other_byte_orders_and_strides(self, tmp_path):
        matrix = np.arange(12, dtype=">f4").reshape(3, 4)
        write_archive(tmp_path / "a.ark", {"big": matrix, "turned": matrix.astype("f").T})
        read = dict(read_archive(tmp_path / "a.ark"))
        np.testing.assert_array_equal(read["big"], matrix)
        np.testing.assert_array_equal(read["turned"], matrix.T)

    def test_packed_with_gzip_it_is_read_again(self, tmp_path):
        write_archive(tmp_path / "a.ark", arrays())
        with gzip.open(tmp_path / "a.ark.gz", "wb") as file:
            file.write((tmp_path / "a.ark").read_bytes())
        same(dict(read_archive(tmp_path / "a.ark.gz")), arrays())

    def test_without_the_library_the_command_is_given(self, tmp_path, monkeypatch):
        write_archive(tmp_path / "a.ark", {"m": arrays()["single"]}, compress=True)
        monkeypatch.setitem(sys.modules, "kaldiio.matio", None)
        with pytest.raises(MissingLibrary, match=r'pip install "sedsdk\[kaldi\]"'):
            list(read_archive(tmp_path / "a.ark"))
        with pytest.raises(MissingLibrary):
            write_archive(tmp_path / "b.ark", arrays())
