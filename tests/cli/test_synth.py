"""`sedsdk synth`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sedsdk.cli.synth import mixture_settings, official_subset, source_data_folder
from sedsdk.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    import soundfile

    folder = tmp_path_factory.mktemp("sources")
    generator = np.random.default_rng(0)
    for name, seconds in (("events/bell/a.wav", 0.5), ("backgrounds/b.wav", 3.0)):
        path = folder / name
        path.parent.mkdir(parents=True)
        soundfile.write(path, generator.normal(0, 0.1, round(seconds * 8000)), 8000)
    return folder


def options(sources, out):
    return (
        "synth", out, "--sources", sources, "--count", 4, "--workers", 1,
        "--set", "duration_seconds=2", "--set", "sample_rate=8000",
    )  # fmt: skip


def test_mixtures_and_manifest_are_made(run, sources, tmp_path):
    from sedsdk.data.manifest import Manifest

    result = run(*options(sources, tmp_path), "--json")
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout)
    manifest = Manifest.read(made["manifest"])
    assert made["mixtures"] == len(manifest) == 4
    assert made["events"] == 2  # the default presence probability of one half, exactly
    assert all(clip.path.is_file() for clip in manifest)


def test_the_same_seed_gives_the_same_bytes(run, sources, tmp_path):
    def audio(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((folder / "audio").iterdir())}

    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        assert run(*options(sources, tmp_path / name), "--seed", seed).exit_code == 0
    assert audio(tmp_path / "one") == audio(tmp_path / "two")
    assert audio(tmp_path / "one") != audio(tmp_path / "three")


def test_a_source_that_cannot_be_read_is_told(run, sources, tmp_path):
    import shutil

    copy = tmp_path / "sources"
    shutil.copytree(sources, copy)
    (copy / "events" / "bell" / "broken.wav").write_text("text", encoding="utf-8")
    result = run(*options(copy, tmp_path / "out"))
    assert "broken.wav" in result.stderr
    assert "4 mixtures" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--sources", "nowhere"), 1, "error: "),
        (("--set", "duration=5"), 1, 'Did you mean "duration_seconds"?'),
        (("--set", "duration_seconds"), 1, "write field=value"),
        (("--recipes", "x.yaml"), 2, "go together"),
        (("--count", "0"), 2, "--count"),
    ],
)
def test_mistakes(run, tmp_path, arguments, code, message):
    result = run("synth", tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_are_read_as_json_or_text():
    settings = mixture_settings(
        "a", 3, 7, ["event_to_background_ratios_db=[-6, 0]", "mode=joint", "level=0.5"]
    )
    assert (settings.subset, settings.mixtures_per_class, settings.seed) == ("a", 3, 7)
    assert settings.event_to_background_ratios_db == (-6.0, 0.0)
    assert (settings.mode, settings.level) == ("joint", 0.5)
    with pytest.raises(ConfigError, match="level"):
        mixture_settings("a", 3, 7, ["level=-1"])


def test_the_subset_is_that_of_the_recipe_files():
    name = "mixture_recipes_{}_babycry.yaml"
    assert official_subset([Path(name.format("devtest"))]) == "devtest"
    with pytest.raises(DataError, match="several subsets"):
        official_subset([Path(name.format("devtest")), Path(name.format("devtrain"))])
    with pytest.raises(DataError, match="expected a recipe file"):
        official_subset([Path("other.yaml")])


@pytest.mark.parametrize("inside", ["", "TUT-rare-sound-events-2017-development"])
def test_the_official_sources_are_found_where_they_were_unpacked(tmp_path, inside):
    folder = tmp_path / inside / "data" / "source_data"
    (folder / "bgs").mkdir(parents=True)
    assert source_data_folder(tmp_path) == folder


def test_missing_official_sources_are_told(tmp_path):
    with pytest.raises(DataError, match="source_data/bgs"):
        source_data_folder(tmp_path)
