"""Counts multiply-accumulates: what convolutions, dense and recurrent layers multiply and add."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_accumulates(module: nn.Module, call: Callable[[], Any]) -> int:
    """Returns the multiply-accumulates of one call of a module, from the shapes that it meets.

    Convolutions and matrix products are counted where torch computes them, so weights that are
    used without their layer's `forward` count too. A GRU is counted by formula, frames times the
    sizes of its matrices, because a fused one shows no products. Normalisation, pooling and what
    is done element by element are left out.

    Args:
        module: called by `call`; it is the outermost module that is.
        call: takes nothing; its result is dropped.
    """
    recurrent = {name: part for name, part in module.named_modules() if isinstance(part, nn.GRU)}
    counts: list[int] = []

    def count_gru(part: nn.GRU, inputs: tuple[Tensor, ...], output: Any) -> None:
        counts.append(gru_multiply_accumulates(part, inputs[0]))

    counter = FlopCounterMode(display=False)
    with ExitStack() as stack, counter, torch.no_grad():
        for part in recurrent.values():
            stack.callback(part.register_forward_hook(count_gru).remove)
        call()
    by_module = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    root = type(module).__name__
    seen = sum(by_module.get(f"{root}.{name}", 0) for name in recurrent)
    return (counter.get_total_flops() - seen) // 2 + sum(counts)


def gru_multiply_accumulates(gru: nn.GRU, x: Tensor) -> int:
    """Returns the multiply-accumulates of a GRU: every frame meets every matrix entry once.

    Args:
        gru: any number of layers and directions.
        x: [B, T, F], not packed.
    """
    entries = sum(p.numel() for name, p in gru.named_parameters() if name.startswith("weight_"))
    return x.shape[0] * x.shape[1] * entries
