"""A made Kaldi recipe, and the frontend on it."""

from __future__ import annotations

import pytest
from made_recipe import make_recipe

import sedsdk
from kaldi_bridge import plugin
from sedsdk.host import Host


@pytest.fixture(scope="module")
def host():
    return Host([("kaldi", plugin)], discover=False, strict=True)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """Folder of a model as a recipe leaves it, with i-vectors."""
    return make_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def plain_model_dir(tmp_path_factory):
    """Without i-vectors: what a click changes is then near the click."""
    return make_recipe(tmp_path_factory.mktemp("recipe"), ivector_dim=0)


@pytest.fixture
def make(host):
    def made(model, **options):
        ref = sedsdk.part("tdnnf_embedding", model=str(model), **options)
        part, config = ref.resolve("frontend", host)
        return part(config)

    return made
