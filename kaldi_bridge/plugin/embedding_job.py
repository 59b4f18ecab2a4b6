"""What `sedsdk kaldi embed` does: a bad recording is named, and the rest is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.cache import EmbeddingCache
from kaldi_bridge.errors import KaldiError
from kaldi_bridge.plugin.embedder import Embedder
from kaldi_bridge.plugin.location import ModelAt
from kaldi_bridge.plugin.outputs import (
    Embedded,
    NpzFolder,
    recording_keys,
    script_of,
    write_ark,
    write_npz,
)
from sedsdk.audio import audio_info
from sedsdk.cli.recordings import audio_files
from sedsdk.cli.screen import in_words, progress, warn
from sedsdk.errors import DataError, SedsdkError

Update = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        node: whose activations.
        subsampling: frames per row; None for the model's own.
        frames_per_chunk: frames that share an i-vector.
        out: a folder, or a file that ends in .npz or .ark.
        cache: folder of a cache, or None.
        overwrite: replace files that are there.
    """

    node: str
    subsampling: int | None
    frames_per_chunk: int
    out: Path
    cache: Path | None
    overwrite: bool


def run(
    job: Job,
    model: Path,
    extractor: Path | None,
    feature_conf: Path | None,
    audio: Iterable[Path],
) -> int:
    """Embeds recordings; those that fail are named on stderr.

    Returns:
        How many failed.

    Raises:
        DataError: nothing to do, or files are in the way.
        ConfigError: the model is not there, or is not whole.
        KaldiError: the model cannot be read, or has no such node.
        OSError: the files cannot be written.
    """
    files, missing = audio_files(audio)
    for problem in missing:
        warn(f"error: {problem}")
    to_file = job.out.suffix in (".npz", ".ark")
    if to_file:
        _refuse_files_in_the_way(job)
    at = ModelAt.find(str(model), _text(extractor), _text(feature_conf))
    network = AcousticModel.load(at.model, extractor=at.extractor, feature_conf=at.feature_conf)
    network.node_dim(job.node)
    spool = job.out.parent if to_file else job.out
    spool.mkdir(parents=True, exist_ok=True)
    cache = None if job.cache is None else EmbeddingCache(job.cache)
    embedder = Embedder(
        network, at.digest, job.node, job.subsampling, job.frames_per_chunk, spool, cache
    )
    work = _Work(embedder, recording_keys(files), len(missing))
    folder = None if to_file else NpzFolder(job.out, job.overwrite)
    with progress("embedding", "s of audio") as update:
        items = work.items(folder, update)
        if folder is not None:
            folder.write(items)
        else:
            (write_npz if job.out.suffix == ".npz" else write_ark)(job.out, items)
    work.report(job.out)
    if cache is not None:
        stats = cache.stats()
        print(f"{cache.folder}: {stats.entries} embeddings, {stats.bytes / 1e6:.2f} MB")
    return work.failed


class _Work:
    """Goes through the recordings and counts."""

    def __init__(self, embedder: Embedder, recordings: dict[str, Path], failed: int) -> None:
        self.failed = failed
        self._embedder = embedder
        self._recordings = recordings
        self._asked = len(recordings) + failed
        self._made = self._kept = self._rows = 0

    def items(self, folder: NpzFolder | None, update: Update) -> Iterator[Embedded]:
        """Yields what could be embedded, the recordings that a folder already holds left out.

        Raises:
            DataError: not one could, and none is held.
        """
        lengths = {key: self._seconds(path) for key, path in self._recordings.items()}
        total, before = sum(lengths.values()), 0.0
        for key, path in self._recordings.items():
            made = None
            try:
                if folder is None or not self._is_kept(folder, key, path):
                    made = self._embedder(key, path, partial(_heard, update, before, total))
            except (SedsdkError, KaldiError, OSError) as error:
                self.failed += 1
                warn(f"error: {_named(path, in_words(error))}")
            if made is not None:
                self._made += 1
                self._rows += len(made.rows)
                yield made
            before += lengths[key]
        if not self._made and not self._kept:
            raise DataError(f"none of {self._asked} recordings could be embedded.")

    def report(self, out: Path) -> None:
        """Says what was done."""
        kept = f", {self._kept} already there" if self._kept else ""
        made = "1 recording" if self._made == 1 else f"{self._made} recordings"
        print(f"{out}: {made}, {self._rows} rows{kept}")
        if self.failed:
            warn(f"{self.failed} of {self._asked} inputs failed")

    def _seconds(self, path: Path) -> float:
        """Returns a recording's length, 0 if it cannot be read; warns of a rate that is too low."""
        try:
            info = audio_info(path)
        except SedsdkError:
            return 0.0
        rate = self._embedder.model.sample_rate
        if info.sample_rate < rate:
            warn(
                f"warning: {path} has {info.sample_rate} Hz, the model hears {rate} Hz: its upper "
                "bands are empty."
            )
        return info.duration

    def _is_kept(self, folder: NpzFolder, key: str, path: Path) -> bool:
        if not folder.is_there(key) or not folder.holds(key, self._embedder.made_from(path)):
            return False
        self._kept += 1
        return True


def _heard(update: Update, before: float, total: float, seconds: float) -> None:
    update(round(before + seconds), round(total))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _refuse_files_in_the_way(job: Job) -> None:
    written = [job.out, script_of(job.out)] if job.out.suffix == ".ark" else [job.out]
    there = [str(path) for path in written if path.exists()]
    if there and not job.overwrite:
        raise DataError(f"{' and '.join(there)}: already there. Give --overwrite to replace.")


def _named(path: Path, reason: str) -> str:
    return reason if str(path) in reason else f"{path}: {reason}"
