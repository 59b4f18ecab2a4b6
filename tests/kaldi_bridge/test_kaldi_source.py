"""Source and Sink: the primitives of Kaldi's formats, sound and damaged."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from kaldi_golden import GOLDEN, needs_golden

from kaldi_bridge.errors import KaldiFileError, MissingFile
from kaldi_bridge.sink import Sink, opened_atomically
from kaldi_bridge.source import Source


def written(binary: bool, write: Callable[[Sink], Any]) -> Source:
    """Returns a source of what `write` put into a sink."""
    file = io.BytesIO()
    write(Sink(file, binary))
    return Source(file.getvalue(), "made")


BOTH = pytest.mark.parametrize("binary", [True, False])
FLOATS = arrays.arrays(
    np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=False)
)
MATRICES = arrays.arrays(
    np.float64,
    st.one_of(st.tuples(st.integers(1, 5), st.integers(1, 5)), st.just((0, 0))),
    elements=st.floats(allow_nan=False),
)
INT32 = st.integers(-(2**31), 2**31 - 1)


class TestWhatIsWrittenIsRead:
    @given(st.booleans(), FLOATS)
    def test_vectors_to_the_last_bit(self, binary, values):
        source = written(binary, lambda sink: sink.vector(values))
        assert np.array_equal(source.vector(), values)
        assert source.at_end

    @given(st.booleans(), MATRICES)
    def test_matrices_of_doubles_to_the_last_bit(self, binary, values):
        source = written(binary, lambda sink: sink.matrix(values))
        read = source.matrix("double")
        assert read.dtype == np.float64
        assert read.shape == values.shape
        assert np.array_equal(read, values)
        assert source.at_end

    @given(st.booleans(), st.lists(INT32, max_size=20), st.booleans(), INT32, st.floats(width=32))
    def test_scalars_and_lists(self, binary, numbers, truth, integer, real):
        def write(sink: Sink) -> None:
            sink.token("<A>")
            sink.boolean(truth)
            sink.integers(numbers)
            sink.integer(integer)
            sink.real(real)
            sink.token("<B>")

        source = written(binary, write)
        assert source.expect("<B>", "<A>") == "<A>"
        assert source.boolean() is truth
        assert source.integers().tolist() == numbers
        assert source.integer() == integer
        assert np.float32(source.real()) == np.float32(real) or np.isnan(real)
        assert source.token() == "<B>"
        assert source.at_end

    @given(st.booleans(), st.lists(st.tuples(INT32, INT32), max_size=9))
    def test_pairs(self, binary, pairs):
        values = np.array(pairs, np.int32).reshape(-1, 2)
        source = written(binary, lambda sink: sink.pairs(values))
        assert np.array_equal(source.pairs(), values)

    @BOTH
    def test_packed_matrices(self, binary):
        values = np.array([[4, 1, 0.5], [1, 5, -2], [0.5, -2, 6]])
        source = written(binary, lambda sink: sink.packed(values))
        assert np.array_equal(source.packed("double"), values)

    def test_a_table_of_integers_in_binary_and_text(self):
        for binary in (True, False):
            source = written(binary, lambda sink: [sink.integer(n) for n in (1, -2, 3, 4)])
            assert source.integer_table(2, 2).tolist() == [[1, -2], [3, 4]]


class TestKaldisBytes:
    """Bytes as base/io-funcs of Kaldi lays them out, written by hand."""

    def test_unsigned_integers_have_size_minus_four(self):
        data = b"\0B\xfc\xff\xff\xff\xff"
        assert Source(data, "made").integer() == 2**32 - 1
        assert bytes(written(True, lambda sink: sink.integer(2**32 - 1)).data) == data

    def test_a_real_number_may_have_either_size(self):
        source = Source(b"\0B\x08" + struct.pack("<d", 0.1) + b"\x04" + struct.pack("<f", 0.5), "m")
        assert source.sized_real() == (0.1, "double")
        assert source.sized_real() == (0.5, "float")

    def test_text_vectors_may_have_names_of_numbers(self):
        values = Source(b" [ 1e-3 -inf nan 7 ]\n", "made").vector()
        assert values.dtype == np.float32
        assert values[0] == np.float32(0.001)
        assert np.isneginf(values[1])
        assert np.isnan(values[2])

    def test_arrays_are_aligned_and_their_own(self):
        data = b"\0BFV \x04\x02\0\0\0" + struct.pack("<2f", 1, 2)
        values = Source(data, "made").vector()
        assert values.flags.aligned
        values[0] = 5
        assert Source(data, "made").vector().tolist() == [1, 2]

    def test_an_object_may_start_inside_a_file(self, tmp_path):
        path = tmp_path / "a.ark"
        path.write_bytes(b"utt1 \0BFV \x04\x01\0\0\0" + struct.pack("<f", 2.5))
        assert Source.open(path, 5).vector().tolist() == [2.5]
        with pytest.raises(KaldiFileError, match="outside the file"):
            Source.open(path, 500)


class TestDamage:
    @pytest.mark.parametrize("size", [2**31 - 1, -1, -(2**31), 3, 2**20])
    @pytest.mark.parametrize("kind", ["FV", "DV", "FM", "FP"])
    def test_a_size_that_the_file_does_not_justify(self, kind, size):
        data = b"\0B" + kind.encode() + b" \x04" + struct.pack("<i", size) + b"\x04\x02\0\0\0xxxx"
        source = Source(data, "made")
        read = {"V": source.vector, "M": source.matrix, "P": source.packed}[kind[1]]
        tracemalloc.start()
        try:
            with pytest.raises(KaldiFileError, match="made, byte 2: an array of"):
                read()
            assert tracemalloc.get_traced_memory()[1] < 100_000
        finally:
            tracemalloc.stop()
        assert source.position == 2

    @pytest.mark.parametrize("count", [2**31 - 1, -1, 3])
    def test_a_list_longer_than_the_file(self, count):
        data = b"\0B\x04" + struct.pack("<i", count) + b"\0\0\0\0\0\0\0\0"
        for read in ("integers", "pairs"):
            with pytest.raises(KaldiFileError, match=f"byte 2: a list of {count} entries"):
                getattr(Source(data, "made"), read)()

    @pytest.mark.parametrize(
        ("text", "read", "said"),
        [
            (b"\n[ 1 2 x3 ]", "vector", 'line 2: expected numbers, got "x3"'),
            (b"[ 1 2", "vector", 'without its closing "]"'),
            (b"[ 1 2 <A> ]", "vector", 'without its closing "]"'),
            (b"[ 1_0 ]", "vector", 'expected numbers, got "1_0"'),
            (b"[\n1 2\n3 ]", "matrix", "line 3: a row of 1 numbers among rows of 2"),
            (b"[ 1 2.5 ]", "integers", 'expected integers of 32 bits, got "2.5"'),
            (b"[ 1,2 3 ]", "pairs", "a number without partner"),
            (b"[ 99999999999 ]", "integers", "expected integers of 32 bits"),
            (b"4000000000000", "integer", "expected an integer of 32 bits"),
            (b"1.5", "integer", "expected an integer of 32 bits"),
            (b"X", "boolean", 'expected T or F, got "X"'),
            (b"1_0.5", "real", "expected a real number"),
            (b"", "token", "got the end of the file"),
            (b"\xff\xfe", "token", "expected a word of ASCII"),
            (b"a" * 300, "token", "expected a word"),
            (b"[ 1 2 3 4 ]", "packed", "cannot have 4 values"),
            (b"\0B\x05", "integer", "got size byte 5"),
            (b"\0B\x04\x01\0", "integer", "ends inside an integer"),
            (b"\0B\x02\x01\0", "real", "got size byte 2"),
            (b"\0B\x01\x01\0", "integers", "expected integers of 4 bytes"),
            (b"\0BFW \x04\x01", "vector", "expected FV or DV"),
        ],
    )
    def test_one_error_that_says_what_was_there(self, text, read, said):
        with pytest.raises(KaldiFileError) as caught:
            getattr(Source(text, "made"), read)()
        assert said in str(caught.value)
        assert str(caught.value).startswith("made, ")

    def test_the_component_is_named(self):
        source = Source(b"x", "made")
        source.component = "tdnn1.affine"
        assert str(source.fail("bad.")) == 'made, line 1 in component "tdnn1.affine": bad.'

    def test_a_matrix_of_rows_without_columns(self):
        with pytest.raises(KaldiFileError, match="impossible size 5 x 0"):
            Source(b"\0BFM \x04\x05\0\0\0\x04\0\0\0\0", "made").matrix()


class TestFiles:
    def test_missing_directory_and_pipe(self, tmp_path):
        with pytest.raises(MissingFile, match="no such file"):
            Source.open(tmp_path / "none")
        with pytest.raises(KaldiFileError, match="not a regular file"):
            Source.open(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(KaldiFileError, match="not a regular file"):
            Source.open(tmp_path / "pipe")

    def test_gzip_is_seen_by_its_bytes(self, tmp_path):
        path = tmp_path / "vector"
        path.write_bytes(gzip.compress(b" [ 1 ") + gzip.compress(b"2 ]\n"))
        assert Source.open(path).vector().tolist() == [1, 2]

    @pytest.mark.parametrize("at", [3, 12, -9, -1])
    def test_damaged_gzip(self, tmp_path, at):
        packed = bytearray(gzip.compress(b"[ 1 2 3 ]" * 50))
        (tmp_path / "cut.gz").write_bytes(packed[:at])
        packed[at] ^= 0x5A
        (tmp_path / "flipped.gz").write_bytes(packed)
        with pytest.raises(KaldiFileError, match="cut off"):
            Source.open(tmp_path / "cut.gz")
        with pytest.raises(KaldiFileError, match="gzip"):
            Source.open(tmp_path / "flipped.gz")

    def test_gzip_that_unpacks_to_far_more_is_refused_early(self, tmp_path):
        path = tmp_path / "bomb.gz"
        path.write_bytes(gzip.compress(bytes(50_000_000)))
        tracemalloc.start()
        try:
            with pytest.raises(KaldiFileError, match="64 times its size"):
                Source.open(path)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()

    def test_large_files_are_mapped_and_small_ones_read(self, tmp_path):
        values = np.arange(3 << 18, dtype=np.float32)
        with opened_atomically(tmp_path / "large") as file:
            sink = Sink(file, True)
            sink.vector(values)
            sink.vector(values[:3])
        source = Source.open(tmp_path / "large")
        assert np.array_equal(source.vector(), values)
        assert source.vector().tolist() == [0, 1, 2]

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path):
        path = tmp_path / "model"
        path.write_bytes(b"old")

        def fail_half_way() -> None:
            with opened_atomically(path) as file:
                file.write(b"new")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_half_way()
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["model"]

    def test_a_place_that_is_not_there(self, tmp_path):
        with (
            pytest.raises(KaldiFileError, match="cannot be written"),
            opened_atomically(tmp_path / "none" / "model"),
        ):
            pass


@needs_golden
class TestGoldenExtractor:
    """Files of Kaldi's own, binary against text: matrices, vectors, packed matrices."""

    def test_the_transform(self):
        binary = Source.open(GOLDEN / "extractor/final.mat").matrix()
        text = Source.open(GOLDEN / "extractor/final.mat.txt").matrix()
        assert binary.shape == text.shape == (40, 281)
        assert np.allclose(binary, text, rtol=1e-6, atol=0)

    def test_the_extractor(self):
        one, other = (
            self.extractor(GOLDEN / "extractor" / name) for name in ("final.ie", "final.ie.txt.gz")
        )
        assert len(one) == len(other) == 33
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype == np.float64
            assert np.allclose(a, b, rtol=1e-6, atol=0)

    def extractor(self, path: Path) -> list[np.ndarray]:
        source = Source.open(path)
        source.expect("<IvectorExtractor>")
        source.expect("<w>")
        assert source.matrix().shape == (0, 0)
        source.expect("<w_vec>")
        found = [np.asarray(source.vector("double"))]
        source.expect("<M>")
        count = source.integer()
        found += [np.asarray(source.matrix("double")) for _ in range(count)]
        source.expect("<SigmaInv>")
        found += [np.asarray(source.packed("double")) for _ in range(count)]
        source.expect("<IvectorOffset>")
        assert source.real() == pytest.approx(108.2472, abs=1e-4)
        source.expect("</IvectorExtractor>")
        assert source.at_end
        return found
