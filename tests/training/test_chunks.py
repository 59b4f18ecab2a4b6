from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tone_recipes import PIPELINE

from sedsdk.config import PipelineConfig
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import ClipBatches, Share, cut_into_chunks
from sedsdk.training.streams import StreamReader

lengths = st.floats(0.05, 500)


@given(duration=lengths, chunk=st.floats(0.5, 60), overlap=st.floats(0, 0.95))
def test_chunks_cover_the_clip_and_end_with_it(duration, chunk, overlap):
    chunks = cut_into_chunks(duration, chunk, overlap * chunk)
    assert chunks[0][0] == 0.0
    assert chunks[-1][1] == pytest.approx(duration)
    for (_, end), (start, _) in itertools.pairwise(chunks):
        assert start <= end - overlap * chunk + 1e-6
    for start, end in chunks:
        assert end - start == pytest.approx(min(chunk, duration))


@given(duration=lengths, chunk=st.floats(0.5, 60), overlap=st.floats(0, 0.95))
def test_no_chunk_is_superfluous(duration, chunk, overlap):
    chunks = cut_into_chunks(duration, chunk, overlap * chunk)
    starts = [start for start, _ in chunks]
    assert starts == sorted(set(starts))
    if len(chunks) > 1:
        assert chunks[-2][1] < duration


@given(duration=lengths)
def test_whole_clips_are_one_chunk(duration):
    assert cut_into_chunks(duration, None, 0.0) == [(0.0, duration)]


@pytest.mark.parametrize("overlap", [0.0, 0.15])
def test_an_event_lands_in_the_frames_of_its_chunk(tones, host, overlap):
    frontend = {**PIPELINE["frontends"]["main"], "normalise": "none"}
    config = PipelineConfig(**{**PIPELINE, "frontends": {"main": frontend}})
    pipeline = Pipeline(config, host, seed=0)
    clips = tones.manifest.clips
    batches = ClipBatches(
        pipeline, StreamReader(pipeline, None), clips, [1.0] * len(clips), 0.3, overlap, 0, Share(4)
    )
    seen = 0
    for step in range(len(batches)):
        stored = batches[step]
        _, targets = batches.tensors(stored, "cpu")
        for row, (clip, offset) in enumerate(zip(stored.clips, stored.offsets, strict=True)):
            frames = len(stored.stored[row]["main"])
            # The stored frames start at the frame nearest to the chunk's start.
            first = round(offset / 0.02) * 0.02
            centres = first + targets.grid.times(frames)
            for index, label in enumerate(pipeline.labels):
                inside = np.zeros(frames, bool)
                for event in clip.events:
                    if event.label == label:
                        inside |= (centres >= event.onset) & (centres < event.offset)
                got = targets.frames[row, :frames, index].numpy() > 0
                # An event's edge may fall between the chunk's nominal and its stored start.
                assert np.count_nonzero(got != inside) <= 1
                seen += int(inside.sum())
    assert seen > 50
