"""Names of parts: aliases, joined parts ("weak+synthetic21_train"), and the tenth held out.

Where a data set has no validation part of its own, `NAME/train` and `NAME/validation` divide a
part by recording group: a video or a stretch of one recording is on one side only. The side
depends on the group's name alone, so it stays the same when files are missing or lists grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sedsdk.data.manifest import Clip, Manifest
from sedsdk.data.problems import DataProblem
from sedsdk.errors import DataError, did_you_mean

HELD_OUT_SHARE = 0.1
"""Share of the groups that `NAME/validation` takes, on average."""

Wanted = Callable[[str], bool]
"""True for the recording groups that belong to what is read."""

ReadPart = Callable[[str, str, Wanted], Manifest]
"""(part of the data set, its name with the side, groups) → its clips."""


def is_held_out(group: str) -> bool:
    """Says on which side of a division a recording group is: its SHA-256, as a fraction, < 0.1."""
    first = hashlib.sha256(group.encode()).digest()[:8]
    return int.from_bytes(first, "big") < HELD_OUT_SHARE * 2**64


SIDES: dict[str, Wanted] = {
    "": lambda group: True,
    "train": lambda group: not is_held_out(group),
    "validation": is_held_out,
}


def read_parts(
    part: str, names: Sequence[str], aliases: Mapping[str, str], read: ReadPart
) -> Manifest:
    """Reads a part, one side of it, or several joined by "+".

    A clip that is in two of the joined parts is taken from the first, and noted in `problems`.

    Args:
        part: as in "weak", "weak/validation", "strong_real+weak", or an alias.
        names: parts of the data set.
        aliases: "train", "validation" and "test" → what they stand for.
        read: reads one part.

    Raises:
        DataError: an unknown part; else as `read`.
    """
    pieces = [piece for asked in part.split("+") for piece in aliases.get(asked, asked).split("+")]
    manifests = []
    for piece in pieces:
        name, _, side = piece.partition("/")
        if name not in names or side not in SIDES or piece.endswith("/"):
            raise DataError(_unknown(piece, names, aliases))
        manifests.append(read(name, piece, SIDES[side]))
    return _joined(manifests)


def _joined(manifests: Sequence[Manifest]) -> Manifest:
    first = manifests[0]
    if len(manifests) == 1:
        return first
    clips: dict[str, Clip] = {}
    problems: list[DataProblem] = []
    for manifest in manifests:
        problems += manifest.problems
        for clip in manifest:
            known = clips.setdefault(clip.id, clip)
            if known is not clip:
                text = f"{clip.id} of {clip.split} is in {known.split} too"
                problems.append(DataProblem("clip in two parts", text))
    return replace(first, clips=tuple(clips.values()), problems=tuple(problems))


def _unknown(piece: str, names: Sequence[str], aliases: Mapping[str, str]) -> str:
    choices = (*aliases, *names)
    return (
        f'no part "{piece}".{did_you_mean(piece, choices)} Choose one of: {", ".join(choices)}; '
        f"NAME/train and NAME/validation divide a part, NAME+NAME joins parts."
    )
