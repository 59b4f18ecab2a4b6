"""Finds sound events in recordings with a saved detector, as an application would.

    python examples/embed_a_detector.py DETECTOR RECORDING...

DETECTOR is a folder that `sedsdk train` or `make demo` saved. A recording that cannot be read is
reported and the others are searched.
"""

from __future__ import annotations

import sys

import sedsdk


def main(folder: str, recordings: list[str]) -> int:
    """Prints events and tags of each recording; returns 1 if one could not be read, else 0."""
    try:
        detector = sedsdk.load(folder)
    except sedsdk.SedsdkError as error:
        print(error, file=sys.stderr)
        return 2

    print(f"{folder} listens for {', '.join(detector.labels)}")
    failed = 0
    for recording in recordings:
        print(f"\n{recording}")
        try:
            found = detector.predict(recording)
        except sedsdk.AudioError as error:
            print(f"  {error}")
            failed = 1
            continue
        for event in found.events or ():
            print(f"  {event.onset:8.2f} – {event.offset:8.2f} s  {event.label} {event.score:.2f}")
        tags = zip(found.labels, found.clip, strict=True)
        print("  " + ", ".join(f"{label} {probability:.2f}" for label, probability in tags))
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
