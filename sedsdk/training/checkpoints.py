"""Checkpoints that appear whole or not at all, on top of SpeechBrain's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

from sedsdk.errors import TrainingError

PART_PREFIX = "part-"


class WholeCheckpointer(Checkpointer):  # type: ignore[misc]
    """SpeechBrain's checkpointer, safe against a kill or a full disk while it saves.

    A checkpoint is written into a folder that no reader takes for one, flushed to the disk, and
    renamed; leftovers of a killed run are removed when the next one begins.

    Args:
        folder: where checkpoints lie; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        if if_main_process():
            for leftover in folder.glob(f"{PART_PREFIX}*"):
                shutil.rmtree(leftover)

    def save_checkpoint(
        self, meta: Mapping[str, Any] | None = None, *arguments: Any, **options: Any
    ) -> Checkpoint | None:
        """Saves a checkpoint; the arguments are SpeechBrain's.

        Returns:
            The checkpoint; None in every process but the main one.

        Raises:
            TrainingError: it cannot be written (disk full); earlier checkpoints stay.
        """
        try:
            part = super().save_checkpoint(dict(meta or {}), *arguments, **options)
            whole = None if part is None else _made_whole(part)
        except (OSError, RuntimeError) as error:
            if if_main_process():
                for leftover in self.checkpoints_dir.glob(f"{PART_PREFIX}*"):
                    shutil.rmtree(leftover, ignore_errors=True)
            raise TrainingError(
                f"cannot save a checkpoint in {self.checkpoints_dir} ({error}). Earlier ones are "
                "kept: make room and run the same command again."
            ) from error
        ddp_barrier()
        return whole

    def _new_checkpoint_dirpath(self) -> Path:
        path: Path = super()._new_checkpoint_dirpath()
        return path.with_name(PART_PREFIX + path.name)


def _made_whole(part: Checkpoint) -> Checkpoint:
    """Flushes a checkpoint's files and gives its folder the name that readers look for."""
    for file in part.path.iterdir():
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
    path = part.path.with_name(part.path.name.removeprefix(PART_PREFIX))
    os.replace(part.path, path)
    files = {name: path / file.name for name, file in part.paramfiles.items()}
    return Checkpoint(path, part.meta, files)
