"""Composes a gradual network: sound on one side, a speech recogniser's embedding on the other.

    python examples/gradual_network.py RECORDING

It is not trained, so it finds nothing that would mean anything: `sedsdk train gradual/small` trains
one. What it prints is what flows: streams, frames, parameters, and which of them learn.
"""

from __future__ import annotations

import sys

import sedsdk
from sedsdk.audio import read_audio

SOUND = sedsdk.part(
    "log_mel",
    sample_rate=16000,
    window_seconds=0.02,
    hop_seconds=0.01,
    n_mels=40,
    drop_last=True,
    normalise="min_max",
    average_frames=5,
    context_frames=2,
)
SPEECH = sedsdk.part("tdnnf_embedding", hop_seconds=0.1)  # the acoustic model that comes along
DECISION = ["dynamic_threshold", "median", "fill_gaps", "longest_run", "to_events"]


def main(recording: str) -> None:
    """Prints what the network makes of a recording."""
    pipeline = sedsdk.compose(
        ["babycry", "glassbreak", "gunshot"],
        {"main": SOUND, "asr": SPEECH},
        "gradual",
        "frame_bce",
        postprocessors=DECISION,
        seed=0,
    )
    for name, stream in pipeline.streams.items():
        print(f"{name:5} {stream.size:4} values every {1000 * stream.grid.hop_seconds:g} ms")
    learning = sum(p.numel() for p in pipeline.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in pipeline.frontends["asr"].acoustic_model.parameters())
    print(f"{learning:,} parameters learn, {frozen:,} of the speech recogniser do not")
    samples, rate = read_audio(recording)
    (prediction,) = pipeline.predict([samples], rate)
    print(f"{len(prediction.frames)} frames of {len(pipeline.labels)} probabilities")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
