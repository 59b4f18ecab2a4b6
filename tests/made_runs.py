"""A small plan, and run folders as finished trainings leave them, without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sedsdk.config import read_model
from sedsdk.evaluation import ClipCounts, EventCounts
from sedsdk.files import write_atomically
from sedsdk.training.reproduction.plan import Plan
from sedsdk.training.reproduction.runs import Run

CLIPS_PER_GROUP = 2
COLLAR = 0.5


def plan(**changes: object) -> Plan:
    """A baseline and two more rows in two tables; one model for all classes."""
    values = {
        "title": "Rare events again",
        "source": "a paper",
        "scales": {
            "small": {
                "caption": "few mixtures",
                "recipes": {"all": "demo/corpus"},
                "seeds": [0, 1],
                "changes": ["training.epochs=3"],
            }
        },
        "tables": [
            {
                "name": "results",
                "caption": "What masks bring",
                "rows": [
                    {"name": "CRNN", "baseline": True},
                    {
                        "name": "wide",
                        "changes": ["pipeline.encoder.rnn_units=64"],
                        "printed": {
                            "development": {"babycry": [0.1, 95.0], "average": [0.2, None]}
                        },
                    },
                ],
            },
            {
                "name": "units",
                "kind": "sweep",
                "parameter": "recurrent units",
                "caption": "How wide",
                "rows": [
                    {"name": "32", "value": 32},
                    {"name": "64", "value": 64, "changes": ["pipeline.encoder.rnn_units=64"]},
                ],
            },
        ],
        **changes,
    }
    return read_model(Plan, values, "plan")


def finish(
    run: Run,
    out: Path,
    counts: Mapping[str, Sequence[tuple[int, int, int]]],
    *,
    seconds: float = 60.0,
    parameters: int = 1000,
    test: str = "",
) -> None:
    """Leaves what a finished run does.

    Args:
        counts: label → (to find, found, right) of each clip made for it; two clips in a row are
            of one recording group.
        test: name of a further test; the run itself is then left as it is.
    """
    folder = run.folder(out)
    scores = folder / "scores" / test
    scores.mkdir(parents=True, exist_ok=True)
    labels = tuple(counts)
    ids, made_for, groups, rows = [], {}, {}, []
    for column, label in enumerate(labels):
        for index, values in enumerate(counts[label]):
            clip = f"mixture_{label}_{index}"
            ids.append(clip)
            made_for[clip] = label
            groups[clip] = f"place {index // CLIPS_PER_GROUP}"
            row = np.zeros((len(labels), 3), dtype=np.int64)
            row[column] = values
            rows.append(row)
    table = np.array(rows)
    kinds = [table[..., kind] for kind in range(3)]
    found = ClipCounts(EventCounts(tuple(ids), labels, *kinds), groups, made_for, COLLAR)
    (scores / "counts.json").write_text(found.to_json(), encoding="utf-8")
    report = {"event_based_onset": {"average": {"error_rate": 0.25}}}
    (scores / "report.json").write_text(json.dumps(report), encoding="utf-8")
    if test:
        return
    done = {"recipe": run.digest, "seconds": seconds, "parameters": parameters}
    write_atomically(folder / "result.json", json.dumps(done).encode())
    lines = ["epoch,train_loss,frame_average_precision,seconds", "1,1.0,0.4,30", "2,0.5,0.6,30"]
    (folder / "curves.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
