"""Replacing a folder so that a full disk or a kill at any moment leaves the old one whole.

A new folder is written beside the old one, flushed to the disk, and then takes its name: the old
one steps aside to `.NAME.previous`, the new one takes its place, the old one is deleted. A kill
between the two renames leaves no folder of that name for a moment; `current_folder` then finds the
old one, and the next save puts it back first. One process saves to a folder at a time.
"""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


def current_folder(folder: Path) -> Path:
    """Returns the folder to read: `folder`, or what an interrupted save moved aside."""
    previous = _previous(folder)
    return previous if not folder.exists() and previous.is_dir() else folder


@contextmanager
def replaced_folder(folder: Path, owned: Collection[str]) -> Iterator[Path]:
    """Gives an empty folder to write to; when the block ends well, it becomes `folder`.

    When the block raises, the new folder is deleted and the old one stays as it was. Entries of the
    old folder that are not `owned` are copied to the new one.

    Args:
        folder: the folder to replace or to make; its parents are made too.
        owned: names of the entries that the block writes.

    Raises:
        OSError: the disk is full, a permission is missing, or the like.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _recover(folder)
    staging = folder.with_name(f".{folder.name}.saving-{uuid.uuid4().hex}")
    staging.mkdir()
    try:
        yield staging
        if folder.exists():
            _copy_others(folder, staging, owned)
        _flush_tree(staging)
        _swap(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    shutil.rmtree(_previous(folder), ignore_errors=True)


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _recover(folder: Path) -> None:
    """Finishes or undoes what a killed save left behind."""
    previous = _previous(folder)
    if previous.is_dir():
        if folder.exists():
            shutil.rmtree(previous)
        else:
            os.rename(previous, folder)
    for stale in folder.parent.glob(f".{glob.escape(folder.name)}.saving-*"):
        shutil.rmtree(stale)


def _copy_others(folder: Path, staging: Path, owned: Collection[str]) -> None:
    for entry in folder.iterdir():
        if entry.name in owned:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, staging / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, staging / entry.name, follow_symlinks=False)


def _swap(staging: Path, folder: Path) -> None:
    if folder.exists():
        previous = _previous(folder)
        os.rename(folder, previous)
        try:
            os.rename(staging, folder)
        except BaseException:
            os.rename(previous, folder)
            raise
    else:
        os.rename(staging, folder)
    _flush(folder.parent)


def _flush_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            _flush(Path(path, name))
        _flush(Path(path))


def _flush(path: Path) -> None:
    """Waits until a file, or a folder where the system can, is on the disk."""
    if path.is_symlink() or (path.is_dir() and os.name != "posix"):
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
