from __future__ import annotations

import numpy as np
import pytest
import torch
from tone_recipes import PIPELINE

from sedsdk.config import PipelineConfig
from sedsdk.data.energy_mixer import EnergyBank, EnergyMixer
from sedsdk.data.mixture_plans import MixingConfig, MixturePlanner
from sedsdk.data.sources import Source, SourceSet
from sedsdk.data.waveform_mixer import WaveformMixer
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import ClipBatches, MixtureBatches, Share
from sedsdk.training.streams import StreamReader

STEPS = 3
BATCH = 4


@pytest.fixture
def pipeline(host):
    frontend = {**PIPELINE["frontends"]["main"], "normalise": "none"}
    return Pipeline(PipelineConfig(**{**PIPELINE, "frontends": {"main": frontend}}), host, seed=0)


@pytest.fixture(params=["clips", "energies", "waveforms"])
def make_batches(request, pipeline, tones):
    """Builds one kind of batches for a share."""
    clips = tones.manifest.clips
    events = tuple(
        Source(clip.path, event.label, event.onset, event.offset, clip.id)
        for clip in clips
        for event in clip.events
    )
    sources = SourceSet(events, (Source(clips[0].path, ""),), ())
    durations = [(s.end or 1.0) - s.start for s in sources.sources]
    config = MixingConfig(clip_seconds=0.5)
    planner = MixturePlanner(sources, durations, pipeline.labels, config, seed=3)

    def make(share: Share):
        if request.param == "clips":
            return ClipBatches(
                pipeline, StreamReader(pipeline, None), clips, [1.0] * 12, 0.4, 0.1, 3, share
            )
        if request.param == "energies":
            bank = EnergyBank.build(sources.sources, pipeline.frontends["main"])
            mixers = {"main": EnergyMixer(bank, 2, 0.5)}
            return MixtureBatches(pipeline, planner, mixers, None, STEPS, share)
        mixer = WaveformMixer(sources.sources, 2, 0.5, 16000)
        return MixtureBatches(pipeline, planner, {}, mixer, STEPS, share)

    return make


def _values(batches, step):
    inputs, targets = batches.tensors(batches[step], "cpu")
    return inputs.main.values, targets.frames


def test_a_batch_depends_on_epoch_and_step_only(make_batches):
    first, second = make_batches(Share(BATCH)), make_batches(Share(BATCH))
    first.set_epoch(2)
    for step in range(STEPS):
        _values(second, step)
    second.set_epoch(2)
    for step in (2, 0):
        for a, b in zip(_values(first, step), _values(second, step), strict=True):
            assert torch.equal(a, b)


def test_the_shares_of_two_processes_are_one_batch(make_batches):
    whole = make_batches(Share(BATCH))
    halves = [make_batches(Share(BATCH, rank, 2)) for rank in (0, 1)]
    for epoch in (1, 2):
        for batches in (whole, *halves):
            batches.set_epoch(epoch)
        assert len({len(batches) for batches in (whole, *halves)}) == 1
        for step in range(STEPS):
            parts = [_values(half, step) for half in halves]
            for place, value in enumerate(_values(whole, step)):
                together = torch.cat([part[place] for part in parts])
                torch.testing.assert_close(together, value, rtol=1e-5, atol=1e-6)


def test_another_epoch_and_another_step_differ(make_batches):
    batches = make_batches(Share(BATCH))
    first = _values(batches, 0)[0]
    assert not torch.equal(first, _values(batches, 1)[0])
    batches.set_epoch(2)
    assert not torch.equal(first, _values(batches, 0)[0])


def test_an_epoch_holds_every_chunk_at_most_once(pipeline, tones):
    clips = tones.manifest.clips
    reader = StreamReader(pipeline, None)
    batches = ClipBatches(pipeline, reader, clips, [1.0] * 12, 0.5, 0.0, 0, Share(5))
    seen = []
    for step in range(len(batches)):
        batch = batches[step]
        seen += [(clip.id, start) for clip, start in zip(batch.clips, batch.offsets, strict=True)]
    assert len(seen) == len(set(seen)) == 20  # 24 chunks make four batches of five


def test_fewer_clips_than_a_batch_are_repeated(pipeline, tones):
    clips = tones.manifest.clips[:3]
    reader = StreamReader(pipeline, None)
    batches = ClipBatches(pipeline, reader, clips, [1.0] * 3, None, 0.0, 0, Share(8))
    assert len(batches) == 1
    assert {clip.id for clip in batches[0].clips} == {clip.id for clip in clips}


def test_positions_of_all_steps_and_ranks_tile_the_epoch():
    positions = [list(Share(6, rank, 3).positions(step)) for step in range(4) for rank in range(3)]
    assert np.concatenate(positions).tolist() == list(range(24))
