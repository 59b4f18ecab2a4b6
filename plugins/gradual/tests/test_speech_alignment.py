"""Streams of any frame rate on the encoder's frames, and the fine-tuning network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gradual_twin import aligned_rows
from hypothesis import given
from hypothesis import strategies as st
from sedsdk_gradual.alignment import aligned
from sedsdk_gradual.encoder import AsrFinetune, AsrFinetuneConfig
from torch import Tensor

from kaldi_bridge.plugin.pooling import cell_grid, pooled
from sedsdk import ConfigError, Features, FrameGrid, Inputs, StreamSpec, compose, part

MILLISECOND = 0.001


def rows_of(counts: list[int], size: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random rows with noise in the padding."""
    values = np.random.default_rng(seed).normal(size=(len(counts), max(*counts, 1), size))
    return torch.from_numpy(values), torch.tensor(counts)


def grid(hop: int, first: int) -> FrameGrid:
    return FrameGrid(hop * MILLISECOND, first * MILLISECOND)


@given(
    rows=st.tuples(st.integers(1, 300), st.integers(0, 300)),
    frames=st.tuples(st.integers(1, 300), st.integers(0, 300)),
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    lengths=st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_every_frame_is_the_twins(
    rows: tuple[int, int], frames: tuple[int, int], counts: list[int], lengths: list[int]
) -> None:
    """Ties and borders too: the twin compares whole milliseconds."""
    values, have = rows_of(counts)
    wanted_lengths = torch.tensor(lengths[: len(counts)])
    before = values.clone()
    found = aligned(Features(values, have, grid(*rows)), wanted_lengths, 12, grid(*frames))
    assert torch.equal(values, before)
    for index, length in enumerate(wanted_lengths.tolist()):
        mine = values[index, : counts[index]].numpy()
        wanted = aligned_rows(mine, rows, frames, length)
        np.testing.assert_allclose(found[index, :length], wanted, atol=1e-13)
        assert not found[index, length:].any()


def test_by_hand() -> None:
    """Rows every 30 ms from 12.5 ms on, cells of 100 ms from 0 on."""
    values = torch.arange(1.0, 8.0).reshape(1, 7, 1)
    stream = Features(values, torch.tensor([7]), FrameGrid(0.03, 0.0125))
    found = aligned(stream, torch.tensor([4]), 4, FrameGrid(0.1, 0.05))
    # centres 12.5 42.5 72.5 | 102.5 132.5 162.5 192.5 | none: the last row | again
    assert found[0, :, 0].tolist() == [2.0, 5.5, 7.0, 7.0]


def test_rarer_rows_are_taken_from_the_nearest_the_earlier_of_two() -> None:
    values = torch.tensor([[[1.0], [2.0]]])
    stream = Features(values, torch.tensor([2]), FrameGrid(0.4, 0.2))
    found = aligned(stream, torch.tensor([8]), 8, FrameGrid(0.1, 0.0))
    # frames at 0 … 0.7 s, rows at 0.2 and 0.6 s: 0.4 s is as far from both
    assert found[0, :, 0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2]


def test_the_same_grid_changes_nothing() -> None:
    values, lengths = rows_of([9, 4])
    same = FrameGrid(0.1, 0.05)
    stream = Features(values, lengths, same).zero_padded()
    assert torch.equal(aligned(stream, lengths, 9, same), stream.values)


def test_cells_that_the_rows_fill_are_those_of_the_frontends_own_pooling() -> None:
    values, lengths = rows_of([98], size=4)
    rows = FrameGrid(0.01, 0.0125)
    wanted = pooled(values[0], rows, 10, 0.1)
    found = aligned(Features(values, lengths, rows), torch.tensor([10]), 10, cell_grid(0.1))
    torch.testing.assert_close(found[0], wanted)


def test_gradients_reach_the_rows_that_were_used_each_with_its_share() -> None:
    values, lengths = rows_of([7], size=1)
    leaf = values.clone().requires_grad_()
    stream = Features(leaf, lengths, FrameGrid(0.03, 0.0125))
    found = aligned(stream, torch.tensor([3]), 3, FrameGrid(0.1, 0.05))
    (found * torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1)).sum().backward()
    assert leaf.grad is not None
    # three rows of the first cell, four of the second, the last one again for the third
    assert leaf.grad[0, :, 0].tolist() == pytest.approx([1 / 3] * 3 + [2.5] * 3 + [102.5])


