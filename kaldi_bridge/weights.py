"""A network's numbers as parameters and buffers of a torch module."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from kaldi_bridge.nnet3.network import Component, Field, Network

LEARNED = {"LinearParams", "BiasParams", "Params", "Scales", "Offsets"}
"""Fields that Kaldi trains; in components whose name begins with "Fixed" they are fixed."""
STATISTICS = {"StatsMean", "StatsVar", "Bias"}


class NetworkWeights(nn.Module):
    """Parameters (what Kaldi trains) and buffers (statistics, fixed transforms) of a network.

    A tensor is called "component/Field", as in "tdnnf2.linear/LinearParams", with the dots of the
    component written as ":" because torch reserves them. All are frozen until somebody calls
    `requires_grad_`. Float32.
    """

    def __init__(self, network: Network) -> None:
        """Args:
        network: where the numbers come from; its arrays are copied.
        """
        super().__init__()
        self._names: dict[tuple[str, str], str] = {}
        self.stored: Tensor
        self.register_buffer("stored", torch.zeros(0), persistent=False)
        for component in network.components.values():
            for field in component.fields:
                values = _tensor(component, field)
                if values is None:
                    continue
                name = f"{component.name}/{field.token}".replace(".", ":")
                self._names[component.name, field.token] = name
                if field.token in LEARNED and not component.kind.startswith("Fixed"):
                    self.register_parameter(name, nn.Parameter(values, requires_grad=False))
                else:
                    self.register_buffer(name, values)

    def forward(self, component: str, token: str) -> Tensor:
        """Returns the field `token` of a component, at least float32, with its gradient.

        Raises:
            KeyError: there is no such field.
        """
        values: Tensor = getattr(self, self._names[component, token])
        return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

    @property
    def dtype(self) -> torch.dtype:
        """Type of what a call gives: float32 where the weights are stored in half precision."""
        half = self.stored.dtype in (torch.float16, torch.bfloat16)
        return torch.float32 if half else self.stored.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.stored.device

    def values(self) -> list[Tensor]:
        """Returns every tensor, parameters first."""
        return [*self.parameters(), *self.buffers()]

    def of(self, component: str) -> list[nn.Parameter]:
        """Returns a component's parameters; none if it has none."""
        found = (
            self._parameters.get(name)
            for (owner, _), name in self._names.items()
            if owner == component
        )
        return [parameter for parameter in found if parameter is not None]

    def without_numbers(self, network: Network) -> Network:
        """Returns the network with arrays of the right shapes that take no memory."""
        return _changed(network, self._emptied)

    def written_into(self, network: Network) -> Network:
        """Returns the network with the numbers that are here now, for writing.

        Float32 numbers on the CPU are not copied: the arrays then follow what training changes.
        """
        return _changed(network, self._filled)

    def _emptied(self, component: Component, field: Field) -> Field:
        if (component.name, field.token) not in self._names or field.value is None:
            return field
        assert isinstance(field.value, np.ndarray)
        nothing = np.zeros((), field.value.dtype)
        return Field(field.token, field.kind, np.broadcast_to(nothing, field.value.shape))

    def _filled(self, component: Component, field: Field) -> Field:
        name = self._names.get((component.name, field.token))
        if name is None:
            return field
        assert isinstance(field.value, np.ndarray)
        values = getattr(self, name).detach().cpu()
        wide = values if values.dtype in (torch.float32, torch.float64) else values.float()
        return Field(field.token, field.kind, wide.numpy().astype(field.value.dtype, copy=False))


def _changed(network: Network, change: Callable[[Component, Field], Field]) -> Network:
    components = {
        name: Component(
            component.kind, name, tuple(change(component, field) for field in component.fields)
        )
        for name, component in network.components.items()
    }
    return Network(dict(network.nodes), components)


def _tensor(component: Component, field: Field) -> Tensor | None:
    if field.kind not in ("vector", "matrix"):
        return None
    if field.token not in LEARNED and field.token not in STATISTICS:
        return None
    return torch.from_numpy(np.array(component.get(field.token), dtype=np.float32, order="C"))
