"""`import sedsdk` is cheap, and everything it names is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sedsdk


def test_the_names_are_sorted_and_each_there_once():
    assert sedsdk.__all__ == sorted(set(sedsdk.__all__))


@pytest.mark.parametrize("name", sedsdk.__all__)
def test_a_public_name_is_importable_and_documented(name):
    value = getattr(sedsdk, name)
    assert name in dir(sedsdk)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__, f"{name} has no docstring"


def test_the_names_that_a_type_checker_sees_are_the_public_ones():
    tree = ast.parse(Path(sedsdk.__file__).read_text(encoding="utf-8"))
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {*seen, "__version__"} == set(sedsdk.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(sedsdk, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'detektor'"):
        sedsdk.detektor  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, sedsdk; sedsdk.__version__; dir(sedsdk);"
        "heavy = 'torch numpy pydantic pluggy typer speechbrain scipy soundfile'.split();"
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
