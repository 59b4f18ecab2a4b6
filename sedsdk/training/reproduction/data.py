"""What a reproduction trains on: a data set, real recordings, or made sounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sedsdk.data.sources import read_sources
from sedsdk.errors import ConfigError, DataError
from sedsdk.host import Host, default_host
from sedsdk.training.recipe import BUILTIN_CORPUS, DatasetData, Recipe, RecordingsData
from sedsdk.training.reproduction.plan import DataKind, Scale


@dataclass(frozen=True)
class DataChoice:
    """What is trained on.

    Attributes:
        kind: decides which of the scale's changes apply.
        folder: stands for "{data}" in them; None for the built-in corpus.
    """

    kind: DataKind
    folder: Path | None = None

    @property
    def words(self) -> str:
        """The data, as a caption names them."""
        if self.kind == "corpus" or self.folder is None:
            return "the built-in corpus of made sounds"
        what = "the data set" if self.kind == "dataset" else "real recordings"
        return f'{what} in "{self.folder.name}"'


def choose_data(
    scale: Scale, dataset: Path | None, recordings: Path | None, recordings_are_asked: bool = False
) -> DataChoice:
    """Takes the data set if one is given, else recordings if there are any, else made sounds.

    Args:
        scale: says by its `changes_on` what it can be run on.
        dataset: folder of the data set, as downloaded.
        recordings: folder of real recordings.
        recordings_are_asked: they were named by the caller, not found.

    Raises:
        DataError: the folder of the data set does not exist.
        ConfigError: the scale cannot be run on what was asked for, or on what there is.
    """
    known = scale.changes_on
    can = f"It can be run on: {', '.join(known) or 'what its recipes name'}."
    if dataset is not None:
        if not dataset.is_dir():
            raise DataError(f"{dataset}: no such folder. Give the data set as downloaded.")
        if "dataset" not in known:
            raise ConfigError(f"this scale reads no data set. {can}")
        return DataChoice("dataset", dataset.resolve())
    if recordings is not None and "recordings" in known:
        return DataChoice("recordings", recordings.resolve())
    if recordings_are_asked:
        raise ConfigError(f"this scale is not made for a folder of recordings. {can}")
    if "corpus" in known or not known:
        return DataChoice("corpus")
    raise ConfigError(f"this scale needs data, and none were given or found. {can}")


def check_data(recipes: Iterable[Recipe], host: Host | None = None) -> None:
    """Reads the lists of all data that recipes name, so that a wrong folder shows at once.

    Raises:
        DataError: a folder is missing or not of the form that its reader knows.
        UnknownPart: the reader of a data set is not installed.
    """
    seen: set[tuple[str, ...]] = set()
    for recipe in recipes:
        data = recipe.data
        if isinstance(data, DatasetData):
            read = (host or default_host()).load_dataset(data.name)
            for part in (data.train, data.validation, data.test):
                listed = (data.name, data.folder, str(part))
                if part is not None and listed not in seen:
                    seen.add(listed)
                    read(Path(data.folder), part)
        elif isinstance(data, RecordingsData) and data.folder != BUILTIN_CORPUS:
            named = (data.folder, data.split, *recipe.pipeline.labels)
            if named not in seen:
                seen.add(named)
                read_sources(Path(data.folder), recipe.pipeline.labels).split(data.split)
