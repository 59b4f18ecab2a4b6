"""The plugin host: finds plugins, leaves the blame with the one that fails, resolves names."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any, Literal, TypeVar

import pluggy

from sedsdk import hooks
from sedsdk.errors import ConfigError, NameTaken, PluginError, UnknownPart, did_you_mean
from sedsdk.hooks import (
    ENTRY_POINT_GROUP,
    PART_KINDS,
    PROJECT_NAME,
    DatasetSpec,
    PartKind,
    PartSpec,
    RecipeSpec,
    ReproductionSpec,
)
from sedsdk.offers import (
    NAME,
    Offer,
    OfferKind,
    Spec,
    check_api,
    check_implementations,
    read_offers,
    stated_api,
)
from sedsdk.targets import import_target, one_line, target_text

ALLOW_VARIABLE = "SEDSDK_PLUGINS"
STRICT_VARIABLE = "SEDSDK_PLUGINS_STRICT"
BUILTIN_NAME = "builtin"
BUILTIN_MODULE = "sedsdk.builtin"

_CONTRACTS: dict[PartKind, str] = {
    "frontend": "sedsdk.stages:Frontend",
    "conditioner": "sedsdk.stages:Conditioner",
    "encoder": "sedsdk.stages:Encoder",
    "head": "sedsdk.stages:Head",
    "postprocessor": "sedsdk.contract:PostProcessor",
}

FileOrReader = TypeVar("FileOrReader", RecipeSpec, DatasetSpec, ReproductionSpec)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluginRecord:
    """One plugin, whether or not it could be used.

    Attributes:
        name: entry-point name, or the name it was handed in under.
        status: "loaded"; "blocked" by the allow-list, before import; "failed" for `reason`.
        reason: why it is not loaded, in one line; empty if it is.
        distribution: distribution it came with, empty if unknown.
        version: that distribution's version, empty if unknown.
        api: supported API range, None if unknown.
    """

    name: str
    status: Literal["loaded", "blocked", "failed"]
    reason: str = ""
    distribution: str = ""
    version: str = ""
    api: tuple[int, int] | None = None

    @property
    def origin(self) -> str:
        """Distribution and version, as in "sedsdk-mtfa 0.1.0"."""
        return f"{self.distribution} {self.version}".strip() or "handed to the host"


@dataclass(frozen=True)
class PartEntry:
    """A part on offer: its spec, its kind and the plugin that offers it."""

    kind: PartKind
    spec: PartSpec
    plugin: str

    @property
    def name(self) -> str:
        """The part's name."""
        return self.spec.name

    @property
    def qualified_name(self) -> str:
        """plugin/name, which resolves even where the short name is taken by another."""
        return f"{self.plugin}/{self.spec.name}"


