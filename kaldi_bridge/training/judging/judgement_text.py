"""A judgement as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np

from kaldi_bridge.training.judging.judgement import ALL, Judgement
from kaldi_bridge.training.judging.measures import Edits, Share

NONE = "–"


def judgement_text(judgement: Judgement) -> str:
    """Returns some lines of plain text: digits, phones and frames, parts apart."""
    options = "  ".join(f"{name}={value}" for name, value in asdict(judgement.decoding).items())
    blocks = [
        f"{judgement.name}\n{options}  bigram={judgement.bigram}",
        _digits(judgement),
        _phones(judgement),
        _frames(judgement),
    ]
    return "\n\n".join(block for block in blocks if block)


def _digits(judgement: Judgement) -> str:
    if not judgement.digits:
        return ""
    parts = _with_all(judgement.parts)
    rows = [["digits, % right", *parts]]
    rows.append(["all", *(_share(judgement.digit_share(part)) for part in parts)])
    for speaker in sorted({each.speaker for each in judgement.digits}):
        shares = (judgement.digit_share(part, speaker=speaker) for part in parts)
        rows.append([speaker, *map(_share, shares)])
    for digit in range(10):
        shares = (judgement.digit_share(part, digit=digit) for part in parts)
        rows.append([str(digit), *map(_share, shares)])
    note = "Nothing is fitted on these. [Wilson 95 %, as if recordings were independent]"
    matrix = [["said \\ heard", *map(str, range(10)), NONE]]
    for digit, counts in enumerate(judgement.digit_confusion()):
        matrix.append([str(digit), *(str(count) if count else "." for count in counts)])
    return f"{_table(rows)}\n{note}\n\n{_table(matrix)}"


def _phones(judgement: Judgement) -> str:
    if not judgement.sentences:
        return ""
    rows = [["phones", "reference", "sub", "del", "ins", "error rate %"]]
    for each in judgement.sentences:
        rows.append([f"{each.source}/{each.name} ({each.part})", *_edits(each.edits)])
    for part in _with_all({each.part for each in judgement.sentences}):
        total = judgement.phone_errors(part)
        if total.reference:
            interval = judgement.phone_error_interval(part)
            span = f" [{interval[0]:.1%}, {interval[1]:.1%}]".replace("%", "") if interval else ""
            *counts, rate = _edits(total)
            rows.append([part, *counts, rate + span])
    known = any(each.source == "arctic" for each in judgement.sentences)
    note = " flite's voice slt is made of the arctic speaker's recordings." if known else ""
    return f"{_table(rows)}\n[bootstrap 95 % over files]{note}"


def _frames(judgement: Judgement) -> str:
    if not judgement.frames:
        return ""
    rows = [["frames, % right", "phones", "with silence"]]
    for part in _with_all(judgement.frames):
        shares = (judgement.frame_share(part, silence=silence) for silence in (False, True))
        rows.append([part, *(f"{_percent(each.value)} of {each.total}" for each in shares)])
    return _table(rows)


def _with_all(parts: Iterable[str]) -> tuple[str, ...]:
    """Returns the parts, "train" before "dev", and all together if there are several."""
    found = sorted(parts, key=lambda part: (part != "train", part))
    return (*found, ALL) if len(found) > 1 else tuple(found)


def _share(share: Share) -> str:
    if not share.total:
        return NONE
    low, high = share.interval
    return f"{_percent(share.value)} [{_percent(low)}, {_percent(high)}] of {share.total}"


def _edits(edits: Edits) -> list[str]:
    counts = (edits.reference, edits.substitutions, edits.deletions, edits.insertions)
    return [*map(str, counts), _percent(edits.rate)]


def _percent(value: float) -> str:
    return NONE if np.isnan(value) else f"{100 * value:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
