"""Speed of the mixture synthesiser: seconds of audio per second of wall time and core.

    python benchmarks/synthesiser.py                     the built-in corpus
    python benchmarks/synthesiser.py --sources FOLDER    a folder of recordings

Every row makes the same mixtures anew, files written and flushed to disk included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from sedsdk.data.corpus import make_corpus
from sedsdk.data.mixtures import MixtureSettings, synthesise
from sedsdk.data.sources import SourceSet, read_sources

CORPUS_SIZE = "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, help="folder of recordings; default: made here")
    parser.add_argument("--mixtures", type=int, default=40, help="mixtures per class")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes, per row")
    parser.add_argument("--distractors", type=int, default=3, help="most distractors per mixture")
    parser.add_argument(
        "--subtype",
        default="PCM_24",
        choices=("PCM_16", "PCM_24", "FLOAT"),
        help="width of the WAV files",
    )
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(arguments.sources, Path(folder), max(arguments.workers))
        settings = MixtureSettings(
            mixtures_per_class=arguments.mixtures,
            distractors_per_mixture=(0, arguments.distractors if sources.distractors else 0),
            subtype=arguments.subtype,
        )
        count = arguments.mixtures * len(sources.labels)
        audio_seconds = count * settings.duration_seconds
        print(
            f"{count} mixtures of {settings.duration_seconds:g} s, {settings.sample_rate} Hz "
            f"{settings.subtype}, from {len(sources.events)} events and "
            f"{len(sources.backgrounds)} backgrounds"
        )
        print(f"{'workers':>8}{'wall [s]':>10}{'x real time':>13}{'x real time per core':>22}")
        for workers in arguments.workers:
            begin = time.perf_counter()
            synthesise(sources, settings, Path(folder) / f"mixtures-{workers}", workers)
            wall = time.perf_counter() - begin
            speed = audio_seconds / wall
            print(f"{workers:>8}{wall:>10.2f}{speed:>13.0f}{speed / workers:>22.0f}")


def _sources(recordings: Path | None, folder: Path, workers: int) -> SourceSet:
    if recordings is not None:
        return read_sources(recordings)
    begin = time.perf_counter()
    sources = make_corpus(folder / "corpus", size=CORPUS_SIZE, workers=workers)
    wall = time.perf_counter() - begin
    print(f"{len(sources.sources)} sounds of the {CORPUS_SIZE} corpus made in {wall:.1f} s")
    return sources.split("train")


if __name__ == "__main__":
    main()
