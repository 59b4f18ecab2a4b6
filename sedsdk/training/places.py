"""Where a run keeps what it makes of its data: in its own folder, or in one that runs share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sedsdk.config import digest
from sedsdk.data.locks import exclusive
from sedsdk.data.manifest import Manifest
from sedsdk.errors import DataError
from sedsdk.files import write_atomically

Say = Callable[[str], None]

DATA_FOLDER = "data"
CACHE_FOLDER = "cache"
MADE_FILE = "made.json"


@dataclass(frozen=True)
class Places:
    """Folders of mixtures, sounds and features.

    Under `shared`, each lies in a folder named by a digest of all that it is made from, so that
    runs which want the same find it there, and one of them makes it while the others wait.

    Attributes:
        run: folder of the run.
        shared: folder that runs share; None keeps everything in the run's own.
    """

    run: Path
    shared: Path | None = None

    @property
    def cache(self) -> Path:
        """Folder of feature caches."""
        return (self.shared or self.run) / CACHE_FOLDER

    @property
    def locks(self) -> Path | None:
        """Folder of lock files, None where nothing is shared."""
        return None if self.shared is None else self.shared / "locks"

    def corpus(self, size: str) -> Path:
        """Returns the folder of the built-in corpus."""
        if self.shared is None:
            return self.run / DATA_FOLDER / "corpus"
        from sedsdk.data.corpus import CORPUS_VERSION

        return self.shared / f"corpus-{CORPUS_VERSION}-{size}"

    def mixtures(self, name: str, subset: str, made_from: object) -> Path:
        """Returns the folder of a set of mixtures.

        Args:
            name: what the run uses it for.
            subset: name of the set.
            made_from: JSON-like description of all that decides its content.
        """
        if self.shared is None:
            return self.run / DATA_FOLDER / name
        return self.shared / "mixtures" / f"{subset}-{digest(made_from)[:24]}"

    @contextmanager
    def making(self, folder: Path, what: str, say: Say) -> Iterator[None]:
        """Keeps other processes from making the same while the block runs."""
        if self.locks is None:
            yield
            return
        with exclusive(self.locks / f"{folder.name}.lock", what, say):
            yield

    def note(self, name: str, manifest: Path) -> None:
        """Notes in the run's folder where the mixtures of one purpose are."""
        noted = {**self._noted(), name: _from(self.run, manifest)}
        if noted != self._noted():
            text = json.dumps(noted, indent=1) + "\n"
            write_atomically(self.run / DATA_FOLDER / MADE_FILE, text.encode())

    def noted(self, name: str) -> Manifest:
        """Returns the mixtures that `note` was told of, as their manifest lists them.

        Raises:
            DataError: it was told of none, or they are gone.
        """
        noted = self._noted()
        if name not in noted:
            raise DataError(
                f"{self.run / DATA_FOLDER / MADE_FILE} does not say where the mixtures for {name} "
                f"are. Delete {self.run} and run again."
            )
        return Manifest.read(self.run / noted[name])

    def _noted(self) -> dict[str, str]:
        path = self.run / DATA_FOLDER / MADE_FILE
        if not path.is_file():
            return {}
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found


def _from(run: Path, path: Path) -> str:
    own, absolute = run.absolute(), path.absolute()
    inside = absolute.is_relative_to(own)
    return (absolute.relative_to(own) if inside else absolute).as_posix()
