"""The command: one row per golden file; exit status 1 if any falls short or nothing was found."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from kaldi_bridge.errors import NotSupported
from kaldi_bridge.golden.features import feature_checks
from kaldi_bridge.golden.ivectors import ivector_checks
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.models import model_checks
from kaldi_bridge.golden.round_trips import round_trip_checks
from kaldi_bridge.golden.rows import Check, Outcome, heading


def all_checks(golden: Golden, backend: str = "native") -> list[Check]:
    """Returns every check of a golden folder, and one that fails for each file nobody knows."""
    checks = [
        *feature_checks(golden),
        *ivector_checks(golden),
        *model_checks(golden, backend),
        *round_trip_checks(golden),
    ]
    return [*checks, *_unknown(golden)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the rows of a golden folder.

    Args:
        arguments: of the command line; the process's own if None.

    Returns:
        Exit status: 0 if every row is within its bound and there is at least one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m kaldi_bridge.golden",
        description="Compares this package with what Kaldi's own programs wrote.",
    )
    parser.add_argument("folder", type=Path, help="folder of the layout that MANIFEST.md describes")
    parser.add_argument("--only", metavar="PATTERN", help="rows whose file or text contains this")
    parser.add_argument("--backend", choices=("native", "pykaldi"), default="native")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"{options.folder}: no such folder.", file=sys.stderr)
        return 1
    golden, began = Golden(options.folder), time.perf_counter()
    checks = [
        check
        for check in all_checks(golden, options.backend)
        if options.only is None or _matches(check, golden.root, options.only)
    ]
    if not checks:
        what = "" if options.only is None else f' that matches "{options.only}"'
        print(f"{options.folder}: found nothing to check{what}.", file=sys.stderr)
        return 1
    names = [str(check.file.relative_to(golden.root)) for check in checks]
    widths = max(map(len, names)), max(len(check.what) for check in checks)
    print(heading(widths))
    short = 0
    for check in checks:
        row = check.row(golden.root)
        short += not row.ok
        print(row.line(widths), flush=True)
    seconds = time.perf_counter() - began
    print(f"\n{len(checks)} rows, {len(checks) - short} ok, {short} fall short; {seconds:.0f} s")
    return 1 if short else 0


def _matches(check: Check, root: Path, pattern: str) -> bool:
    text = f"{check.file.relative_to(root)} {check.what}"
    return pattern in text or fnmatch.fnmatch(text, pattern)


def _unknown(golden: Golden) -> Iterator[Check]:
    for path in golden.not_understood():
        yield Check(path, "not understood", partial(_refuse, path))


def _refuse(path: Path) -> Outcome:
    raise NotSupported(f"nothing says what {path.name} holds; no check was made for it.")


if __name__ == "__main__":
    sys.exit(main())
