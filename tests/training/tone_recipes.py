"""Recipes small enough to train in a test."""

from __future__ import annotations

from sedsdk.testing.corpus import TinyCorpus

PIPELINE = {
    "labels": ["high", "low"],
    "frontends": {
        "main": {
            "part": "log_mel",
            "sample_rate": 16000,
            "window_seconds": 0.04,
            "hop_seconds": 0.02,
            "n_fft": 1024,
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
        "dropout": 0.0,
    },
    "head": {"part": "frame_bce"},
    "postprocessors": [{"part": "hysteresis"}, "to_events"],
}
TRAINING = {
    "epochs": 2,
    "batch_size": 4,
    "optimiser": "sgd",
    "learning_rate": 0.05,
    "warmup_steps": 2,
    "weight_average": 0.9,
}


def recipe_values(corpus: TinyCorpus, **training) -> dict:
    """A recipe that learns tones in half a second; keyword arguments change its training."""
    return {
        "pipeline": PIPELINE,
        "data": {
            "kind": "manifests",
            "train": str(corpus.manifest_path),
            "validation": str(corpus.manifest_path),
            "test": str(corpus.manifest_path),
        },
        "training": {**TRAINING, **training},
    }
