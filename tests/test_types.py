"""What flows between parts: grids, ragged features, targets that are partly known."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sedsdk.types import (
    ClipPrediction,
    Event,
    Features,
    FrameGrid,
    Inputs,
    Prediction,
    Targets,
    clip_predictions,
)

hops = st.floats(0.001, 0.5)
firsts = st.floats(0.0, 0.1)
grids = st.builds(FrameGrid, hops, firsts)


def features(lengths: list[int], size: int = 3) -> Features:
    values = torch.arange(float(len(lengths) * max(lengths) * size))
    return Features(
        values.reshape(len(lengths), max(lengths), size), torch.tensor(lengths), FrameGrid(0.02)
    )


def targets(frames: torch.Tensor, known: torch.Tensor | None = None) -> Targets:
    known = torch.ones_like(frames, dtype=torch.bool) if known is None else known
    clip = frames.amax(1)
    return Targets(clip, torch.ones_like(clip, dtype=torch.bool), frames, known, FrameGrid(0.02))


# FrameGrid


@given(grids, st.integers(0, 10_000))
def test_position_is_the_inverse_of_the_frame_centre(grid, frame):
    centre = grid.first_seconds + frame * grid.hop_seconds
    assert grid.position(centre) == pytest.approx(frame, abs=1e-6)
    assert grid.start(frame) == pytest.approx(max(0.0, centre - grid.hop_seconds / 2))


@given(grids, st.integers(0, 50))
def test_times_are_the_centres(grid, n_frames):
    times = grid.times(n_frames)
    assert times.dtype == np.float64
    np.testing.assert_allclose(
        times, [grid.first_seconds + i * grid.hop_seconds for i in range(n_frames)]
    )


@given(grids, st.floats(0, 5), st.floats(0, 5), st.integers(1, 200))
def test_a_span_holds_the_frames_whose_centres_the_interval_covers(grid, onset, length, n_frames):
    offset = onset + length
    centres = [grid.first_seconds + i * grid.hop_seconds for i in range(n_frames)]
    assume(
        all(abs(c - edge) > 1e-4 * grid.hop_seconds for c in centres for edge in (onset, offset))
    )
    covered = [i for i, centre in enumerate(centres) if onset <= centre < offset]
    first, last = grid.span(onset, offset, n_frames)
    if covered:
        assert list(range(first, last)) == covered
    else:
        assert last - first <= 1


@given(grids, st.floats(0, 1), st.floats(0, 1e-3), st.integers(1, 200))
def test_no_event_inside_the_frames_vanishes(grid, where, length, n_frames):
    end = grid.first_seconds + (n_frames - 1) * grid.hop_seconds
    first, last = grid.span(where * end, where * end + length, n_frames)
    assert 0 <= first < last <= n_frames


def test_an_event_before_the_first_centre_gets_the_first_frame():
    assert FrameGrid(0.02, 0.02).span(0.0, 0.005, 10) == (0, 1)
    assert FrameGrid(0.02, 0.02).span(0.0, 0.0, 10) == (0, 1)


def test_an_event_of_another_chunk_gets_no_frame():
    first, last = FrameGrid(0.02).span(-3.0, -1.0, 10)
    assert first >= last
    first, last = FrameGrid(0.02).span(3.0, 4.0, 10)
    assert first >= last


@given(grids, st.integers(1, 16), st.integers(0, 20))
def test_a_joined_frame_has_its_centre_amid_those_it_joins(grid, factor, frame):
    joined = grid.reduced(factor)
    centres = grid.first_seconds + grid.hop_seconds * np.arange(
        frame * factor, (frame + 1) * factor
    )
    assert joined.first_seconds + frame * joined.hop_seconds == pytest.approx(centres.mean())
    assert joined.start(frame) == pytest.approx(grid.start(frame * factor), abs=1e-9)


@pytest.mark.parametrize("hop", [0.0, -1.0, float("nan")])
def test_a_hop_is_above_zero(hop):
    with pytest.raises(ValueError, match="hop_seconds must be above 0"):
        FrameGrid(hop)


# Features and Inputs


def test_mask_and_zero_padding_follow_the_lengths():
    ragged = features([1, 3, 2])
    assert ragged.mask().tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    padded = ragged.zero_padded()
    assert padded.values[0, 1:].abs().sum() == 0
    assert torch.equal(padded.values[1], ragged.values[1])
    assert torch.equal(ragged.values, features([1, 3, 2]).values)


def test_a_clip_alone_has_no_padding():
    clip = features([1, 3, 2]).clip(2)
    assert clip.values.shape == (1, 2, 3)
    assert clip.lengths.tolist() == [2]


def test_a_move_casts_values_and_keeps_lengths_whole_numbers():
    moved = Inputs({"main": features([2])}).to("cpu", torch.float64)
    assert moved.main.values.dtype == torch.float64
    assert moved.main.lengths.dtype == torch.int64


def test_streams_are_reached_by_name_and_replaced_in_a_copy():
    inputs = Inputs({"main": features([2, 1]), "asr": features([4, 2])})
    other = inputs.with_stream("asr", features([9, 9]))
    assert list(inputs) == ["main", "asr"]
    assert inputs.batch_size == 2
    assert inputs["asr"].lengths.tolist() == [4, 2]
    assert other["asr"].lengths.tolist() == [9, 9]
    assert inputs.main is inputs["main"]


def test_what_flows_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        features([1]).grid = FrameGrid(1.0)


# Targets


@settings(max_examples=60)
@given(st.data())
def test_reduced_targets_agree_with_a_plain_loop(data):
    batch, classes = 2, 2
    have = data.draw(st.integers(1, 9))
    factor = data.draw(st.integers(1, 4))
    wanted = data.draw(st.integers(1, 5))
    bits = st.lists(st.booleans(), min_size=batch * have * classes, max_size=batch * have * classes)
    labels = np.array(data.draw(bits), dtype=np.float32).reshape(batch, have, classes)
    known = np.array(data.draw(bits)).reshape(batch, have, classes)
    given_targets = targets(torch.from_numpy(labels), torch.from_numpy(known))
    reduced = given_targets.reduced(factor, wanted)
    for b in range(batch):
        for t in range(wanted):
            for c in range(classes):
                joined = [
                    labels[b, i, c]
                    for i in range(t * factor, min((t + 1) * factor, have))
                    if known[b, i, c]
                ]
                assert bool(reduced.frame_mask[b, t, c]) == bool(joined)
                assert float(reduced.frames[b, t, c]) == (max(joined) if joined else 0.0)
    assert reduced.grid == FrameGrid(0.02).reduced(factor)
    assert torch.equal(reduced.clip, given_targets.clip)


def test_targets_move_their_labels_and_keep_their_masks():
    moved = targets(torch.rand(2, 4, 3)).to("cpu", torch.float64)
    assert moved.frames.dtype == moved.clip.dtype == torch.float64
    assert moved.frame_mask.dtype == moved.clip_mask.dtype == torch.bool


# Predictions and events


def test_clips_come_apart_without_padding_as_float32():
    frames = torch.rand(2, 4, 1, dtype=torch.float64)
    lengths = torch.tensor([4, 2])
    clips = clip_predictions(
        Prediction(torch.rand(2, 1).bfloat16(), frames, lengths, FrameGrid(0.02)), ("gunshot",)
    )
    assert [type(clip) for clip in clips] == [ClipPrediction] * 2
    assert [clip.frames.shape for clip in clips] == [(4, 1), (2, 1)]
    assert all(clip.frames.dtype == clip.clip.dtype == np.float32 for clip in clips)
    np.testing.assert_allclose(clips[1].frames, frames[1, :2].numpy(), rtol=1e-6)


def test_events_sort_by_onset_and_become_plain_values():
    late, early = Event(2.0, 3.0, "gunshot"), Event(1.0, 4.0, "babycry", 0.5)
    assert sorted([late, early]) == [early, late]
    assert early.as_dict() == {"onset": 1.0, "offset": 4.0, "label": "babycry", "score": 0.5}


def test_the_types_import_neither_torch_nor_numpy():
    code = (
        "import sys, sedsdk.types; sedsdk.types.FrameGrid(0.1).span(0.2, 0.3, 9);"
        "print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
