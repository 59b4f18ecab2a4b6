from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from sedsdk import host as host_module


@pytest.fixture
def run(monkeypatch) -> Iterator[Callable[..., Result]]:
    """Runs the command line in this process, with a wide screen and without plugins."""
    from sedsdk.cli.application import application

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv(host_module.ALLOW_VARIABLE, "")
    monkeypatch.delenv(host_module.STRICT_VARIABLE, raising=False)
    default_host = host_module.default_host
    default_host.cache_clear()

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(application, [str(argument) for argument in arguments])

    yield invoke
    default_host.cache_clear()  # what it found without plugins is no other test's host


@pytest.fixture
def use_plugins(monkeypatch) -> Callable[..., None]:
    """Makes the default host one with the given plugins."""

    def use(*plugins: object) -> None:
        host = host_module.Host(plugins=plugins, discover=False, strict=False)
        monkeypatch.setattr(host_module, "default_host", lambda: host)

    return use


@pytest.fixture(scope="session")
def saved_detector(tmp_path_factory):
    """An untrained detector of two classes, whose threshold lets everything through."""
    return _saved(tmp_path_factory, ["threshold", "to_events"])


@pytest.fixture(scope="session")
def saved_tagger(tmp_path_factory):
    """The same, of clips: it tags and makes no events."""
    return _saved(tmp_path_factory, ["tag_threshold"])


@pytest.fixture(scope="session")
def saved_both(tmp_path_factory):
    """The same, of events and tags."""
    return _saved(tmp_path_factory, ["threshold", "to_events", "tag_threshold"])


def _saved(tmp_path_factory, parts):
    import sedsdk
    from sedsdk.runtime.bundle import save_bundle

    everything = {
        "threshold": sedsdk.part("threshold", value=0.0),
        "tag_threshold": sedsdk.part("tag_threshold", threshold=0.0),
    }
    pipeline = sedsdk.compose(
        labels=["alarm", "bell"],
        frontend=sedsdk.part("log_mel", sample_rate=8000, n_mels=16, n_fft=512),
        encoder=sedsdk.part(
            "crnn", channels=[4], frequency_pooling=[16], rnn_units=4, kernel_size=[3, 3]
        ),
        head="frame_bce",
        postprocessors=[everything.get(part, part) for part in parts],
        host=host_module.Host(discover=False),
        seed=0,
    )
    return save_bundle(pipeline, tmp_path_factory.mktemp("detectors") / "tiny")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder of two good recordings and one that is none."""
    import soundfile

    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    for name, seconds in (("a.wav", 1.0), ("b.flac", 2.0)):
        samples = generator.normal(0, 0.1, round(seconds * 8000))
        soundfile.write(folder / name, samples, 8000)
    (folder / "broken.wav").write_text("this is text", encoding="utf-8")
    (folder / "notes.txt").write_text("not audio", encoding="utf-8")
    return folder


@pytest.fixture
def good_recordings(recordings, tmp_path):
    """A folder of two good recordings."""
    for name in ("a.wav", "b.flac"):
        shutil.copy(recordings / name, tmp_path / name)
    return tmp_path
