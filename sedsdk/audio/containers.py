"""How audio files are named, what a container promises, and whether the file holds it.

libsndfile reads a truncated WAV, AIFF or Ogg file without a word and gives fewer samples. Here the
chunk sizes (RIFF, RIFX, RF64, AIFF) and the end-of-stream mark (Ogg, RFC 3533) are compared with
the file itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
)
"""Suffixes by which folders are searched for recordings."""
CHUNK_HEADER = 8
SMALLEST_UNKNOWN_SIZE = 0x7FFFF000
"""Data sizes from here on are written by programs that stream and do not know the length."""
PADDING_BYTES = 1
OGG_PAGE = b"OggS"
OGG_LARGEST_PAGE = 65307
OGG_FLAGS_AT = 5
OGG_END_OF_STREAM = 4


def truncation(path: Path) -> str:
    """Returns why a file is shorter than its container says, or "" if it is not.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        form = stream.read(12)
        if form[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and form[8:] == b"WAVE":
            big_endian = form[:4] == b"RIFX"
            return _chunk_shortage(stream, size, b"data", "big" if big_endian else "little")
        if form[:4] == b"FORM" and form[8:] in (b"AIFF", b"AIFC"):
            return _chunk_shortage(stream, size, b"SSND", "big")
        if form[:4] == OGG_PAGE:
            return _ogg_shortage(stream, size)
    return ""


def _chunk_shortage(stream: BinaryIO, size: int, wanted: bytes, order: str) -> str:
    """Walks the chunks up to the one with the samples and compares its size with the file."""
    long_size = None
    while len(header := stream.read(CHUNK_HEADER)) == CHUNK_HEADER:
        name, length = header[:4], int.from_bytes(header[4:], "big" if order == "big" else "little")
        if name == wanted:
            if length >= SMALLEST_UNKNOWN_SIZE:
                if long_size is None:
                    return ""
                length = long_size
            there = size - stream.tell()
            if length - there > PADDING_BYTES:
                return f"its header promises {length} bytes of samples and {there} are there"
            return ""
        body = stream.tell()
        if name == b"ds64":
            long_size = int.from_bytes(stream.read(16)[8:], "little")
        stream.seek(body + length + length % 2)
    return "it ends before its samples begin"


def _ogg_shortage(stream: BinaryIO, size: int) -> str:
    stream.seek(max(0, size - OGG_LARGEST_PAGE), os.SEEK_SET)
    tail = stream.read()
    page = tail.rfind(OGG_PAGE)
    if page < 0 or len(tail) <= page + OGG_FLAGS_AT:
        return "its last page is missing"
    if not tail[page + OGG_FLAGS_AT] & OGG_END_OF_STREAM:
        return "its last page does not end the stream"
    return ""
