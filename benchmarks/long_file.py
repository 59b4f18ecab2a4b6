"""Memory and speed of a detector on a long recording.

Writes a WAV file of noise with louder stretches to a temporary folder, searches it in a process of
its own, and prints that process's peak memory and its speed.

    python benchmarks/long_file.py                      # three hours at 44.1 kHz, a random crnn
    python benchmarks/long_file.py --bundle DETECTOR --hours 24 --limit-megabytes 700
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 44_100
PIECE_SECONDS = 10

SEARCH = """
import json, resource, sys, time
import sedsdk

bundle, recording, block_seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
if bundle:
    detector = sedsdk.load(bundle, block_seconds=block_seconds)
else:
    pipeline = sedsdk.compose(
        ["babycry", "glassbreak", "gunshot"], "log_mel", "crnn", "frame_bce",
        postprocessors=["median", "threshold", "to_events"], seed=0,
    )
    detector = sedsdk.Detector(pipeline, block_seconds=block_seconds)
loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
prediction = detector.predict(recording)
print(json.dumps({
    "search_seconds": time.perf_counter() - start,
    "loaded_megabytes": loaded / 1024,
    "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "frames": len(prediction.frames),
    "events": len(prediction.events or ()),
}))
"""


def write_recording(path: Path, hours: float, sample_rate: int) -> float:
    """Writes noise that swells every few seconds, 16 bit; returns its length in seconds."""
    generator = np.random.default_rng(0)
    pieces = max(1, round(hours * 3600 / PIECE_SECONDS))
    noise = generator.standard_normal(PIECE_SECONDS * sample_rate).astype(np.float32)
    with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16") as sound:
        for _ in range(pieces):
            level = np.repeat(generator.uniform(0.001, 0.1, PIECE_SECONDS), sample_rate)
            sound.write((np.roll(noise, generator.integers(len(noise))) * level).clip(-1, 1))
    return pieces * PIECE_SECONDS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="", help="a saved detector; none: a random crnn")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the recording")
    parser.add_argument("--sample-rate", type=int, default=SAMPLE_RATE, help="hertz")
    parser.add_argument("--block-seconds", type=float, default=20.0, help="as of sedsdk.load")
    parser.add_argument("--limit-megabytes", type=float, default=700.0, help="fails above this")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "long.wav")
        print(f"writing {options.hours:g} h at {options.sample_rate} Hz", file=sys.stderr)
        seconds = write_recording(recording, options.hours, options.sample_rate)
        print("searching it", file=sys.stderr)
        command = [sys.executable, "-c", SEARCH, options.bundle, str(recording)]
        done = subprocess.run(
            [*command, str(options.block_seconds)], check=True, stdout=subprocess.PIPE, text=True
        )
    found = json.loads(done.stdout)
    speed = seconds / found["search_seconds"]
    print(
        f"{seconds / 3600:.2f} h searched in {found['search_seconds']:.1f} s "
        f"({speed:.0f} times real time, real-time factor {1 / speed:.5f})\n"
        f"peak memory {found['peak_megabytes']:.0f} MB; before any audio was read "
        f"{found['loaded_megabytes']:.0f} MB\n"
        f"{found['frames']} frames, {found['events']} events"
    )
    return int(found["peak_megabytes"] > options.limit_megabytes)


if __name__ == "__main__":
    sys.exit(main())
