"""What speech embeddings separate: a linear probe of each event class on frames of recordings.

    python benchmarks/embedding_separation.py ../shared/real
    python benchmarks/embedding_separation.py RECORDINGS --model exp/chain/tdnn_1d_sp

A logistic regression per class and kind of features learns from the recordings of the train part
which frames of 100 ms belong to the class; all other events, distractors and backgrounds are the
rest. Printed is the area under the ROC curve on the dev part, over frames and, in brackets, over
recordings (the mean of their frames), with a 95 % interval over resampled recordings. The features:
the acoustic model's embedding, 40 log-mel bands with the two frames of 50 ms on either side (as the
gradual network's own path reads them), and both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sedsdk import part
from sedsdk.audio import read_audio
from sedsdk.config import PartRef
from sedsdk.data.source_set import Source
from sedsdk.data.sources import read_sources
from sedsdk.host import default_host
from sedsdk.stages import Frontend

LABELS = ("babycry", "glassbreak", "gunshot")
MOST_SECONDS = 10.0
"""Of a recording that are looked at."""
RESAMPLES = 1000
LOG_MEL = part(
    "log_mel",
    sample_rate=16000,
    window_seconds=0.02,
    hop_seconds=0.01,
    n_mels=40,
    floor=1e-8,
    drop_last=True,
    average_frames=5,
    context_frames=2,
)


@dataclass(frozen=True)
class Heard:
    """Frames of 100 ms of a recording.

    Attributes:
        label: its class.
        split: "train" or "dev".
        rows: kind of features → float32 [T, D].
    """

    label: str
    split: str
    rows: dict[str, NDArray[np.float32]]


def frontend_of(ref: PartRef) -> Frontend:
    """Builds a frontend."""
    kind, options = ref.resolve("frontend", default_host())
    built: Frontend = kind(options)
    return built.eval()


def hear(source: Source, frontends: dict[str, Frontend]) -> Heard:
    """Computes the features of a recording, every second frame of those of 50 ms."""
    end = min(source.end or np.inf, source.start + MOST_SECONDS)
    rows = {}
    for name, frontend in frontends.items():
        samples, _ = read_audio(source.path, frontend.sample_rate, source.start, end)
        with torch.inference_mode():
            found = frontend(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        step = 2 if found.grid.hop_seconds < 0.09 else 1
        rows[name] = found.values[0, ::step].numpy()
    shortest = min(map(len, rows.values()))
    rows = {name: values[:shortest] for name, values in rows.items()}
    return Heard(source.label, source.split, {**rows, "both": np.concatenate([*rows.values()], 1)})


def probe(heard: Sequence[Heard], label: str, kind: str) -> dict[str, Any]:
    """Trains on the train part; returns areas on the dev part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = [each for each in heard if each.split == "train"]
    dev = [each for each in heard if each.split == "dev"]
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
    )
    truth = np.concatenate([np.full(len(each.rows[kind]), each.label == label) for each in train])
    classifier.fit(np.concatenate([each.rows[kind] for each in train]), truth)
    scores = [classifier.decision_function(each.rows[kind]) for each in dev]
    is_event = np.array([each.label == label for each in dev])

    def areas(chosen: NDArray[np.integer[Any]]) -> tuple[float, float]:
        frames = np.concatenate([scores[i] for i in chosen])
        of_event = np.concatenate([np.full(len(scores[i]), is_event[i]) for i in chosen])
        means = [scores[i].mean() for i in chosen]
        return roc_auc_score(of_event, frames), roc_auc_score(is_event[chosen], means)

    rng = np.random.default_rng(0)
    events, others = np.flatnonzero(is_event), np.flatnonzero(~is_event)
    draws = [
        areas(np.concatenate([rng.choice(events, len(events)), rng.choice(others, len(others))]))[0]
        for _ in range(RESAMPLES)
    ]
    by_frame, by_recording = areas(np.arange(len(dev)))
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "class": label,
        "features": kind,
        "area_frames": by_frame,
        "interval": [low, high],
        "area_recordings": by_recording,
        "dev_events": int(is_event.sum()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a row per class and kind of features."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recordings", type=Path, help="events/<label>/, backgrounds/, origin.csv")
    parser.add_argument("--model", help="acoustic model; the bundled one if not given")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args(arguments)
    frontends = {
        "embedding": frontend_of(part("tdnnf_embedding", model=options.model, hop_seconds=0.1)),
        "log_mel": frontend_of(LOG_MEL),
    }
    sources = read_sources(options.recordings, LABELS, with_speech=True).sources
    heard = []
    for number, source in enumerate(sources, start=1):
        heard.append(hear(source, frontends))
        if sys.stderr.isatty():
            print(f"\rrecordings {number}/{len(sources)}", end="", file=sys.stderr)
    found = [probe(heard, label, kind) for label in LABELS for kind in heard[0].rows]
    print(f"{'class':12} {'features':10} area, frames     [95 %]      (recordings)")
    for row in found:
        low, high = row["interval"]
        print(
            f"{row['class']:12} {row['features']:10} {row['area_frames']:12.3f} "
            f"[{low:.3f}, {high:.3f}]  ({row['area_recordings']:.3f})"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
