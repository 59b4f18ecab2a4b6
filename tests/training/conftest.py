from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from sedsdk.host import Host
from sedsdk.testing.corpus import TinyCorpus, write_tiny_corpus


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> TinyCorpus:
    """Twelve recordings of tones that no test changes."""
    return write_tiny_corpus(tmp_path_factory.mktemp("tones"), clips=12)


@pytest.fixture
def own_tones(tones, tmp_path) -> TinyCorpus:
    """A copy that a test may change."""
    folder = tmp_path / "tones"
    shutil.copytree(tones.folder, folder)
    return TinyCorpus(folder, tones.events)


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(discover=False)


@pytest.fixture
def write_recipe(tmp_path):
    """Writes a recipe's values into a YAML file."""

    def write(values: object) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write
