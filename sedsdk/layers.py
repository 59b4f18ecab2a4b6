"""Layers that keep the law of lengths, for anyone who writes an encoder or a head.

Convolutions read their neighbours, recurrent layers run through padding, normalisation counts it
and pooling averages it: each of these layers takes the clips' lengths and leaves padding out.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sedsdk.types import frame_mask

PROBABILITY_FLOOR = 1e-7


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics count valid frames only, over all processes.

    In training the mean and variance of each channel are taken over the valid frames of the whole
    batch, and of every process where `torch.distributed` runs, so one process with a large batch
    and several with its pieces train the same model. In evaluation the running statistics are used
    and a clip's result depends on itself alone. Padding comes out as zero.

    Args:
        channels: C.
        momentum: weight of the newest batch in the running statistics, in (0, 1].
        eps: added to the variance.

    Source: Ioffe and Szegedy 2015; running variance unbiased, as in torch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalises.

        Args:
            x: [B, C, T] or [B, C, T, F].
            lengths: int64 [B], valid frames.

        Returns:
            The same shape, zero on padding.
        """
        full = bool((lengths >= x.shape[2]).all())
        alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
        several = x.numel() > x.shape[1]  # torch refuses statistics of a single value
        if full and (not self.training or (alone and several)):
            return F.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
            )
        mask = time_mask(lengths, x)
        if not self.training:
            y = F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
            return y * mask
        mean, var = self._batch_statistics(x, mask, alone)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        scale = (self.weight * torch.rsqrt(var + self.eps)).view(shape)
        y = (x - mean.view(shape)) * scale + self.bias.view(shape)
        return y.to(x.dtype) * mask

    def _batch_statistics(self, x: Tensor, mask: Tensor, alone: bool) -> tuple[Tensor, Tensor]:
        axes = [0, *range(2, x.dim())]
        spread = x[0, 0, 0].numel()
        wide = torch.promote_types(x.dtype, torch.float32)
        sums = (x * mask).to(wide).sum(axes)
        count = mask.sum().to(wide).reshape(1) * spread
        totals = torch.cat([sums, count])
        if not alone:
            totals = _sum_over_processes(totals)
        count = totals[-1]
        mean = totals[:-1] / count.clamp(min=1)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        squares = (((x.to(wide) - mean.view(shape)) * mask) ** 2).sum(axes)
        if not alone:
            squares = _sum_over_processes(squares)
        var = squares / count.clamp(min=1)
        with torch.no_grad():
            momentum = (self.momentum * (count > 0)).to(self.running_mean.dtype)
            unbiased = var * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        return mean, var


def _sum_over_processes(value: Tensor) -> Tensor:
    """Sums a tensor over all processes; gradients flow back to each."""
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value)  # type: ignore[no-any-return, no-untyped-call]


