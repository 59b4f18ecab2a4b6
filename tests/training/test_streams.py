from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
import torch
from tone_recipes import PIPELINE

from sedsdk.config import PipelineConfig
from sedsdk.data.manifest import Clip
from sedsdk.errors import AudioError
from sedsdk.pipeline import Pipeline
from sedsdk.training import streams as streams_module
from sedsdk.training.streams import StreamReader, clip_targets
from sedsdk.types import Event, Features, FrameGrid, Inputs


def _pipeline(host, **changes):
    frontend = {**PIPELINE["frontends"]["main"], **changes}
    return Pipeline(PipelineConfig(**{**PIPELINE, "frontends": {"main": frontend}}), host, seed=0)


@pytest.fixture
def count_reads(monkeypatch):
    """Counts recordings that are decoded."""
    reads = []

    def counted(path, *arguments):
        reads.append(path)
        return original(path, *arguments)

    original = streams_module.read_audio
    monkeypatch.setattr(streams_module, "read_audio", counted)
    return reads


def test_the_second_reading_comes_from_the_file(host, tones, tmp_path, count_reads):
    clip = tones.manifest.clips[1]
    first = StreamReader(_pipeline(host), tmp_path).read(clip)["main"]
    second = StreamReader(_pipeline(host), tmp_path).read(clip)["main"]
    assert len(count_reads) == 1
    np.testing.assert_array_equal(first, second)


def test_changed_audio_is_computed_anew(host, own_tones, tmp_path, count_reads):
    clip = own_tones.manifest.clips[1]
    reader = StreamReader(_pipeline(host), tmp_path / "cache")
    before = np.array(reader.read(clip)["main"])
    soundfile.write(clip.path, np.zeros(16000), 16000)
    after = reader.read(clip)["main"]
    assert len(count_reads) == 2
    assert before.max() > 0
    assert after.max() == 0


def test_another_option_is_computed_anew(host, tones, tmp_path, count_reads):
    clip = tones.manifest.clips[1]
    StreamReader(_pipeline(host), tmp_path).read(clip)
    wide = StreamReader(_pipeline(host, n_mels=20), tmp_path).read(clip)["main"]
    assert wide.shape[1] == 20
    assert len(count_reads) == 2


def test_another_span_of_the_recording_is_another_array(host, tones, tmp_path):
    clip = tones.manifest.clips[1]
    reader = StreamReader(_pipeline(host), tmp_path)
    whole = reader.read(clip)["main"]
    half = reader.read(Clip("half", clip.path, 0.0, 0.5, events=()))["main"]
    assert len(half) < len(whole)


def test_fitting_leaves_kept_energies_valid(host, tones, tmp_path, count_reads):
    clip = tones.manifest.clips[1]
    pipeline = _pipeline(host)
    reader = StreamReader(pipeline, tmp_path)
    energies = Features(
        torch.from_numpy(np.array(reader.read(clip)["main"])).unsqueeze(0),
        torch.tensor([len(reader.read(clip)["main"])]),
        pipeline.frontends["main"].energy_spec.grid,
    )
    pipeline.frontends["main"].fit_energies([energies])
    fitted = StreamReader(pipeline, tmp_path)
    values = fitted.inputs([fitted.read(clip)], "cpu").main.values
    assert len(count_reads) == 1
    samples, _ = soundfile.read(clip.path, dtype="float32")
    direct = pipeline.frontends["main"](torch.from_numpy(samples)[None], torch.tensor([16000]))
    torch.testing.assert_close(values, direct.values, rtol=1e-4, atol=1e-4)


def test_without_a_folder_nothing_is_kept(host, tones, tmp_path, count_reads):
    reader = StreamReader(_pipeline(host), None)
    for _ in range(2):
        reader.read(tones.manifest.clips[0])
    assert len(count_reads) == 2
    assert not any(tmp_path.iterdir())


def test_a_writer_that_dies_leaves_no_array(host, tones, tmp_path, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    reader = StreamReader(_pipeline(host), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            reader.read(tones.manifest.clips[1])
    assert not list(tmp_path.rglob("*.npy"))
    assert len(reader.read(tones.manifest.clips[1])["main"]) > 0


def test_a_damaged_recording_is_named(host, tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("no audio", encoding="utf-8")
    reader = StreamReader(_pipeline(host), tmp_path / "cache")
    with pytest.raises(AudioError, match=r"text\.wav"):
        reader.check(Clip("text", path, events=()))


class TestClipTargets:
    GRID = FrameGrid(0.1, 0.05)

    def targets(self, clip, offset=0.0, frames=10, length=10):
        inputs = Inputs(
            {"main": Features(torch.zeros(1, frames, 1), torch.tensor([length]), self.GRID)}
        )
        return clip_targets([clip], [offset], inputs, ("a", "b"))

    def test_frames_whose_centre_an_event_covers_are_labelled(self, tmp_path):
        clip = Clip("x", tmp_path / "x.wav", events=(Event(0.2, 0.5, "b"),))
        targets = self.targets(clip)
        assert targets.frames[0, :, 1].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
        assert targets.clip[0].tolist() == [0, 1]
        assert targets.frame_mask.all()

    def test_an_offset_moves_the_event(self, tmp_path):
        clip = Clip("x", tmp_path / "x.wav", events=(Event(2.2, 2.5, "a"),))
        targets = self.targets(clip, offset=2.0)
        assert targets.frames[0, :, 0].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]

    @pytest.mark.parametrize("span", [(0.0, 1.0), (2.0, 3.0)])
    def test_an_event_outside_the_chunk_is_not_in_it(self, tmp_path, span):
        clip = Clip("x", tmp_path / "x.wav", events=(Event(*span, "a"),))
        targets = self.targets(clip, offset=1.0)
        assert not targets.frames.any()
        assert not targets.clip.any()

    def test_tags_alone_leave_frames_unknown(self, tmp_path):
        targets = self.targets(Clip("x", tmp_path / "x.wav", tags=("b",)))
        assert targets.clip[0].tolist() == [0, 1]
        assert targets.clip_mask.all()
        assert not targets.frame_mask.any()

    def test_padding_is_unknown(self, tmp_path):
        clip = Clip("x", tmp_path / "x.wav", events=())
        assert self.targets(clip, length=4).frame_mask[0, :, 0].tolist() == [True] * 4 + [False] * 6