class Host:
    """Knows every installed plugin and resolves the names that configs use.

    Built-in parts register first, through the same hooks as everything else; then handed plugins in
    their order; then entry points sorted by name. A plugin that claims a name already taken is
    recorded as failed, naming both providers: the short name stays with the first, and
    `plugin/name` reaches either.

    Args:
        plugins: modules or objects that implement hooks, or (name, plugin) pairs.
        discover: also load the entry points of the group "sedsdk".
        allow: names of entry points that may load; None reads the comma-separated variable
            SEDSDK_PLUGINS, and allows all if that is not set (set but empty, it allows none).
            Blocked ones are never imported. Handed plugins need no permission.
        strict: raise at the first plugin that fails; None reads SEDSDK_PLUGINS_STRICT ("1").

    Raises:
        PluginError: a plugin failed and `strict` holds.
        NameTaken: a plugin claimed a name that another has, and `strict` holds.
    """

    def __init__(
        self,
        plugins: Sequence[Any] = (),
        *,
        discover: bool = True,
        allow: Collection[str] | None = None,
        strict: bool | None = None,
    ) -> None:
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(hooks)
        self._records: list[PluginRecord] = []
        self._short: dict[tuple[OfferKind, str], Offer] = {}
        self._qualified: dict[tuple[OfferKind, str], Offer] = {}
        self._strict = os.environ.get(STRICT_VARIABLE) == "1" if strict is None else strict
        if allow is None and (listed := os.environ.get(ALLOW_VARIABLE)) is not None:
            allow = {name.strip() for name in listed.split(",") if name.strip()}

        version = distribution_version(PROJECT_NAME)
        self._add(BUILTIN_NAME, import_module(BUILTIN_MODULE), PROJECT_NAME, version)
        for given in plugins:
            name, plugin = given if isinstance(given, tuple) else (_name_of(given), given)
            self._add(name, plugin, "", "")
        if discover:
            for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_order):
                self._discover(point, allow)
            self._note_missing(allow or ())

    # What there is

    @property
    def plugins(self) -> list[PluginRecord]:
        """Every plugin seen, with its status, reason and origin."""
        return list(self._records)

    @property
    def hook(self) -> Any:
        """The hook relay of pluggy, for `sedsdk_commands`; observers are called by `notify`."""
        return self._manager.hook

    def parts(self, kind: PartKind | None = None) -> list[PartEntry]:
        """Returns the parts on offer under their short names, by kind and name."""
        kinds = PART_KINDS if kind is None else (kind,)
        entries = [_part_entry(offer) for offer in self._short.values() if offer.kind in kinds]
        return sorted(entries, key=lambda entry: (PART_KINDS.index(entry.kind), entry.name))

    def recipes(self) -> dict[str, RecipeSpec]:
        """Returns the recipes on offer, by name."""
        return self._specs(RecipeSpec)

    def datasets(self) -> dict[str, DatasetSpec]:
        """Returns the data set readers on offer, by name."""
        return self._specs(DatasetSpec)

    def reproductions(self) -> dict[str, ReproductionSpec]:
        """Returns the reproductions on offer, by name."""
        return self._specs(ReproductionSpec)

    def record(self, plugin: str) -> PluginRecord | None:
        """Returns the first record of a plugin's name, or None if it was never seen."""
        return self._first_record(plugin)

    # Names to classes

    def find(self, kind: PartKind, name: str) -> PartEntry:
        """Returns the entry for a part's name, short or as plugin/name.

        Raises:
            UnknownPart: no loaded plugin offers it.
        """
        return _part_entry(self._find(kind, name))

    def load(self, kind: PartKind, name: str) -> type[Any]:
        """Imports and returns the class behind a part's name.

        Raises:
            UnknownPart: no loaded plugin offers it.
            PluginError: its module does not import, or the class does not keep the kind's contract.
        """
        entry = self.find(kind, name)
        part = import_target(entry.spec.target, f"{kind} {entry.qualified_name}")
        contract = import_target(_CONTRACTS[kind], kind)
        if not (isinstance(part, type) and issubclass(part, contract)):
            raise PluginError(
                f"{kind} {entry.qualified_name}: {entry.spec.target} is no {contract.__name__}. "
                f"Derive the class from {_CONTRACTS[kind].replace(':', '.')}."
            )
        return part

    def provider(self, kind: OfferKind, name: str) -> str:
        """Returns the plugin that offers a part, a "recipe", a "data set" or a "reproduction".

        Raises:
            UnknownPart: no loaded plugin offers it.
        """
        return self._find(kind, name).plugin

    def load_dataset(self, name: str) -> Any:
        """Imports and returns the reader function of a data set, named as it is or as plugin/name.

        Raises:
            UnknownPart: no loaded plugin offers it.
            PluginError: its module does not import.
        """
        offer = self._find("data set", name)
        return import_target(offer.spec.target, f"data set {offer.qualified_name}")

    def recipe_text(self, name: str) -> str:
        """Returns the YAML text of a recipe, named as it is or as plugin/name.

        Raises:
            UnknownPart: no loaded plugin offers it.
            PluginError: the file is not in the plugin's package.
        """
        return self._text("recipe", name)

    def recipe_changes(self, name: str) -> tuple[str, ...]:
        """Returns what a recipe changes in its file, as section.field=value.

        Raises:
            UnknownPart: no loaded plugin offers it.
        """
        spec = self._find("recipe", name).spec
        assert isinstance(spec, RecipeSpec)
        return spec.changes

    def reproduction_text(self, name: str) -> str:
        """Returns the YAML text of a reproduction's plan, named as it is or as plugin/name.

        Raises:
            UnknownPart: no loaded plugin offers it.
            PluginError: the file is not in the plugin's package.
        """
        return self._text("reproduction", name)

    def load_figure(self, reproduction: str, figure: str) -> Any:
        """Imports and returns the function that draws a figure of a reproduction.

        Raises:
            UnknownPart: no loaded plugin offers the reproduction, or it has no such figure.
            PluginError: the function's module does not import.
        """
        spec = self._find("reproduction", reproduction).spec
        assert isinstance(spec, ReproductionSpec)
        if figure not in spec.figures:
            there = f"It has: {', '.join(spec.figures)}." if spec.figures else "It has no figures."
            close = did_you_mean(figure, spec.figures)
            raise UnknownPart(
                f'reproduction {reproduction} has no figure "{figure}".{close} {there}'
            )
        return import_target(spec.figures[figure], f"figure {figure} of {reproduction}")

    def _text(self, kind: OfferKind, name: str) -> str:
        offer = self._find(kind, name)
        return target_text(offer.spec.target, f"{kind} {name}", offer.plugin)

    # Observers

    def notify(self, hook: str, **arguments: Any) -> None:
        """Calls an observer hook of every plugin; one that raises does not disturb the others.

        A failing observer is logged with its plugin's name and origin, each time it fails.

        Args:
            hook: "sedsdk_epoch_ended" or "sedsdk_events_detected".
            arguments: all that the hook's specification lists.

        Raises:
            PluginError: an observer raised and the host is strict.
            TypeError: an argument of the specification is missing, or one is not in it.
        """
        caller = getattr(self._manager.hook, hook)
        wanted = set(caller.spec.argnames)
        if wanted != set(arguments):
            raise TypeError(f"{hook} takes {sorted(wanted)}, got {sorted(arguments)}")
        for implementation in reversed(caller.get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                record = self.record(implementation.plugin_name)
                origin = record.origin if record else "unknown"
                message = f"plugin {implementation.plugin_name} ({origin}) failed in {hook}"
                if self._strict:
                    raise PluginError(f"{message}: {one_line(error)}") from error
                _log.warning("%s", message, exc_info=error)

    # Registration

    def _discover(self, point: EntryPoint, allow: Collection[str] | None) -> None:
        dist, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        if allow is not None and point.name not in allow:
            reason = f"not listed in {ALLOW_VARIABLE}"
            self._records.append(PluginRecord(point.name, "blocked", reason, dist, version))
            return
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            self._fail(point.name, f"importing {point.value}: {one_line(error)}", dist, version)
            return
        self._add(point.name, plugin, dist, version)

    def _note_missing(self, allowed: Collection[str]) -> None:
        seen = {record.name for record in self._records}
        for name in sorted(set(allowed) - seen):
            close = did_you_mean(name, seen)
            self._fail(name, f"listed in {ALLOW_VARIABLE} but not installed.{close}", "", "")

    def _add(self, name: str, plugin: Any, dist: str, version: str) -> None:
        api = stated_api(plugin)
        record = PluginRecord(name, "loaded", "", dist, version, api)
        if not NAME.fullmatch(name):
            self._fail(
                name, "a plugin's name holds lower case, digits, _ and - only", dist, version
            )
            return
        if taken := self._first_record(name):
            reason = (
                f'the plugin name "{name}" is taken by {taken.origin}. Uninstall one of the two.'
            )
            self._fail(name, reason, dist, version, api, NameTaken)
            return
        try:
            check_api(plugin)
            check_implementations(plugin)
            self._manager.register(plugin, name)
            offers = read_offers(name, plugin, self._manager)
            self._qualified.update({(o.kind, o.qualified_name): o for o in offers})
            self._check_free(offers, record)
        except PluginError as error:
            self._withdraw(plugin)
            self._fail(name, str(error), dist, version, api)
        except NameTaken as error:
            self._withdraw(plugin)
            self._fail(name, str(error), dist, version, api, NameTaken)
        except (Exception, SystemExit) as error:  # a stranger's hook may raise anything
            self._withdraw(plugin)
            self._fail(name, one_line(error), dist, version, api)
        else:
            self._short.update({(offer.kind, offer.spec.name): offer for offer in offers})
            self._records.append(record)

    def _check_free(self, offers: Sequence[Offer], record: PluginRecord) -> None:
        for offer in offers:
            first = self._short.get((offer.kind, offer.spec.name))
            if first is not None:
                provider = self._first_record(first.plugin)
                assert provider is not None
                raise NameTaken(
                    f'{offer.kind} "{offer.spec.name}" is provided by {provider.name} '
                    f"({provider.origin}) and by {record.name} ({record.origin}). The first keeps "
                    f"the short name; write {offer.qualified_name} for the second, or leave one "
                    f"of them out with {ALLOW_VARIABLE}."
                )

    def _first_record(self, plugin: str) -> PluginRecord | None:
        return next((record for record in self._records if record.name == plugin), None)

    def _withdraw(self, plugin: Any) -> None:
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)

    def _fail(
        self,
        name: str,
        reason: str,
        dist: str,
        version: str,
        api: tuple[int, int] | None = None,
        kind: type[PluginError | NameTaken] = PluginError,
    ) -> None:
        record = PluginRecord(name, "failed", reason, dist, version, api)
        self._records.append(record)
        if self._strict:
            raise kind(f"plugin {name} ({record.origin}): {reason}")

    def _specs(self, kind: type[FileOrReader]) -> dict[str, FileOrReader]:
        specs = (offer.spec for offer in self._short.values())
        return {spec.name: spec for spec in sorted(specs, key=_by_name) if isinstance(spec, kind)}

    def _find(self, kind: OfferKind, name: str) -> Offer:
        offer = self._short.get((kind, name)) or self._qualified.get((kind, name))
        if offer is None:
            raise UnknownPart(self._unknown(kind, name))
        return offer

    def _unknown(self, kind: OfferKind, name: str) -> str:
        known = sorted(known for other, known in self._short if other == kind)
        qualified = [known for other, known in self._qualified if other == kind]
        close = did_you_mean(name, [*known, *qualified] if "/" in name else known)
        elsewhere = [other for other, known in self._short if known == name]
        if elsewhere and not close:
            close = f' "{name}" is a {elsewhere[0]}.'
        unused = [record for record in self._records if record.status != "loaded"]
        hints = [f"\n  plugin {r.name} ({r.origin}) is {r.status}: {r.reason}" for r in unused]
        installed = ", ".join(known) or "none"
        return f'no {kind} "{name}".{close} Installed: {installed}.{"".join(hints)}'


