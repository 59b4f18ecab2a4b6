"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file such that a reader, a crash or a full disk never leaves half of it.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the
    name's place in one step; what had the name before stays until then. Missing folders are made.

    Args:
        path: the file.
        content: all of its bytes.

    Raises:
        OSError: the folder or the disk cannot be written to; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
