"""A full disk or a kill at any moment while saving leaves a detector that loads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from toy_parts import MakePipeline

from sedsdk import BundleError, Host, Pipeline
from sedsdk.runtime import folder_swap
from sedsdk.runtime.bundle import load_bundle, save_bundle

HERE = Path(__file__).parent


def bias(folder: Path, host: Host) -> float:
    return load_bundle(folder, host).head.output[0].bias.item()


@pytest.fixture
def folder(make_pipeline: MakePipeline, tmp_path: Path) -> Path:
    """A saved detector with the bias −20, the only entry of its parent."""
    return save_bundle(make_pipeline(), tmp_path / "models" / "loud")


@pytest.fixture
def other(make_pipeline: MakePipeline) -> Pipeline:
    """The same detector with another bias."""
    pipeline = make_pipeline()
    with torch.no_grad():
        pipeline.head.output[0].bias.fill_(-7.0)
    return pipeline


def test_a_newer_detector_takes_the_place_of_the_older(folder, other, host) -> None:
    assert bias(folder, host) == -20.0
    save_bundle(other, folder)
    assert bias(folder, host) == -7.0
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_disk_leaves_the_old_detector(folder, other, host, monkeypatch) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for target in ("safetensors.torch.save_file", "pathlib.Path.write_text", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(target, no_space)
            with pytest.raises(BundleError, match=r"No space left.*before is unchanged"):
                save_bundle(other, folder)
        assert bias(folder, host) == -20.0
        assert list(folder.parent.iterdir()) == [folder]


def test_a_rename_that_fails_puts_the_old_detector_back(folder, other, host, monkeypatch) -> None:
    rename = os.rename

    def fail_into_place(source: Path, target: Path) -> None:
        if ".saving-" in Path(source).name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail_into_place)
        with pytest.raises(BundleError, match="before is unchanged"):
            save_bundle(other, folder)
    assert bias(folder, host) == -20.0
    assert list(folder.parent.iterdir()) == [folder]


SAVE_UNTIL = """
    import os, resource, sys
    sys.path.insert(0, {here!r})
    import toy_parts
    from sedsdk import Host
    from sedsdk.runtime.bundle import load_bundle, save_bundle

    host = Host(plugins=[toy_parts], discover=False)
    pipeline = load_bundle({folder!r}, host)
    pipeline.head.output[0].bias.data.fill_(-7.0)
    {trap}
    save_bundle(pipeline, {folder!r})
"""

KILL = """
    calls, doomed = [0], os.{call}
    def dies(*given):
        calls[0] += 1
        if calls[0] == {nth}:
            os.kill(os.getpid(), 9)
        return doomed(*given)
    os.{call} = dies
"""


def save_elsewhere(folder: Path, trap: str) -> subprocess.CompletedProcess[str]:
    trap = textwrap.indent(textwrap.dedent(trap), "    ")
    code = textwrap.dedent(SAVE_UNTIL.format(here=str(HERE), folder=str(folder), trap=trap.strip()))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("call", "nth"), [("fsync", 1), ("fsync", 4), ("rename", 1), ("rename", 2), ("fsync", 5)]
)
def test_a_kill_at_any_moment_leaves_a_whole_detector(folder, other, host, call, nth) -> None:
    outcome = save_elsewhere(folder, KILL.format(call=call, nth=nth))
    assert outcome.returncode == -9, outcome.stderr
    is_done = (call, nth) == ("fsync", 5)  # the parent's, after both renames
    assert bias(folder, host) == (-7.0 if is_done else -20.0)
    save_bundle(other, folder)
    assert bias(folder, host) == -7.0
    assert list(folder.parent.iterdir()) == [folder]


def test_a_limit_on_file_size_is_reported_like_a_full_disk(folder, host) -> None:
    outcome = save_elsewhere(folder, "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))")
    assert "BundleError" in outcome.stderr
    assert "before is unchanged" in outcome.stderr
    assert bias(folder, host) == -20.0
    assert list(folder.parent.iterdir()) == [folder]


def test_other_files_in_the_folder_are_kept(folder, other, host) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "one.png").write_bytes(b"png")
    save_bundle(other, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "pictures" / "one.png").read_bytes() == b"png"
    assert bias(folder, host) == -7.0


def test_a_folder_that_holds_something_else_is_not_replaced(other, tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="no saved detector"):
        save_bundle(other, tmp_path)
    with pytest.raises(BundleError, match="is a file"):
        save_bundle(other, tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_link_to_a_detector_stays_a_link(folder, other, host, tmp_path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(folder, target_is_directory=True)
    save_bundle(other, link)
    assert link.is_symlink()
    assert bias(link, host) == bias(folder, host) == -7.0


def test_the_new_folder_has_ordinary_permissions(folder) -> None:
    folder.with_name("plain").mkdir()
    assert folder.stat().st_mode == folder.with_name("plain").stat().st_mode


def test_a_reader_between_the_two_renames_finds_the_old_one(folder) -> None:
    assert folder_swap.current_folder(folder) == folder
    aside = folder.with_name(".loud.previous")
    folder.rename(aside)
    assert folder_swap.current_folder(folder) == aside
