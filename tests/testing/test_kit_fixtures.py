"""The kit's fixtures, and what loading it costs everyone who runs pytest."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from sedsdk.stages import StreamSpec
from sedsdk.testing import check_part, write_tiny_corpus
from sedsdk.types import FrameGrid

PLUGIN_PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


def test_the_host_has_the_builtin_parts_and_nothing_else(sed_host):
    assert [record.name for record in sed_host.plugins] == ["builtin"]


def test_the_tiny_corpus_holds_what_its_labels_say(tiny_corpus):
    soundfile = pytest.importorskip("soundfile", reason="install soundfile to run this")
    assert set(tiny_corpus.labels) == {"high", "low"}
    found = {event.label for events in tiny_corpus.events.values() for event in events}
    assert found == set(tiny_corpus.labels)
    assert () in tiny_corpus.events.values()
    for name, events in tiny_corpus.events.items():
        audio, rate = soundfile.read(tiny_corpus.folder / name, dtype="float32")
        assert (len(audio), rate) == (16000, 16000)
        for event in events:
            assert 0 <= event.onset < event.offset <= 1
            inside = audio[int(event.onset * rate) : int(event.offset * rate)]
            assert float((inside**2).mean()) > 0.05
        if not events:
            assert float((audio**2).mean()) < 0.001


def test_the_tiny_corpus_reads_as_a_manifest(tiny_corpus):
    manifest = tiny_corpus.manifest
    assert manifest.labels == tiny_corpus.labels
    assert {clip.path.name: clip.events for clip in manifest.clips} == tiny_corpus.events


def test_one_seed_writes_the_same_corpus(tmp_path):
    first, second = (write_tiny_corpus(tmp_path / name, 3, seed=5) for name in "ab")
    other = write_tiny_corpus(tmp_path / "c", 3, seed=6)
    files = sorted(path.name for path in first.folder.iterdir())
    assert files == ["clip0.wav", "clip1.wav", "clip2.wav", "labels.tsv"]
    for name in files:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.events == second.events != other.events


def test_ragged_batches_are_seeded_ragged_and_zero_on_padding(ragged_batches, request):
    waves = ragged_batches.waveforms((40, 10))
    assert waves.waveforms.shape == (2, 40)
    assert waves.waveforms.abs().max() <= 1
    assert not waves.waveforms[1, 10:].any()
    specs = {"main": StreamSpec(4, FrameGrid(0.02)), "asr": StreamSpec(2, FrameGrid(0.04))}
    batch = ragged_batches.streams((6, 3), specs, n_classes=2)
    assert batch.inputs["asr"].values.shape == (2, 3, 2)
    assert batch.inputs["asr"].lengths.tolist() == [3, 2]
    assert not batch.inputs.main.values[1, 3:].any()
    assert not batch.targets.frame_mask[1, 3:].any()
    again = type(ragged_batches)()
    assert torch.equal(again.waveforms((40, 10)).waveforms, waves.waveforms)


def test_loading_the_kit_imports_no_torch():
    code = (
        "import sys, sedsdk.testing, sedsdk.testing.fixtures;"
        "print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_kit_works_without_pytest():
    code = (
        "import sys; sys.modules['pytest'] = None;"
        "from sedsdk.testing import LawBroken, check_part;"
        "from sedsdk.host import Host; from sedsdk.testing.plain import PlainDecision;"
        "check_part('postprocessor', PlainDecision, host=Host(discover=False)); print('kept')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "kept"


def test_the_parts_in_the_plugin_page_keep_every_law(sed_host):
    blocks = re.findall(r"```python\n(.*?)```", PLUGIN_PAGE.read_text("utf-8"), re.S)
    code = next(block for block in blocks if "class Loudness(" in block)
    space = {"__name__": "sed_loudness.frontend"}
    exec(compile(textwrap.dedent(code), "plugins.md", "exec"), space)
    check_part("frontend", space["Loudness"], host=sed_host)
    further = next(block for block in blocks if "class WeighedLoudness(" in block)
    exec(compile(textwrap.dedent(further), "plugins.md", "exec"), space)
    check_part("frontend", space["WeighedLoudness"], host=sed_host)


def test_every_check_is_in_the_plugin_page():
    import sedsdk.testing

    page = PLUGIN_PAGE.read_text("utf-8")
    for name in sedsdk.testing.__all__:
        if name.startswith("check_"):
            assert f"`{name}`" in page or f"{name}(" in page
    for law in sedsdk.testing.LAWS:
        assert f"| {law} |" in page
