"""What one plugin offers, read from its hooks and checked before any of it is registered."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pluggy

from sedsdk.errors import PluginError, did_you_mean
from sedsdk.hooks import (
    API_VERSION,
    PART_HOOKS,
    PROJECT_NAME,
    DatasetSpec,
    PartKind,
    PartSpec,
    RecipeSpec,
    ReproductionSpec,
    hook_specifications,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
RECIPE_NAME = re.compile(r"[a-z0-9][a-z0-9_/-]*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
FILE_TARGET = re.compile(r"[A-Za-z_][\w.]*:[\w./-]+\.ya?ml")

OfferKind = PartKind | Literal["recipe", "data set", "reproduction"]
Spec = PartSpec | RecipeSpec | DatasetSpec | ReproductionSpec

_SPEC_HOOKS: dict[str, tuple[OfferKind, type[Spec]]] = {
    **{hook: (kind, PartSpec) for kind, hook in PART_HOOKS.items()},
    "sedsdk_recipes": ("recipe", RecipeSpec),
    "sedsdk_datasets": ("data set", DatasetSpec),
    "sedsdk_reproductions": ("reproduction", ReproductionSpec),
}

SpecType = TypeVar("SpecType", bound=Spec)


@dataclass(frozen=True)
class Offer:
    """One named thing that a plugin offers.

    Attributes:
        kind: which sort of thing; names are unique within a kind.
        spec: its description.
        plugin: name of the plugin.
    """

    kind: OfferKind
    spec: Spec
    plugin: str

    @property
    def qualified_name(self) -> str:
        """plugin/name."""
        return f"{self.plugin}/{self.spec.name}"


def stated_api(plugin: Any) -> tuple[int, int] | None:
    """Returns the API range that a plugin states as `SEDSDK_API`, or None if it states none."""
    api = getattr(plugin, "SEDSDK_API", None)
    if isinstance(api, tuple) and len(api) == 2 and all(isinstance(bound, int) for bound in api):
        return api
    return None


def check_api(plugin: Any) -> None:
    """Refuses a plugin that states no API range, or one without this version.

    Raises:
        PluginError: says whether the plugin or sedsdk is to be updated.
    """
    api = stated_api(plugin)
    if api is None:
        raise PluginError(
            f"states no API range. Add SEDSDK_API = ({API_VERSION}, {API_VERSION}) "
            "to its entry module."
        )
    if not api[0] <= API_VERSION <= api[1]:
        cure = "Update the plugin." if api[1] < API_VERSION else "Update sedsdk."
        raise PluginError(
            f"made for plugin API {api[0]} to {api[1]}, this is API {API_VERSION}. {cure}"
        )


def check_implementations(plugin: Any) -> None:
    """Refuses what pluggy would let pass: hooks without the marker, defaults, wrappers.

    Raises:
        PluginError: names the function and the cure.
    """
    for name in dir(plugin):
        function = getattr(plugin, name)
        if not inspect.isroutine(function):
            continue
        options = getattr(function, f"{PROJECT_NAME}_impl", None)
        if options is None:
            if name.startswith(f"{PROJECT_NAME}_"):
                raise PluginError(
                    f"{name} is not marked: put @hookimpl from sedsdk.hooks above it."
                )
            continue
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(f"{name} is a wrapper, which these hooks do not take. Return specs.")
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not inspect.Parameter.empty:
                raise PluginError(f"{name}: argument {parameter.name} has a default. Remove it.")


def read_offers(name: str, plugin: Any, manager: pluggy.PluginManager) -> list[Offer]:
    """Calls the offering hooks of one registered plugin and checks every spec.

    Raises:
        PluginError: an unknown hook, a result of another type, a malformed spec, or a name that
            the plugin itself claims twice.
        Exception: whatever the plugin's own code raises.
    """
    offers: list[Offer] = []
    for caller in manager.get_hookcallers(plugin) or ():
        implementations = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
        if not caller.has_spec():
            if all(impl.optionalhook for impl in implementations):
                continue
            close = did_you_mean(caller.name, hook_specifications())
            raise PluginError(f"implements the unknown hook {caller.name}.{close}")
        if caller.name not in _SPEC_HOOKS:
            continue
        kind, spec_type = _SPEC_HOOKS[caller.name]
        for implementation in implementations:
            for spec in _results(caller.name, implementation.function(), spec_type):
                _check_spec(spec)
                offers.append(Offer(kind, spec, name))
    _check_claimed_once(offers)
    return offers


def _results(hook: str, given: Any, spec_type: type[SpecType]) -> Iterator[SpecType]:
    if given is None:
        return
    if not isinstance(given, Iterable):
        raise PluginError(
            f"{hook} gave {type(given).__name__}, expected an iterable of {spec_type.__name__}."
        )
    for spec in given:
        if not isinstance(spec, spec_type):
            raise PluginError(f"{hook} gave {type(spec).__name__}, expected {spec_type.__name__}.")
        yield spec


def _check_spec(spec: Spec) -> None:
    is_recipe = isinstance(spec, RecipeSpec)
    is_file = isinstance(spec, RecipeSpec | ReproductionSpec)
    for attribute in ("name", "target", "summary", "source"):
        value = getattr(spec, attribute)
        if not isinstance(value, str) or "\n" in value:
            raise PluginError(f"{attribute} = {value!r} of {spec.name!r} is not one line of text.")
    if not (RECIPE_NAME if is_recipe else NAME).fullmatch(spec.name):
        raise PluginError(
            f'the name "{spec.name}" may hold lower case letters, digits, "_" and "-" only.'
        )
    if not (FILE_TARGET if is_file else TARGET).fullmatch(spec.target):
        wanted = "package:path/file.yaml" if is_file else "package.module:Name"
        raise PluginError(f'{spec.name}: target "{spec.target}" is not of the form {wanted}.')
    if isinstance(spec, RecipeSpec) and not (
        isinstance(spec.changes, tuple)
        and all(isinstance(change, str) and "=" in change for change in spec.changes)
    ):
        raise PluginError(
            f"{spec.name}: changes = {spec.changes!r} is no tuple of texts like "
            '"training.epochs=3".'
        )
    if isinstance(spec, ReproductionSpec):
        _check_figures(spec)
    if not spec.summary:
        raise PluginError(f"{spec.name}: the summary is empty. Say in one line what it does.")


def _check_figures(spec: ReproductionSpec) -> None:
    figures: Any = spec.figures
    if not isinstance(figures, Mapping):
        raise PluginError(f"{spec.name}: figures = {figures!r} is no mapping of names to targets.")
    for name, target in figures.items():
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise PluginError(
                f'{spec.name}: the figure\'s name "{name}" may hold lower case letters, digits, '
                '"_" and "-" only.'
            )
        if not (isinstance(target, str) and TARGET.fullmatch(target)):
            raise PluginError(
                f'{spec.name}: the target "{target}" of figure "{name}" is not of the form '
                "package.module:function."
            )


def _check_claimed_once(offers: list[Offer]) -> None:
    seen: dict[tuple[str, str], Offer] = {}
    for offer in offers:
        first = seen.setdefault((offer.kind, offer.spec.name), offer)
        if first is not offer:
            raise PluginError(
                f'offers {offer.kind} "{offer.spec.name}" twice: {first.spec.target} and '
                f"{offer.spec.target}. Give one of them another name."
            )
