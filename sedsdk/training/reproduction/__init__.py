"""Reproductions of papers: plans as data, their runs, and tables with intervals.

plan = load_plan("mtfa")
data = choose_data(plan.scale("small"), None, None)
reproduction = Reproduction.decide(plan, "small", data, Path("results"))
reproduction.carry_out(Processes(Path("results/shared")), say=print)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.training.reproduction.data import DataChoice, choose_data
    from sedsdk.training.reproduction.plan import Plan, load_plan
    from sedsdk.training.reproduction.reproduce import Reproduction
    from sedsdk.training.reproduction.runners import Here, Processes
    from sedsdk.training.reproduction.table import TableResult

__all__ = [
    "DataChoice",
    "Here",
    "Plan",
    "Processes",
    "Reproduction",
    "TableResult",
    "choose_data",
    "load_plan",
]

_NAMES_BY_MODULE = {
    "data": "DataChoice choose_data",
    "plan": "Plan load_plan",
    "reproduce": "Reproduction",
    "runners": "Here Processes",
    "table": "TableResult",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'sedsdk.training.reproduction' has no attribute {name!r}")
    return getattr(import_module(f"sedsdk.training.reproduction.{_MODULE_OF[name]}"), name)
