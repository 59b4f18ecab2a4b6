"""From samples that arrive in blocks to activations: features, i-vectors, network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kaldi_bridge.chunks import Chunk, ivector_row
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.features import FeatureStream
from kaldi_bridge.graph.plan import Plan
from kaldi_bridge.ivectors.cmvn import OnlineCmvn
from kaldi_bridge.ivectors.state import SpeakerState
from kaldi_bridge.ivectors.stream import IvectorStream
from kaldi_bridge.nnet3.network import IVECTOR
from kaldi_bridge.passes import Pass


class NetworkStream:
    """Features and i-vectors that arrive in blocks → activations of one recording.

    Chunk by chunk as `AcousticModel.forward` computes them; without i-vectors, or with one that is
    given, there is a single chunk and rows come as early as the network's right context allows.
    """

    def __init__(
        self, plan: Plan, node: str, chunk: int | None, period: int, steady: dict[str, Tensor]
    ) -> None:
        """Args:
        plan: of the node.
        node: whose activations.
        chunk: frames that share an online i-vector; None: everything with `steady`.
        period: frames from one online i-vector to the next.
        steady: the one i-vector of a recording without chunks.
        """
        self.plan, self.node, self.chunk, self.period = plan, node, chunk, period
        self._pass = Pass(plan)
        self._features: Tensor | None = None
        self._offset = 0  # number of the first frame that is kept
        self._ivectors: Tensor | None = None
        self._ivector_offset = 0  # number of the first i-vector that is kept
        self._next = 0  # first frame of the next chunk, or of the next piece of the only one
        self._n_frames = 0
        fed = [core.dim for core in plan.inputs.values() if not core.steady]
        self._feature_dim = fed[0] if fed else None
        if chunk is None:
            self._pass.begin(steady)
            self._next = -plan.past * plan.phases

    @torch.no_grad()
    def push(self, features: Tensor, ivectors: Tensor | None = None) -> Tensor:
        """Takes frames [n, F] and new rows of i-vectors [m, K]; returns rows that are known.

        Raises:
            ShapeError: features of another dimension.
        """
        if features.dim() != 2 or self._feature_dim not in (None, features.shape[1]):
            raise ShapeError(
                f"features of shape {list(features.shape)}: the network takes [n, "
                f"{self._feature_dim}]."
            )
        kept = self._features
        self._features = features if kept is None else torch.cat([kept, features])
        self._n_frames += len(features)
        if ivectors is not None:
            known = self._ivectors
            self._ivectors = ivectors if known is None else torch.cat([known, ivectors])
        return self._joined(self._ready())

    @torch.no_grad()
    def finish(self) -> Tensor:
        """Ends the recording and returns the last rows."""
        return self._joined(self._rest())

    def _ready(self) -> Iterator[dict[str, Tensor]]:
        plan, features = self.plan, self._features
        assert features is not None
        if self.chunk is None:
            n_rows = (self._n_frames - self._next) // plan.phases
            if n_rows > 0 and len(features):
                yield from self._pass.frames(features, self._next, n_rows, self._offset)
                self._next += n_rows * plan.phases
        else:
            reach = plan.future * plan.phases
            while self._next + self.chunk + reach <= self._n_frames:
                chunk = Chunk(self._next, self._next + self.chunk)
                row = chunk.middle(plan.subsampling) // self.period
                if self._ivectors is None or row >= self._ivector_offset + len(self._ivectors):
                    break
                yield from self._compute(chunk)
        self._forget()

    def _rest(self) -> Iterator[dict[str, Tensor]]:
        plan = self.plan
        if self._features is None or not self._n_frames:
            return
        if self.chunk is None:
            total = plan.past + plan.future + -(-self._n_frames // plan.phases)
            done = self._next // plan.phases + plan.past
            self._pass.end(-(-self._n_frames // plan.subsampling))
            yield from self._pass.frames(self._features, self._next, total - done, self._offset)
        else:
            while self._next < self._n_frames:
                chunk = Chunk(self._next, min(self._next + self.chunk, self._n_frames))
                yield from self._compute(chunk)
        yield from self._pass.finish()

    def _compute(self, chunk: Chunk) -> Iterator[dict[str, Tensor]]:
        assert self._features is not None
        frame = chunk.middle(self.plan.subsampling)
        rows = self._features[:0] if self._ivectors is None else self._ivectors
        vector = ivector_row(rows, frame, self.period, self._ivector_offset)
        yield from self._pass.chunk(self._features, chunk, {IVECTOR: vector}, self._offset)
        self._next = chunk.last

    def _forget(self) -> None:
        """Drops frames that no later row sees; the last one stays, to be repeated at the end."""
        assert self._features is not None
        past = self.plan.past * self.plan.phases if self.chunk is not None else 0
        gone = min(self._next - past - self._offset, len(self._features) - 1)
        if gone > 0:
            self._features = self._features[gone:].clone()
            self._offset += gone
        if self.chunk is not None and self._ivectors is not None:
            oldest = min(self._next // self.period, self._ivector_offset + len(self._ivectors) - 1)
            if oldest > self._ivector_offset:
                self._ivectors = self._ivectors[oldest - self._ivector_offset :].clone()
                self._ivector_offset = oldest

    def _joined(self, parts: Iterator[dict[str, Tensor]]) -> Tensor:
        found = [part[self.node] for part in parts]
        if found:
            return torch.cat(found)
        dim = self.plan.outputs[self.node][0].dim
        return torch.empty(0, dim, dtype=self.plan.dtype, device=self.plan.device)


class EmbeddingStream:
    """Samples that arrive in blocks → activations; the same rows whatever the blocks' sizes."""

    def __init__(
        self,
        features: FeatureStream,
        ivectors: IvectorStream | None,
        cmvn: OnlineCmvn | None,
        network: NetworkStream,
    ) -> None:
        """Args:
        features: samples to frames.
        ivectors: frames to i-vectors; None if the node needs none.
        cmvn: normalises the frames for the network; None if it wants them as they are.
        network: frames and i-vectors to activations.
        """
        self._features, self._ivectors = features, ivectors
        self._cmvn, self._network = cmvn, network

    @torch.no_grad()
    def push(self, samples: ArrayLike) -> Tensor:
        """Takes samples [n], float in [-1, 1], and returns the rows that are known now [k, D].

        Raises:
            ShapeError: not one channel of finite floats.
        """
        return self._forward(self._features.push(samples), last=False)

    @torch.no_grad()
    def finish(self) -> Tensor:
        """Ends the recording and returns its last rows [k, D]."""
        rows = self._forward(self._features.finish(), last=True)
        return torch.cat([rows, self._network.finish()])

    @property
    def state(self) -> SpeakerState | None:
        """What is known of the speaker after `finish`; None for a network without i-vectors."""
        return None if self._ivectors is None else self._ivectors.state

    def _forward(self, frames: NDArray[np.float32], last: bool) -> Tensor:
        device, vectors = self._network.plan.device, None
        if self._ivectors is not None:
            known = [self._ivectors.push(frames)]
            if last:
                known.append(self._ivectors.finish())
            vectors = torch.from_numpy(np.concatenate(known)).to(device)
        if self._cmvn is not None and len(frames):
            frames = self._cmvn.push(frames.astype(np.float64)).astype(np.float32)
        return self._network.push(torch.from_numpy(frames).to(device), vectors)