# The fine-tuning network


def finetune(streams: dict[str, StreamSpec], **options: Any) -> AsrFinetune:
    return AsrFinetune(AsrFinetuneConfig(**options), streams).eval()


EMBEDDINGS = StreamSpec(6, FrameGrid(0.1, 0.05))


def test_on_its_own_frames_it_passes_the_embeddings_on() -> None:
    encoder = finetune({"main": EMBEDDINGS}, asr_norm=False)
    assert encoder.time_reduction == 1
    assert not list(encoder.parameters())
    values, lengths = rows_of([8, 3], size=6)
    stream = Features(values, lengths, EMBEDDINGS.grid).zero_padded()
    assert torch.equal(encoder(Inputs({"main": stream})).frames.values, stream.values)


@pytest.mark.parametrize(
    ("options", "other", "read"),
    [({}, "asr", "asr"), ({}, "words", "main"), ({"stream": "words"}, "words", "words")],
)
def test_it_reads_the_stream_of_speech_unless_told_otherwise(
    options: dict[str, Any], other: str, read: str
) -> None:
    streams = {"main": StreamSpec(4, FrameGrid(0.05, 0.02)), other: EMBEDDINGS}
    encoder = finetune(streams, **options)
    assert encoder.stream == read
    assert encoder.spec.frames.size == streams[read].size
    assert encoder.time_reduction == 2
    assert encoder.spec.frames.grid.times(2).tolist() == pytest.approx([0.045, 0.145])


def test_a_dense_layer_with_softmax_is_the_sigmoid_of_the_head() -> None:
    """Two outputs per event, as the paper has, against one: probabilities, loss and gradient."""
    pipeline = compose(
        ["babycry"],
        part("log_mel", sample_rate=8000, n_mels=6, hop_seconds=0.1),
        part("asr_finetune", asr_norm=False),
        "frame_bce",
        seed=0,
    ).double()
    values, lengths = rows_of([9, 5], size=6, seed=3)
    stream = Features(values, lengths, pipeline.streams["main"].grid).zero_padded()
    labels = (torch.arange(9) % 3 == 0).long().expand(2, 9)

    softmax_layer = torch.nn.Linear(6, 2).double()  # no event, event
    output = pipeline.head.output[-1]
    with torch.no_grad():
        output.weight.copy_(softmax_layer.weight[1:] - softmax_layer.weight[:1])
        output.bias.copy_(softmax_layer.bias[1:] - softmax_layer.bias[:1])
    prediction = pipeline(Inputs({"main": stream}))
    two = softmax_layer(stream.values)
    valid = stream.mask()
    wanted = two.softmax(-1)[..., 1]
    torch.testing.assert_close(prediction.frames[..., 0][valid], wanted[valid])

    logits = prediction.extras["frame_logits"][..., 0]
    one = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[valid], labels[valid].double()
    )
    other = torch.nn.functional.cross_entropy(two[valid], labels[valid])
    torch.testing.assert_close(one, other)
    one.backward()
    other.backward()
    assert softmax_layer.weight.grad is not None
    torch.testing.assert_close(output.weight.grad[0], softmax_layer.weight.grad[1])
    torch.testing.assert_close(-output.weight.grad[0], softmax_layer.weight.grad[0])


def test_frames_that_are_no_whole_number_of_hops_are_refused() -> None:
    streams = {"main": StreamSpec(4, FrameGrid(0.03, 0.0125))}
    with pytest.raises(ConfigError, match=r"hop_seconds = 0\.1"):
        finetune(streams)
    assert finetune(streams, frame_seconds=0.09).time_reduction == 3
    with pytest.raises(ConfigError, match=r"one every 0\.3 s"):
        finetune({"main": StreamSpec(4, FrameGrid(0.3))})


def test_a_stream_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r'"asrr".*main, asr.*Did you mean "asr"'):
        finetune({"main": EMBEDDINGS, "asr": EMBEDDINGS}, stream="asrr")
