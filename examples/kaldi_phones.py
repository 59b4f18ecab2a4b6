"""Prints the phones that a Kaldi model hears in a recording, read block by block.

    python examples/kaldi_phones.py bundled RECORDING
    python examples/kaldi_phones.py MODEL RECORDING [EXTRACTOR]

MODEL is a model's folder or its final.mdl, or "bundled" for the one that comes with kaldi_bridge;
EXTRACTOR is its i-vector extractor, where that is not found around the model. The public
LibriSpeech models of kaldi-asr.org fit as they are unpacked.
"""

from __future__ import annotations

import sys

import torch

from kaldi_bridge import AcousticModel, KaldiError
from kaldi_bridge.bundled import model_called
from kaldi_bridge.phones import (
    FrameClock,
    PhoneMap,
    log_probabilities,
    phone_posteriors,
    viterbi_phones,
)
from sedsdk.audio import read_audio
from sedsdk.errors import SedsdkError

BLOCK_SECONDS = 1.0


def main(path: str, recording: str, extractor: str | None = None) -> int:
    """Prints onset, offset and name of each phone; returns 1 if something could not be read."""
    try:
        model = AcousticModel.load(model_called(path), extractor=extractor)
        samples, _ = read_audio(recording, model.sample_rate)
        stream = model.stream(node="output", frames_per_chunk=150)
        size = int(BLOCK_SECONDS * model.sample_rate)
        parts = [stream.push(samples[at : at + size]) for at in range(0, len(samples), size)]
        parts.append(stream.finish())
    except (KaldiError, SedsdkError) as error:
        print(error, file=sys.stderr)
        return 1
    if model.transitions is None:
        print(f"{path} has no transition model, so its outputs have no phones.", file=sys.stderr)
        return 1
    table = model.files.phones if model.files else None
    phones = PhoneMap.of(model.transitions, table)
    posteriors = phone_posteriors(torch.cat(parts).numpy(), phones)
    clock = FrameClock(model.frame_shift_seconds, model.frame_subsampling_factor)
    for segment in viterbi_phones(log_probabilities(posteriors), phones.names, min_duration=2):
        onset, offset = segment.times(clock)
        print(f"{onset:7.2f} {offset:7.2f}  {segment.phone}")
    return 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
