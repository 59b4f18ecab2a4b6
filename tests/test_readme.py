"""The README's code runs, and the files it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import sedsdk

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_pipeline_of_the_first_screen_composes():
    block = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    names: dict[str, object] = {}
    exec(block[1], names)
    pipeline = names["pipeline"]
    assert isinstance(pipeline, sedsdk.Pipeline)
    assert pipeline.labels == ("babycry", "glassbreak", "gunshot")


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_make_targets_it_names_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"make (\w+)", TEXT))
    assert {"demo", "test", "runtime"} <= named
    assert named <= targets
