"""A network being drawn up: layers as the xconfig files of Kaldi's recipes name them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3 import descriptors as d
from kaldi_bridge.nnet3.checking import check_dimensions, descriptor_dim
from kaldi_bridge.nnet3.components import output_dim
from kaldi_bridge.nnet3.network import Component, Network
from kaldi_bridge.nnet3.parsing import parse_descriptor


def at(source: str, offset: int) -> str:
    """Returns the descriptor of a node `offset` frames later."""
    return f"Offset({source}, {offset})" if offset else source


def spliced(source: str, offsets: Sequence[int], *others: str) -> str:
    """Returns the descriptor of a node at several frames, with other parts behind."""
    parts = [*(at(source, offset) for offset in offsets), *others]
    return f"Append({', '.join(parts)})" if len(parts) > 1 else parts[0]


class NetworkDraft:
    """Nodes and components so far; every layer returns the name of its last node.

    Weights and statistics are drawn so that activations stay near 1, as in a trained network,
    whatever the depth: `sizes` has the root mean square that each node should about have.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.lines: list[str] = []
        self.components: dict[str, Component] = {}
        self.dims: dict[str, int] = {}
        self.sizes: dict[str, float] = {}

    def network(self) -> Network:
        """Returns the checked network."""
        network = building.network("\n".join(self.lines), self.components.values())
        check_dimensions(network)
        return network

    def dim(self, source: str) -> int:
        """Returns the columns of a descriptor."""
        return descriptor_dim(parse_descriptor(source), self.dims)

    def size(self, source: str) -> float:
        """Returns about the root mean square of a descriptor."""
        return size_of(parse_descriptor(source), self.sizes)

    def input(self, name: str, dim: int) -> str:
        """Adds an input, "input" or "ivector"."""
        self.lines.append(f"input-node name={name} dim={dim}")
        self.dims[name], self.sizes[name] = dim, 1.0
        return name

    def output(self, name: str, source: str) -> None:
        """Adds an output node."""
        self.lines.append(f"output-node name={name} input={source} objective=linear")

    def dim_range(self, name: str, source: str, offset: int, dim: int) -> str:
        """Adds columns of another node."""
        self.lines.append(
            f"dim-range-node name={name} input-node={source} dim-offset={offset} dim={dim}"
        )
        self.dims[name], self.sizes[name] = dim, self.sizes[source]
        return name

    def add(
        self, component: Component, source: str, node: str | None = None, size: float | None = None
    ) -> str:
        """Adds a node that applies a component, which may have nodes already.

        Args:
            component: what is applied.
            source: descriptor of its input.
            node: name; None for the component's.
            size: about the root mean square of the result; None for that of the input.
        """
        name = node or component.name
        self.components[component.name] = component
        self.lines.append(f"component-node name={name} component={component.name} input={source}")
        self.dims[name] = output_dim(component)
        self.sizes[name] = self.size(source) if size is None else size
        return name

    def weights(self, rows: int, columns: int, source: str) -> np.ndarray:
        """Returns a random matrix, float32 [rows, columns], that makes values of about 1."""
        scale = np.float32(1 / (self.size(source) * np.sqrt(columns)))
        return scale * self.random.standard_normal((rows, columns), dtype=np.float32)

    def bias(self, dim: int) -> np.ndarray:
        """Returns random offsets [dim]."""
        return 0.3 * self.random.standard_normal(dim)

    def affine(self, name: str, source: str, dim: int) -> str:
        """Adds a NaturalGradientAffineComponent."""
        weights = self.weights(dim, self.dim(source), source)
        return self.add(building.affine(name, weights, self.bias(dim)), source, size=1.0)

    def linear(self, name: str, source: str, dim: int) -> str:
        """Adds a LinearComponent."""
        weights = self.weights(dim, self.dim(source), source)
        return self.add(building.linear(name, weights), source, size=1.0)

    def fixed_affine(self, name: str, source: str) -> str:
        """Adds a square FixedAffineComponent: LDA or inverse DCT."""
        dim = self.dim(source)
        weights = self.weights(dim, dim, source)
        return self.add(building.fixed_affine(name, weights, self.bias(dim)), source, size=1.0)

    def batchnorm(
        self, name: str, source: str, *, block: int | None = None, target_rms: float = 1.0
    ) -> str:
        """Adds a BatchNormComponent."""
        dim, size = self.dim(source), self.size(source)
        mean = size * self.random.uniform(0.2, 0.9, block or dim)
        variance = size**2 * self.random.uniform(0.5, 0.9, block or dim)
        component = building.batchnorm(name, mean, variance, dim=dim, target_rms=target_rms)
        return self.add(component, source, size=target_rms)

    def relu(self, name: str, source: str) -> str:
        """Adds a RectifiedLinearComponent."""
        return self.add(building.relu(name, self.dim(source)), source, size=0.7 * self.size(source))

    def relu_layer(
        self,
        name: str,
        source: str,
        dim: int,
        *,
        norm: str = "batchnorm",
        dropout: bool = False,
        target_rms: float = 1.0,
    ) -> str:
        """Adds relu-batchnorm-layer, relu-renorm-layer or relu-batchnorm-dropout-layer."""
        last = self.relu(f"{name}.relu", self.affine(f"{name}.affine", source, dim))
        if norm == "renorm":
            component = building.normalize(f"{name}.renorm", dim, target_rms=target_rms)
            return self.add(component, last, size=target_rms)
        last = self.batchnorm(f"{name}.batchnorm", last, target_rms=target_rms)
        return self._dropout(name, last) if dropout else last

    def tdnnf_layer(
        self,
        name: str,
        source: str,
        dim: int,
        bottleneck: int,
        stride: int,
        *,
        bypass: float,
        dropout: bool = True,
    ) -> str:
        """Adds a tdnnf-layer; `bypass` 0 for none."""
        before, after = ([-stride, 0], [0, stride]) if stride else ([0], [0])
        weights = self.weights(bottleneck, self.dim(source) * len(before), source)
        linear = building.tdnn(f"{name}.linear", weights, None, before)
        last = self.add(linear, source, size=1.0)
        weights = self.weights(dim, bottleneck * len(after), last)
        affine = building.tdnn(f"{name}.affine", weights, self.bias(dim), after)
        last = self.relu(f"{name}.relu", self.add(affine, last, size=1.0))
        last = self.batchnorm(f"{name}.batchnorm", last)
        if dropout:
            last = self._dropout(name, last)
        if not bypass:
            return last
        mixed = f"Sum(Scale({bypass}, {source}), {last})"
        return self.add(building.noop(f"{name}.noop", dim), mixed)

    def delta_layer(self, name: str, source: str) -> str:
        """Adds a delta-layer; the batch norm has the layer's name, as in Kaldi."""
        dim = self.dim(source)
        first = self.dim_range(f"{source}_copy1", source, 0, dim)
        second = self.dim_range(f"{source}_copy2", source, 0, dim)
        difference = f"Sum(Offset(Scale(-1.0,{first}),-1), Offset({source},1))"
        curvature = f"Sum(Offset({source},-2), Sum(Offset({source},2), Scale(-2.0,{second})))"
        parts = f"Append({source}, {difference}, {curvature})"
        return self.batchnorm(name, self.add(building.noop(f"{source}_2", 3 * dim), parts))

    def spec_augment_layer(self, name: str, source: str) -> str:
        """Adds a spec-augment-layer, which does nothing at test time."""
        dim = self.dim(source)
        last = self.add(building.general_dropout(f"{name}.freq-mask", dim, proportion=0.5), source)
        return self.add(building.spec_augment_time_mask(f"{name}.time-mask", dim), last)

    def conv_layer(
        self,
        name: str,
        source: str,
        heights: tuple[int, int],
        filters: int,
        times: Sequence[int] = (-1, 0, 1),
    ) -> str:
        """Adds a conv-relu-batchnorm-layer with height offsets −1, 0, 1."""
        before, after = heights
        offsets = [(time, height) for time in times for height in (-1, 0, 1)]
        columns = len(offsets) * (self.dim(source) // before)
        component = building.convolution(
            f"{name}.conv",
            self.weights(filters, columns, source),
            self.bias(filters),
            offsets=offsets,
            height_in=before,
            height_out=after,
            height_subsample=before // after,
        )
        last = self.relu(f"{name}.relu", self.add(component, source, size=1.0))
        return self.batchnorm(f"{name}.batchnorm", last, block=filters)

    def outputs(self, source: str, big: int, small: int, pdfs: int, *, norm: str = "") -> None:
        """Adds the branches "output" and "output-xent".

        Args:
            source: node or descriptor.
            big: dimension of the prefinal layers.
            small: of their bottleneck, if `norm` is "".
            pdfs: dimension of the outputs.
            norm: of the older recipes' prefinal layers, "batchnorm" or "renorm"; "" for the
                prefinal-layer of today.
        """
        for output, prefinal in (("output", "chain"), ("output-xent", "xent")):
            name = f"prefinal-{prefinal}"
            if norm:
                last = self.relu_layer(name, source, big, norm=norm, target_rms=0.5)
            else:
                last = self.relu(f"{name}.relu", self.affine(f"{name}.affine", source, big))
                last = self.batchnorm(f"{name}.batchnorm1", last)
                last = self.batchnorm(
                    f"{name}.batchnorm2", self.linear(f"{name}.linear", last, small)
                )
            last = self.affine(f"{output}.affine", last, pdfs)
            if output == "output-xent":
                last = self.add(building.log_softmax(f"{output}.log-softmax", pdfs), last)
            self.output(output, last)

    def _dropout(self, name: str, source: str) -> str:
        component = building.general_dropout(f"{name}.dropout", self.dim(source))
        return self.add(component, source)

    def combine_feature_maps(self, name: str, source: str, height: int, *filters: int) -> str:
        """Adds a combine-feature-maps-layer: maps of one height side by side, filter fastest."""
        starts = np.cumsum([0, *(height * count for count in filters)])
        columns: list[Any] = []
        for h in range(height):
            for start, count in zip(starts, filters, strict=False):
                columns += range(start + h * count, start + (h + 1) * count)
        return self.add(building.permute(name, columns), source)


def size_of(descriptor: d.Descriptor, sizes: dict[str, float]) -> float:
    """Returns about the root mean square of a descriptor, from those of the nodes."""
    if isinstance(descriptor, d.NodeRef):
        return sizes[descriptor.name]
    if isinstance(descriptor, d.Const):
        return abs(descriptor.value)
    parts = [size_of(part, sizes) for part in descriptor.children()]
    if isinstance(descriptor, d.Sum):
        return math.hypot(*parts)
    return max(parts) * (abs(descriptor.factor) if isinstance(descriptor, d.Scale) else 1.0)
