"""The embedding cache: equal to what was computed, whatever became of the file meanwhile."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.cache import AudioDigest, EmbeddingCache, audio_digest, digest_of, file_digest

PARTS = {"model": "ab" * 32, "options": {"node": "prefinal-l", "subsampling": 3}, "audio": "cd"}


def values_of(seed: int, shape=(3, 2), dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class Compute:
    """Gives a matrix and counts how often it was asked."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.values.copy()


def never() -> np.ndarray:
    raise AssertionError("computed although there is an entry")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 2), (0, 4), (1, 1), (7,), ()])
def test_what_was_computed_comes_back_bit_for_bit(tmp_path, shape, dtype):
    values = np.asarray(values_of(0, shape or (1,), dtype).reshape(shape))
    cache = EmbeddingCache(tmp_path / "cache")
    first = cache.get_or_compute(PARTS, lambda: values)
    again = EmbeddingCache(tmp_path / "cache").get_or_compute(PARTS, never)
    assert first.tobytes() == again.tobytes() == values.tobytes()
    assert again.dtype == dtype
    assert again.shape == shape
    assert again.flags.writeable


def test_special_values_are_kept(tmp_path):
    values = np.array([[np.nan, np.inf], [-0.0, 5e-45]], np.float32)
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute(PARTS, lambda: values)
    assert cache.get_or_compute(PARTS, never).tobytes() == values.tobytes()


def test_an_entry_is_a_safetensors_file_that_says_what_it_is(tmp_path):
    cache = EmbeddingCache(tmp_path)
    values = values_of(1)
    cache.get_or_compute(PARTS, lambda: values)
    path = cache.path_of(digest_of(PARTS))
    with safetensors.safe_open(str(path), framework="numpy") as file:
        assert list(file.keys()) == ["embedding"]
        assert np.array_equal(file.get_tensor("embedding"), values)
        said = json.loads(file.metadata()["kaldi_bridge"])
    assert said["parts"] == PARTS
    assert said["sha256"] == hashlib.sha256(values.tobytes()).hexdigest()


@given(st.permutations(list(PARTS)))
def test_the_order_of_what_is_described_changes_no_key(order):
    assert digest_of({name: PARTS[name] for name in order}) == digest_of(PARTS)


def test_everything_described_is_part_of_the_key(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for number, parts in enumerate(
        (
            PARTS,
            {**PARTS, "audio": "ce"},
            {**PARTS, "options": {"node": "prefinal-l", "subsampling": 1}},
            {**PARTS, "more": None},
        )
    ):
        cache.get_or_compute(parts, lambda number=number: values_of(number))
        assert cache.stats().entries == number + 1


@pytest.mark.parametrize("parts", [{"x": float("nan")}, {"x": object()}])
def test_what_is_no_json_is_no_key(tmp_path, parts):
    with pytest.raises((TypeError, ValueError)):
        EmbeddingCache(tmp_path).get_or_compute(parts, lambda: values_of(0))


def test_integers_are_no_embedding(tmp_path):
    with pytest.raises(ValueError, match="float32"):
        EmbeddingCache(tmp_path).get_or_compute(PARTS, lambda: np.arange(3))


class TestDamage:
    @pytest.fixture
    def kept(self, tmp_path):
        cache = EmbeddingCache(tmp_path)
        cache.get_or_compute(PARTS, lambda: values_of(0))
        path = cache.path_of(digest_of(PARTS))
        return cache, path, path.read_bytes()

    def recomputed(self, kept, caplog) -> None:
        """The entry is computed again, said in one line, replaced, and good afterwards."""
        cache, path, whole = kept
        compute = Compute(values_of(0))
        caplog.clear()
        with caplog.at_level(logging.WARNING, "kaldi_bridge.cache"):
            got = cache.get_or_compute(PARTS, compute)
        assert compute.calls == 1
        assert np.array_equal(got, values_of(0))
        assert [str(path) in record.getMessage() for record in caplog.records] == [True]
        assert path.read_bytes() == whole
        cache.get_or_compute(PARTS, never)

    def test_cut_off_at_any_byte(self, kept, caplog):
        _, path, whole = kept
        assert len(whole) < 1000
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            self.recomputed(kept, caplog)

    def test_any_byte_changed_is_noticed_or_harmless(self, kept):
        cache, path, whole = kept
        header = 8 + struct.unpack("<Q", whole[:8])[0]
        noticed = 0
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
            compute = Compute(values_of(0))
            assert np.array_equal(cache.get_or_compute(PARTS, compute), values_of(0))
            noticed += compute.calls
            assert compute.calls == 1 or place < header  # what is said of the parts may differ
        assert noticed > 0.5 * len(whole)

    def test_bytes_behind_the_end(self, kept, caplog):
        _, path, whole = kept
        path.write_bytes(whole + b"\0")
        self.recomputed(kept, caplog)

    def test_the_entry_of_another_recording(self, kept, caplog):
        cache, path, _ = kept
        other = {**PARTS, "audio": "other"}
        cache.get_or_compute(other, lambda: values_of(9))
        path.write_bytes(cache.path_of(digest_of(other)).read_bytes())
        self.recomputed(kept, caplog)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"RIFF0000WAVE",
            b"\xff" * 64,
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 100_000) + b"[" * 100_000,
            safetensors.numpy.save({"embedding": np.zeros((3, 2), np.float32)}),
            safetensors.numpy.save({"other": np.zeros(3, np.float32)}),
        ],
    )
    def test_a_foreign_file(self, kept, caplog, content):
        kept[1].write_bytes(content)
        self.recomputed(kept, caplog)

    def test_a_header_that_promises_more_than_the_file_holds_is_refused_unread(self, kept, caplog):
        _, path, whole = kept
        huge = 1 << 46
        length = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8 : 8 + length])
        header["embedding"].update(shape=[huge], data_offsets=[0, 4 * huge])
        said = json.loads(header["__metadata__"]["kaldi_bridge"])
        header["__metadata__"]["kaldi_bridge"] = json.dumps({**said, "shape": [huge]})
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
        self.recomputed(kept, caplog)


