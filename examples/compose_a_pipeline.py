"""Composes a pipeline out of parts, runs it on made audio, and saves it.

    python examples/compose_a_pipeline.py

The weights are not trained: this shows how parts fit together, not how well they hear.
"""

from __future__ import annotations

import numpy as np

import sedsdk
from sedsdk.runtime.bundle import save_bundle


def main() -> None:
    """Composes, predicts, saves, loads."""
    pipeline = sedsdk.compose(
        labels=["babycry", "glassbreak", "gunshot"],
        frontend=sedsdk.part("log_mel", sample_rate=16000, n_mels=40, hop_seconds=0.02),
        conditioners=[sedsdk.part("spec_augment", time_masks=1)],  # in training only
        encoder=sedsdk.part("crnn", channels=(16, 32), frequency_pooling=(4, 5), rnn_units=32),
        head=sedsdk.part("clip_bce", pooling="linear_softmax"),
        postprocessors=[
            sedsdk.part("median", seconds=0.3),
            sedsdk.part("hysteresis", high=0.6, low_ratio=0.5),
            sedsdk.part("fill_gaps", seconds=0.4),
            "to_events",
        ],
        seed=0,
    )
    audio = np.random.default_rng(0).normal(0, 0.1, 16000 * 5).astype(np.float32)
    (clip,) = pipeline.predict([audio], sample_rate=16000)
    print("frame probabilities", clip.frames.shape, "every", clip.grid.hop_seconds, "s")
    print("events", clip.events)

    save_bundle(pipeline, "my_detector")
    detector = sedsdk.load("my_detector")
    print("tags", detector.tags(audio, 16000))


if __name__ == "__main__":
    main()
