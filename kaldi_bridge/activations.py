"""Activations of clips: cut into chunks, each with its i-vector, and run in one of three ways.

Without gradients through streams, with gradients chunk by chunk, or by PyKaldi.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kaldi_bridge.backends.pykaldi import PyKaldiBackend
from kaldi_bridge.chunks import Chunk, chunk_frames, cut, ivector_row, padded
from kaldi_bridge.clips import Clips
from kaldi_bridge.graph import functional
from kaldi_bridge.graph.lowering import chunk_unit
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.nnet3.network import IVECTOR, Network
from kaldi_bridge.passes import Pass
from kaldi_bridge.plans import Plans

RowsByNode = dict[str, list[Tensor]]
Job = tuple[Tensor, Chunk, dict[str, Tensor]]
"""Features of a clip [T, F], the chunk of it that is computed, and its steady inputs."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        nodes: names of nodes, at least one.
        subsampling: every how many frames.
        frames_per_chunk: frames that share one online i-vector, before rounding; None: all.
        ivector_period: frames from one online i-vector to the next.
    """

    nodes: tuple[str, ...]
    subsampling: int
    frames_per_chunk: int | None
    ivector_period: int


def activations(
    layout: Network, plans: Plans, clips: Clips, request: Request, learning: bool
) -> RowsByNode:
    """Computes what is asked for, in torch.

    Args:
        layout: the network; its numbers are not looked at.
        plans: of that network.
        clips: checked.
        request: nodes and options.
        learning: whether gradients flow.

    Returns:
        By node, the rows of each clip [T', D].

    Raises:
        ShapeError: no frame in a chunk, or i-vectors that end before the features.
        NotSupported: a component or descriptor on the way that is not computed.
    """
    factor = request.subsampling
    units = [chunk_unit(layout, [node], factor) for node in request.nodes]
    sizes = [chunk_frames(request.frames_per_chunk, unit) for unit in units]
    if clips.have_online_ivectors and len(set(sizes)) > 1:  # Kaldi cuts for each node in its way
        results: RowsByNode = {}
        for node in request.nodes:
            results |= activations(layout, plans, clips, replace(request, nodes=(node,)), learning)
        return results
    jobs = list(_jobs(clips, sizes[0], factor, request.ivector_period))
    plan = plans.get(request.nodes, factor, learning)
    if learning:
        rows = [_with_gradients(plan, *job) for job in jobs]
    else:
        with torch.no_grad():
            run = Pass(plan)
            rows = [part for job in jobs for part in run.chunk(*job)]
            rows += run.finish()
    counts = clips.output_counts(factor)
    return {node: _by_clip(plan, node, rows, counts) for node in request.nodes}


def activations_by_pykaldi(backend: PyKaldiBackend, clips: Clips, request: Request) -> RowsByNode:
    """Computes what is asked for by Kaldi's own code; without gradients."""
    results: RowsByNode = {node: [] for node in request.nodes}
    for features, vector in clips:
        for node in request.nodes:
            rows = backend.compute(
                features.detach().cpu().numpy(),
                None if vector is None else vector.detach().cpu().numpy(),
                node=node,
                subsampling=request.subsampling,
                frames_per_chunk=request.frames_per_chunk,
                ivector_period=request.ivector_period,
            )
            results[node].append(torch.from_numpy(rows).to(features.device))
    return results


def _jobs(clips: Clips, size: int | None, subsampling: int, period: int) -> Iterator[Job]:
    """The chunks of all clips, one after the other."""
    for features, vector in clips:
        if vector is None or vector.dim() == 1:
            steady = {} if vector is None else {IVECTOR: vector}
            for chunk in cut(len(features), None):
                yield features, chunk, steady
            continue
        for chunk in cut(len(features), size):
            row = ivector_row(vector, chunk.middle(subsampling), period)
            yield features, chunk, {IVECTOR: row}


def _by_clip(
    plan: Plan, node: str, rows: list[dict[str, Tensor]], counts: list[int]
) -> list[Tensor]:
    dim = plan.outputs[node][0].dim
    nothing = torch.zeros(0, dim, dtype=plan.dtype, device=plan.device)
    return list(torch.split(torch.cat([*(part[node] for part in rows), nothing]), counts))


def _with_gradients(
    plan: Plan, features: Tensor, chunk: Chunk, steady: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Runs one chunk in one piece; rows [outputs, D] by node."""
    n_rows = chunk.rows(plan.phases)
    first = chunk.first - plan.past * plan.phases
    n_frames = (plan.past + n_rows + plan.future) * plan.phases
    frames = padded(features.to(plan.device, plan.dtype), first, first + n_frames)
    rows = functional.run(plan, frames.reshape(-1, plan.phases, features.shape[1]), steady, n_rows)
    n_outputs = chunk.outputs(plan.subsampling)
    return {name: value.flatten(0, 1)[:n_outputs] for name, value in rows.items()}