def test_a_folder_that_cannot_be_written_costs_one_line_and_no_result(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING, "kaldi_bridge.cache"):
        for number in range(3):
            parts = {**PARTS, "audio": str(number)}
            got = cache.get_or_compute(parts, lambda number=number: values_of(number))
            assert np.array_equal(got, values_of(number))
    told = [record.getMessage() for record in caplog.records]
    assert sum("cannot be kept" in line for line in told) == 1


def test_nothing_is_left_where_a_write_fails(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = EmbeddingCache(tmp_path)
    monkeypatch.setattr("os.replace", full)
    assert np.array_equal(cache.get_or_compute(PARTS, lambda: values_of(0)), values_of(0))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_error_of_the_computation_is_passed_on_and_nothing_is_kept(tmp_path):
    cache = EmbeddingCache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute(PARTS, lambda: 1 / 0)
    assert cache.stats().entries == 0


def test_the_size_on_the_disk_is_stated_and_cleared(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for number in range(5):
        parts = {**PARTS, "audio": str(number)}
        cache.get_or_compute(parts, lambda: values_of(0, (100, 32)))
    cache.get_or_compute({**PARTS, "audio": "0"}, never)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "ab").mkdir(exist_ok=True)
    (tmp_path / "ab" / "mine.safetensors").write_text("not ours")
    stats = cache.stats()
    sizes = [path.stat().st_size for path in tmp_path.rglob("?" * 64 + ".safetensors")]
    assert (stats.entries, stats.bytes) == (5, sum(sizes))
    assert (stats.hits, stats.misses, stats.replaced) == (1, 5, 0)
    assert all(0 < size - 100 * 32 * 4 < 1024 for size in sizes)
    leftover = cache.path_of("0" * 64).with_name(".00.safetensors.1234-abcd")
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    assert cache.clear() == 5
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["mine.safetensors", "notes.txt"]
    assert EmbeddingCache(tmp_path / "nowhere").stats().entries == 0


def _many(folder: str, seed: int) -> bool:
    cache = EmbeddingCache(folder)
    good = True
    for number in np.random.default_rng(seed).integers(0, 8, 100):
        parts = {"audio": int(number)}
        values = values_of(int(number), (50, 8))
        good &= bool(np.array_equal(cache.get_or_compute(parts, lambda v=values: v), values))
        if number == 7:
            cache.path_of(digest_of(parts)).unlink(missing_ok=True)
    return good


def test_processes_share_a_folder(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.starmap(_many, [(str(tmp_path), seed) for seed in range(4)]))
    assert all(path.suffix == ".safetensors" for path in tmp_path.rglob("*") if path.is_file())


def test_digests(tmp_path):
    samples = np.linspace(-1, 1, 9, dtype=np.float32)
    digest = audio_digest(samples, 16000)
    in_blocks = AudioDigest(16000)
    for block in (samples[:4], samples[4:4], samples[4:]):
        in_blocks.update(block)
    assert in_blocks.hexdigest() == digest
    assert audio_digest(samples.astype(np.float64), 16000) == digest
    assert audio_digest(samples, 8000) != digest
    assert audio_digest(samples[:-1], 16000) != digest
    (tmp_path / "f").write_bytes(b"abc" * 1_000_000)
    assert file_digest(tmp_path / "f") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