@lru_cache(maxsize=1)
def default_host() -> Host:
    """Returns the host that every call without one uses: built-ins and all installed plugins."""
    return Host()


def check_name(name: str) -> None:
    """Refuses anything in a config that is not a name: dotted paths, colons, files.

    Raises:
        ConfigError: the text is no part name.
    """
    if name.count("/") > 1 or not all(NAME.fullmatch(piece) for piece in name.split("/")):
        raise ConfigError(
            f'"{name}" is no part name. Write a name of `sedsdk parts`, or plugin/name.'
        )


def _part_entry(offer: Offer) -> PartEntry:
    assert isinstance(offer.spec, PartSpec)
    return PartEntry(offer.kind, offer.spec, offer.plugin)  # type: ignore[arg-type]


def _by_name(spec: Spec) -> str:
    return spec.name


def _order(point: EntryPoint) -> tuple[str, str]:
    return point.name, point.value


def _name_of(plugin: Any) -> str:
    name = getattr(plugin, "__name__", None) or type(plugin).__name__
    return str(name).rsplit(".", 1)[-1].lower().strip("_")


def distribution_version(dist: str) -> str:
    """Returns a distribution's version, or "" where it runs from a source tree, not installed."""
    try:
        return distribution(dist).version
    except PackageNotFoundError:
        return ""
