"""How long an epoch took, over all the processes that worked on it one after another."""

from __future__ import annotations

import json
import time
from pathlib import Path

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


@register_checkpoint_hooks
class EpochClock:
    """Seconds of the present epoch; a checkpoint in its middle takes them along."""

    def __init__(self) -> None:
        self._epoch = 0
        self._before = 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds spent on the epoch up to now."""
        return self._before + time.monotonic() - self._began

    def start(self, epoch: int) -> None:
        """Begins an epoch, or goes on with the one that a checkpoint was taken in."""
        if epoch != self._epoch:
            self._epoch, self._before = epoch, 0.0
        self._began = time.monotonic()

    @mark_as_saver  # type: ignore[untyped-decorator]
    def save(self, path: Path) -> None:
        """Writes the epoch and its seconds, as SpeechBrain's checkpointer asks for it."""
        Path(path).write_text(json.dumps([self._epoch, self.seconds]), encoding="utf-8")

    @mark_as_loader  # type: ignore[untyped-decorator]
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Takes what `save` wrote."""
        self._epoch, self._before = json.loads(Path(path).read_text(encoding="utf-8"))
        self._began = time.monotonic()
