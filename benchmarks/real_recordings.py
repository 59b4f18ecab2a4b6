"""Scores detectors on mixtures of real development recordings, plain and with hard negatives.

    python benchmarks/real_recordings.py DETECTOR... --recordings ../shared/real

Per class 100 mixtures of 30 s of the split "dev", half with an event at -6, 0 or 6 dB; "hard" puts
one recording of events_other into every mixture, "plain" none. Each class is scored on the
mixtures made for it, as in DCASE 2017 Task 2. The detector's own thresholds are used as saved.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from sedsdk.data import MixtureSettings, read_sources, synthesise
from sedsdk.runtime.bundle import load_bundle
from sedsdk.training.score import ScoringClips, predict_clips, report_on_clips
from sedsdk.training.streams import StreamReader

SEED = 2
SETS = {"hard": (1, 1), "plain": (0, 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="+", type=Path)
    parser.add_argument("--recordings", type=Path, default=Path("../shared/real"))
    parser.add_argument("--mixtures", type=int, default=100, help="per class")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    pipelines = {folder: load_bundle(folder) for folder in options.detectors}
    labels = next(iter(pipelines.values())).labels
    development = read_sources(options.recordings, labels).split("dev")
    others = options.recordings / "events_other"
    sources = development.keep(
        lambda source: source not in development.distractors or others in source.path.parents
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, distractors in SETS.items():
            settings = MixtureSettings(
                subset=f"dev{name}",
                mixtures_per_class=options.mixtures,
                distractors_per_mixture=distractors,
                subtype="PCM_16",
                seed=SEED,
            )
            manifest = synthesise(sources, settings, folder, workers=options.workers)
            for detector, pipeline in pipelines.items():
                clips = ScoringClips(manifest, StreamReader(pipeline, None), labels, "cpu")
                predictions = predict_clips(pipeline, clips)
                onset = report_on_clips(pipeline, predictions, clips, name).onset
                cells = [
                    f"{label} {score.error_rate:.2f} | {100 * score.f1:.0f}"
                    for label, score in onset.classes.items()
                ]
                mean = onset.average
                cells.append(f"average {mean.error_rate:.2f} | {100 * mean.f1:.1f}")
                print(f"{name:6}{detector}: " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
