from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from sedsdk.data.feature_cache import FeatureCache
from sedsdk.data.sources import Source
from sedsdk.errors import DataError

WANTED = np.arange(12, dtype=np.float32).reshape(4, 3)


class Counted:
    """Computes `WANTED` and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return WANTED


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    return Source(path, "dog")


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_it_computes_once_and_maps_the_file(tmp_path: Path, source: Source) -> None:
    compute = Counted()
    for _ in range(3):
        values = FeatureCache(tmp_path / "made" / "c", {"n_mels": 3}).get(source, compute)
        assert isinstance(values, np.memmap)
        np.testing.assert_array_equal(values, WANTED)
    assert compute.calls == 1


def test_config_span_and_file_are_the_key(tmp_path: Path, source: Source) -> None:
    folder, compute = tmp_path / "c", Counted()
    FeatureCache(folder, {"a": 1, "b": 2}).get(source, compute)
    FeatureCache(folder, {"b": 2, "a": 1}).get(source, compute)
    assert compute.calls == 1
    FeatureCache(folder, {"a": 1, "b": 3}).get(source, compute)
    cache = FeatureCache(folder, {"a": 1, "b": 2})
    cache.get(Source(source.path, "dog", 0.5), compute)
    cache.get(Source(source.path, "dog", 0.0, 0.5), compute)
    assert compute.calls == 4
    cache.get(Source(source.path, "another label", group="g"), compute)
    assert compute.calls == 4
    before = os.stat(source.path).st_mtime_ns
    os.utime(source.path, ns=(before, before + 10**9))
    cache.get(source, compute)
    source.path.write_bytes(b"longer sound")
    os.utime(source.path, ns=(before, before + 10**9))
    cache.get(source, compute)
    assert compute.calls == 6


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x93NUMPY", b"not an array at all", b"PK\x03\x04 no archive", None],
    ids=["empty", "no header", "text", "archive", "cut"],
)
def test_a_damaged_file_is_computed_again(
    tmp_path: Path, source: Source, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    cache, compute = FeatureCache(tmp_path / "c", {}), Counted()
    cache.get(source, compute)
    file = only_file(tmp_path / "c")
    file.write_bytes(file.read_bytes()[:-5] if damage is None else damage)
    np.testing.assert_array_equal(cache.get(source, compute), WANTED)
    assert compute.calls == 2
    assert file.name in caplog.text
    np.testing.assert_array_equal(cache.get(source, compute), WANTED)
    assert compute.calls == 2


def test_an_array_that_cannot_be_kept_leaves_nothing(tmp_path: Path, source: Source) -> None:
    cache = FeatureCache(tmp_path / "c", {})
    with pytest.raises(ValueError, match="allow_pickle"):
        cache.get(source, lambda: np.array([object()]))
    assert list((tmp_path / "c").iterdir()) == []


def test_a_failing_computation_leaves_nothing(tmp_path: Path, source: Source) -> None:
    def fail() -> np.ndarray:
        raise RuntimeError("no")

    cache, compute = FeatureCache(tmp_path / "c", {}), Counted()
    with pytest.raises(RuntimeError):
        cache.get(source, fail)
    assert list((tmp_path / "c").iterdir()) == []
    np.testing.assert_array_equal(cache.get(source, compute), WANTED)


def test_an_old_array_stays_readable_while_it_is_replaced(tmp_path: Path, source: Source) -> None:
    cache = FeatureCache(tmp_path / "c", {})
    first = cache.get(source, Counted())
    only_file(tmp_path / "c").unlink()
    cache.get(source, Counted())
    np.testing.assert_array_equal(first, WANTED)


def test_writers_at_once_agree(tmp_path: Path, source: Source) -> None:
    writers = 6
    together = Barrier(writers)

    def compute() -> np.ndarray:
        together.wait()
        return WANTED

    def write(_: int) -> np.ndarray:
        return FeatureCache(tmp_path / "c", {}).get(source, compute)

    with ThreadPoolExecutor(writers) as pool:
        for values in pool.map(write, range(writers)):
            np.testing.assert_array_equal(values, WANTED)
    assert only_file(tmp_path / "c").suffix == ".npy"


def test_no_frames_are_kept_too(tmp_path: Path, source: Source) -> None:
    cache = FeatureCache(tmp_path / "c", {})
    for _ in range(2):
        assert cache.get(source, lambda: np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_with_locks_one_of_several_computes_and_the_others_wait(
    tmp_path: Path, source: Source
) -> None:
    compute = Counted()
    waiting = Barrier(4)

    def write(_: int) -> np.ndarray:
        waiting.wait()
        return FeatureCache(tmp_path / "c", {}, tmp_path / "locks").get(source, compute)

    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(write, range(4)):
            np.testing.assert_array_equal(values, WANTED)
    assert compute.calls == 1
    assert only_file(tmp_path / "c").suffix == ".npy"


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = FeatureCache(tmp_path / "c", {})
    monkeypatch.setattr("sedsdk.data.feature_cache.np.save", fill)
    with pytest.raises(DataError, match=r"\.npy cannot be written: No space left.*Make room"):
        cache.get(source, Counted())
    assert list((tmp_path / "c").iterdir()) == []