class NormedConv2d(nn.Module):
    """Convolution, then `MaskedBatchNorm`; zero on padding, so that the next one reads zeros there.

    The convolution keeps the size (odd kernels, padded with zeros) but for its stride over
    frequency. In evaluation the normalisation is folded into its weights, which saves a pass over
    the map.

    Args:
        before: channels of the input.
        channels: of the output, C.
        kernel_size: odd sizes over time and frequency.
        stride: over time and frequency; over time it has to be 1.
    """

    def __init__(
        self,
        before: int,
        channels: int,
        kernel_size: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        if stride[0] != 1 or any(size % 2 == 0 for size in kernel_size):
            raise ValueError("the stride over time must be 1, kernel sizes must be odd")
        padding = (kernel_size[0] // 2, kernel_size[1] // 2)
        self.conv = nn.Conv2d(before, channels, kernel_size, stride, padding, bias=False)
        self.norm = MaskedBatchNorm(channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Maps [B, before, T, F] to [B, C, T, F'].

        Args:
            x: zero behind `lengths`, as the output is.
            lengths: int64 [B], frames.
        """
        norm = self.norm
        if self.training:
            return norm(self.conv(x), lengths)  # type: ignore[no-any-return]
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = self.conv.weight * scale.view(-1, 1, 1, 1)
        bias = norm.bias - norm.running_mean * scale
        y = F.conv2d(x, weight, bias, self.conv.stride, self.conv.padding)
        return y if bool((lengths >= y.shape[2]).all()) else y * time_mask(lengths, y)


class MaskedGru(nn.Module):
    """Gated recurrent layers that stop at each clip's end, in both directions.

    Args:
        input_size: features per frame.
        hidden_size: units per direction.
        layers: number of layers.
        bidirectional: run backwards too; the output has twice the units.
        dropout: between layers, in [0, 1).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(
            input_size,
            hidden_size,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output_size = hidden_size * (2 if bidirectional else 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Runs over valid frames: [B, T, F] → [B, T, units], zero on padding."""
        frames = x.shape[1]
        if bool((lengths >= frames).all()):
            return self.gru(x)[0]  # type: ignore[no-any-return]
        if x.device.type == "cpu":
            return self._unpacked(x, lengths)
        packed = pack_padded_sequence(
            x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=frames)
        return output * frame_mask(lengths, frames).unsqueeze(-1).to(output.dtype)

    def _unpacked(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Runs each layer and direction on its own, the backward ones over turned clips.

        On a CPU the gradient of a packed sequence takes time that grows with the square of its
        frames; this takes as long as a full batch.
        """
        frames, gru = x.shape[1], self.gru
        padding = ~frame_mask(lengths, frames).unsqueeze(2)
        place = torch.arange(frames, device=x.device)
        turned = torch.where(padding[:, :, 0], place, lengths.unsqueeze(1) - 1 - place)  # [B, T]
        x = x.masked_fill(padding, 0.0)
        for layer in range(gru.num_layers):
            outputs = [self._one_direction(x, f"l{layer}")]
            if gru.bidirectional:
                back = self._one_direction(_in_order(x, turned), f"l{layer}_reverse")
                outputs.append(_in_order(back, turned))
            x = torch.cat(outputs, 2).masked_fill(padding, 0.0)
            if layer + 1 < gru.num_layers:
                x = F.dropout(x, gru.dropout, self.training)
        return x

    def _one_direction(self, x: Tensor, suffix: str) -> Tensor:
        weights = [
            getattr(self.gru, f"{name}_{suffix}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        start = x.new_zeros(1, x.shape[0], self.gru.hidden_size)
        return torch.gru(x, start, weights, True, 1, 0.0, self.training, False, True)[0]


def _in_order(x: Tensor, order: Tensor) -> Tensor:
    """Returns the frames of each clip in another order: x [B, T, F], order int64 [B, T]."""
    return x.gather(1, order.unsqueeze(2).expand(-1, -1, x.shape[2]))


def time_mask(lengths: Tensor, x: Tensor) -> Tensor:
    """Returns a mask in the dtype of `x` that broadcasts over [B, C, T] or [B, C, T, F]."""
    mask = frame_mask(lengths, x.shape[2]).to(x.dtype)
    return mask.view(mask.shape[0], 1, mask.shape[1], *(1,) * (x.dim() - 3))


def masked_max(x: Tensor, lengths: Tensor) -> Tensor:
    """Returns the largest valid value over time: [B, T, C] → [B, C]."""
    mask = frame_mask(lengths, x.shape[1]).unsqueeze(-1)
    return x.masked_fill(~mask, torch.finfo(x.dtype).min).amax(1)


def masked_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mean over valid frames: [B, T, C] → [B, C]."""
    mask = frame_mask(lengths, x.shape[1]).unsqueeze(-1).to(x.dtype)
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1)


def masked_softmax(x: Tensor, lengths: Tensor) -> Tensor:
    """Returns a softmax over valid frames: [B, T, C], zero on padding."""
    mask = frame_mask(lengths, x.shape[1]).unsqueeze(-1)
    scores = x.masked_fill(~mask, torch.finfo(x.dtype).min)
    return torch.softmax(scores, dim=1).masked_fill(~mask, 0.0)


def masked_binary_cross_entropy(
    logits: Tensor, labels: Tensor, known: Tensor, positive_weight: float = 1.0
) -> Tensor:
    """Returns the mean binary cross-entropy of each clip over its known labels: [B].

    A clip without any known label gives zero.

    Args:
        logits: [B, ...].
        labels: the same shape, in [0, 1]; where unknown, anything.
        known: bool, the same shape.
        positive_weight: factor on the term of the label 1.
    """
    weight = logits.new_tensor(positive_weight)
    labels = torch.where(known, labels, torch.zeros_like(labels))
    losses = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")
    losses = torch.where(known, losses, torch.zeros_like(losses)).flatten(1)
    return losses.sum(1) / known.flatten(1).sum(1).clamp(min=1)


def probability_logit(probability: Tensor) -> Tensor:
    """Returns log(p / (1 − p)), with p kept 1e-7 away from 0 and 1; at least float32.

    Half precision cannot tell 1 − 1e-7 from 1, so it is widened first.
    """
    wide = probability.to(torch.promote_types(probability.dtype, torch.float32))
    clamped = wide.clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return torch.log(clamped) - torch.log1p(-clamped)
