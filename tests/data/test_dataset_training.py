"""A recipe on a published data set: weak training, strong test, audio missing as it always is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from small_sets import videos, write_lines

from sedsdk.config import read_model
from sedsdk.errors import DataError
from sedsdk.host import Host
from sedsdk.training import Recipe, train

RATE = 8000
TONES = {"Train horn": 500.0, "Bicycle": 2000.0}
KEPT = videos(24, held_out=False)
HELD_OUT = videos(4, held_out=True)
TESTED = videos(4, held_out=False, prefix="-test_")
MISSING = 12


def write_tone(path, label, video):
    time = np.arange(RATE) / RATE
    noise = np.random.default_rng(len(video)).normal(0, 0.01, RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * TONES[label] * time) + noise, RATE)


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "task4"
    rows, tested = [], []
    for index, video in enumerate((*KEPT, *HELD_OUT)):
        label = list(TONES)[index % 2]
        rows.append(f"{video}_0.000_1.000.wav\t0.000\t1.000\t{label}")
        if not index < MISSING:
            write_tone(folder / "training" / f"Y{video}_0.000_1.000.wav", label, video)
    for index, video in enumerate(TESTED):
        label = list(TONES)[index % 2]
        tested.append(f"{video}_0.000_1.000.wav\t0.1\t0.9\t{label}")
        write_tone(folder / "testing" / f"Y{video}_0.000_1.000.wav", label, video)
    write_lines(folder / "groundtruth_weak_label_training_set.csv", *rows)
    write_lines(folder / "groundtruth_strong_label_testing_set.csv", *tested)
    return folder


def recipe(folder, labels=tuple(TONES)):
    values = {
        "pipeline": {
            "labels": list(labels),
            "frontends": {
                "main": {
                    "part": "log_mel",
                    "sample_rate": RATE,
                    "window_seconds": 0.064,
                    "hop_seconds": 0.032,
                    "n_fft": 512,
                    "n_mels": 16,
                    "normalise": "band",
                }
            },
            "encoder": {
                "part": "crnn",
                "channels": [4],
                "frequency_pooling": [8],
                "rnn_units": 4,
                "kernel_size": [3, 3],
            },
            "head": {"part": "clip_bce"},
            "postprocessors": [{"part": "threshold"}, "to_events"],
        },
        "data": {"kind": "dataset", "name": "dcase2017-task4", "folder": str(folder)},
        "training": {"epochs": 1, "batch_size": 4, "score": "clip_average_precision"},
    }
    return read_model(Recipe, values, "recipe")


def test_weak_training_and_a_strong_test_in_one_recipe(dataset, tmp_path):
    said = []
    run = tmp_path / "run"
    result = train(recipe(dataset), run, host=Host(discover=False), device="cpu", say=said.append)
    assert 0 <= result.best["clip_average_precision"] <= 1
    # the test has events, so there is a report on them
    assert result.report is not None
    assert (result.report["n_clips"], result.report["n_groups"]) == (4, 4)
    assert "reading part train of dcase2017-task4" in said
    first = f"{dataset / 'groundtruth_weak_label_training_set.csv'}:1: {KEPT[0]}_0.000_1.000.wav"
    assert f"left out: missing audio: {first}" in said
    assert sum(line.startswith("left out: ") for line in said) == 10
    assert (
        f"left out in all: 12 missing audio; every one is listed in {run / 'problems.txt'}" in said
    )
    listed = (run / "problems.txt").read_text().splitlines()
    assert len(listed) == MISSING
    assert listed == list(result.problems)
    assert json.loads((run / "result.json").read_text())["problems"] == listed
    assert "reading 12 training clips" in said


def test_a_label_that_the_data_set_lacks_is_an_error(dataset, tmp_path):
    wrong = recipe(dataset, ("Train horn", "Bicycles"))
    with pytest.raises(DataError, match=r'label "Bicycles" is not in .* mean "Bicycle"'):
        train(wrong, tmp_path / "run", host=Host(discover=False), device="cpu")
