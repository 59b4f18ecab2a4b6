"""Embeddings kept on disk: one safetensors file per recording, checked whenever it is read.

    folder/4f/4f0c…e1.safetensors     named by the SHA-256 of what the embedding depends on

An entry takes rows · columns · 4 bytes and less than a kilobyte for what is said about it: an hour
of audio in rows of 256 values every 30 ms takes 123 MB. A file is written aside and renamed, so it
appears whole or not at all and processes may share a folder. What cannot be read is computed again
and replaced; what cannot be written costs a line in the log and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from kaldi_bridge.errors import KaldiFileError
from kaldi_bridge.sink import opened_atomically

FORMAT = "kaldi_bridge embedding 1"
TENSOR_NAME = "embedding"
METADATA_NAME = "kaldi_bridge"
"""One entry holds all that is said, so that equal entries are equal files."""
LARGEST_HEADER = 1 << 20
"""Bytes; ours take hundreds."""
LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, little-endian."""
READ_BYTES = 1 << 20

_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_SUFFIX = ".safetensors"

_log = logging.getLogger(__name__)

Embedding = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds on the disk, and what one `EmbeddingCache` has done since it was made.

    Attributes:
        entries: files.
        bytes: their size.
        hits: embeddings that were read.
        misses: embeddings that were computed because there was no entry.
        replaced: embeddings that were computed because the entry could not be used.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    replaced: int


class EmbeddingCache:
    """Keeps float matrices under a digest of everything that they depend on.

    Args:
        folder: made when the first entry is written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._hits = self._misses = self._replaced = 0
        self._says_when_full = True

    def get_or_compute(
        self, parts: Mapping[str, object], compute: Callable[[], Embedding]
    ) -> Embedding:
        """Returns the entry for `parts`; where there is none that can be used, computes and keeps.

        Args:
            parts: JSON-like description of everything that the embedding depends on: digests of
                the model and of the audio, options.
            compute: gives float16, float32 or float64 of any shape.

        Returns:
            A writable array, equal to what `compute` gave, bit for bit.

        Raises:
            TypeError, ValueError: `parts` is not JSON-like, or `compute` gave no floats.
        """
        key = digest_of(parts)
        path = self.path_of(key)
        try:
            kept = _read(path, key)
        except FileNotFoundError:
            self._misses += 1
        except (_Damaged, OSError) as error:
            self._replaced += 1
            _log.warning("%s cannot be used (%s); it is computed again and replaced", path, error)
        else:
            self._hits += 1
            return kept
        values = np.asarray(compute(), order="C")
        content = _packed(values, key, parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened_atomically(path) as file:
                file.write(content)
        except (OSError, KaldiFileError) as error:
            if self._says_when_full:
                self._says_when_full = False
                _log.warning("%s cannot be kept: %s", path, error)
        return values

    def path_of(self, key: str) -> Path:
        """Returns where the entry of a key lies, whether or not it is there."""
        return self.folder / key[:2] / f"{key}{_SUFFIX}"

    def stats(self) -> CacheStats:
        """Counts entries and bytes on the disk."""
        sizes = []
        for path in self._entries():
            with suppress(FileNotFoundError):  # another process may clear
                sizes.append(path.stat().st_size)
        return CacheStats(len(sizes), sum(sizes), self._hits, self._misses, self._replaced)

    def clear(self) -> int:
        """Removes every entry and what killed processes left; other files stay.

        Returns:
            The number of entries removed.
        """
        removed = 0
        for path in list(self._entries()):
            path.unlink(missing_ok=True)
            removed += 1
        for path in list(self.folder.glob(f"[0-9a-f][0-9a-f]/.*{_SUFFIX}.*")):
            path.unlink(missing_ok=True)
        for path in list(self.folder.glob("[0-9a-f][0-9a-f]")):
            with suppress(OSError):
                path.rmdir()  # empty ones only
        return removed

    def _entries(self) -> Iterator[Path]:
        for path in self.folder.glob(f"[0-9a-f][0-9a-f]/*{_SUFFIX}"):
            if len(path.stem) == 64 and path.stem.startswith(path.parent.name):
                yield path


def digest_of(parts: Mapping[str, object]) -> str:
    """Returns the SHA-256, in hexadecimal, of a JSON-like description; the order does not matter.

    Raises:
        TypeError, ValueError: it is not JSON-like.
    """
    text = json.dumps(
        {"format": FORMAT, "parts": parts},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()


class AudioDigest:
    """SHA-256 of samples as float32 and of their rate, however they are cut into blocks.

    Args:
        sample_rate: hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._state = hashlib.sha256(f"float32 at {sample_rate} Hz ".encode())

    def update(self, samples: NDArray[np.floating[Any]]) -> None:
        """Takes the next samples, [N]."""
        self._state.update(np.ascontiguousarray(samples, dtype="<f4").tobytes())

    def hexdigest(self) -> str:
        """Returns the digest of what was taken, in hexadecimal."""
        return self._state.hexdigest()


def audio_digest(samples: NDArray[np.floating[Any]], sample_rate: int) -> str:
    """Returns the `AudioDigest` of a whole recording, samples [N]."""
    digest = AudioDigest(sample_rate)
    digest.update(samples)
    return digest.hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256, in hexadecimal, of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            state.update(block)
    return state.hexdigest()


class _Damaged(Exception):
    """An entry that is not what was once written, in words."""


def _packed(values: Embedding, key: str, parts: Mapping[str, object]) -> bytes:
    if values.dtype.type not in _DTYPES.values():
        raise ValueError(f"an embedding is float16, float32 or float64, got {values.dtype}")
    said = {
        "format": FORMAT,
        "key": key,
        "parts": parts,
        "shape": values.shape,
        "dtype": values.dtype.name,
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    content: bytes = safetensors.numpy.save({TENSOR_NAME: values}, metadata={METADATA_NAME: text})
    return content


def _read(path: Path, key: str) -> Embedding:
    """Reads an entry after its header and its length have been checked, then checks the values."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 0 < length <= min(LARGEST_HEADER, size - LENGTH_BYTES):
            raise _Damaged("its header is cut off")
        shape, dtype, wanted = _checked_header(file.read(length), key)
        expected = math.prod(shape) * dtype.itemsize
        if size != LENGTH_BYTES + length + expected:
            raise _Damaged(f"{size} bytes where {LENGTH_BYTES + length + expected} were written")
        data = bytearray(expected)
        if file.readinto(data) != expected or hashlib.sha256(data).hexdigest() != wanted:
            raise _Damaged("its values are not those that were written")
    return np.frombuffer(data, dtype).reshape(shape)


def _checked_header(header: bytes, key: str) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    """Returns shape, dtype and digest of the values, if all that the header says fits together."""
    try:
        fields = json.loads(header)
        said, tensor = json.loads(fields["__metadata__"][METADATA_NAME]), fields[TENSOR_NAME]
        dtype = np.dtype(_DTYPES[tensor["dtype"]]).newbyteorder("<")
        shape = tuple(operator.index(size) for size in tensor["shape"])
        offsets = tuple(tensor["data_offsets"])
        found = (said["format"], said["key"], tuple(said["shape"]), said["dtype"])
        digest = str(said["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Damaged("its header is not that of an embedding") from error
    if found[:2] != (FORMAT, key):
        raise _Damaged("it is the entry of something else")
    fits = found[2:] == (shape, dtype.name) and min(shape, default=0) >= 0
    if not fits or len(fields) != 2 or offsets != (0, math.prod(shape) * dtype.itemsize):
        raise _Damaged("its header contradicts itself")
    return shape, dtype, digest
