"""A saved detector: a folder with `config.json`, `model.safetensors` and a card.

    folder/config.json        the pipeline with all its defaults, labels, plugins, card
          /model.safetensors  weights and fitted statistics; a file that can run no code
          /README.md          the card, for people

Post-processor options in `config.json`, thresholds above all, may be edited by hand; labels and
weights are held together by digests. No pickle is ever read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors
from pydantic import BaseModel, ConfigDict, Field

from sedsdk.config import PipelineConfig, read_model
from sedsdk.errors import BundleError, ConfigError, MissingPlugin, UnknownPart
from sedsdk.hooks import API_VERSION
from sedsdk.host import ALLOW_VARIABLE, Host, PluginRecord, default_host, distribution_version
from sedsdk.pipeline import Pipeline
from sedsdk.runtime.blocks import shortest_clip
from sedsdk.runtime.card import ModelCard
from sedsdk.runtime.folder_swap import current_folder, replaced_folder
from sedsdk.runtime.weights import PICKLE_SUFFIXES, read_weights, refuse_pickle, write_weights

__all__ = [
    "CONFIG_NAME",
    "FORMAT_VERSION",
    "BundleConfig",
    "ModelCard",
    "PluginNeed",
    "load_bundle",
    "open_bundle",
    "read_bundle_config",
    "save_bundle",
]

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"

PathLike = str | os.PathLike[str]


class PluginNeed(BaseModel):
    """A plugin that a saved pipeline needs, as it was when the pipeline was saved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: str = Field(description="what pip installs; empty if it was handed to the host")
    version: str = Field(description="version of the distribution, empty if unknown")
    api: tuple[int, int] = Field(description="range of plugin API versions it supported")


class BundleConfig(BaseModel):
    """What `config.json` of a saved detector holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = Field(description="version of this layout")
    sedsdk_version: str = Field(description="version of sedsdk that saved it")
    api_version: int = Field(description="plugin API version that saved it")
    labels_digest: str = Field(description="SHA-256 of the labels in order")
    weights_sha256: str = Field(description="SHA-256 of model.safetensors")
    plugins: dict[str, PluginNeed] = Field(description="plugins it needs, by name")
    pipeline: PipelineConfig
    card: ModelCard


def save_bundle(pipeline: Pipeline, folder: PathLike, card: ModelCard | None = None) -> Path:
    """Saves a pipeline as a detector that another process can load.

    The folder is replaced as a whole: until the new one is complete and on the disk, the old one
    stays, and other files in it are kept. One process saves to a folder at a time.

    Args:
        pipeline: trained, its frontends fitted.
        folder: where to; made if it is not there.
        card: what people should know; without a shortest clip, the shortest that gives a
            whole frame is filled in.

    Returns:
        The folder.

    Raises:
        BundleError: the folder holds something else than a saved detector; a frontend has not been
            fitted; weights are not finite; the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))
    _check_replaceable(target)
    _check_fitted(pipeline)
    card = card or ModelCard()
    if card.shortest_clip_seconds is None:
        card = card.model_copy(update={"shortest_clip_seconds": shortest_clip(pipeline)})
    try:
        with replaced_folder(target, (CONFIG_NAME, WEIGHTS_NAME, CARD_NAME)) as staging:
            digest = write_weights(pipeline, staging / WEIGHTS_NAME)
            config = _describe(pipeline, card, digest)
            (staging / CONFIG_NAME).write_text(_as_json(config), encoding="utf-8")
            page = card.markdown(pipeline.labels, _requirements(config), _only_tags(config))
            (staging / CARD_NAME).write_text(page, encoding="utf-8")
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"{target}: the detector could not be saved ({error}). What was there before is "
            "unchanged. Free some space or choose a folder that may be written."
        ) from error
    return target


def load_bundle(folder: PathLike, host: Host | None = None, device: str = "cpu") -> Pipeline:
    """Loads a saved detector's pipeline, in evaluation mode.

    Args:
        folder: as `save_bundle` wrote it.
        host: plugin host; None for the default one.
        device: where the weights go, as in "cpu" or "cuda".

    Raises:
        BundleError: the folder, its config or its weights are missing, damaged, changed where they
            may not be, from a newer format, or a pickle; the device is not there.
        MissingPlugin: a plugin is missing, older than when the detector was saved, or of another
            API version.
    """
    return open_bundle(folder, host, device)[1]


def open_bundle(
    folder: PathLike, host: Host | None = None, device: str = "cpu"
) -> tuple[BundleConfig, Pipeline]:
    """Does what `load_bundle` does and returns the config beside the pipeline."""
    host = host or default_host()
    path = _checked_folder(folder)
    config = _read_config(path)
    _check_plugins(path, config, host)
    try:
        pipeline = Pipeline(config.pipeline, host, seed=0)
    except (ConfigError, UnknownPart) as error:
        raise BundleError(f"{path / CONFIG_NAME}: {error}") from error
    read_weights(pipeline, _weights_file(path), config.weights_sha256)
    _check_fitted(pipeline)
    try:
        pipeline.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            f'the device "{device}" cannot be used ({reason}). Use device="cpu".'
        ) from error
    return config, pipeline.eval()


def read_bundle_config(folder: PathLike) -> BundleConfig:
    """Reads and checks a saved detector's config, without its weights and its plugins.

    Raises:
        BundleError: as `load_bundle`, for the folder and the config.
    """
    return _read_config(_checked_folder(folder))


def _describe(pipeline: Pipeline, card: ModelCard, weights_sha256: str) -> BundleConfig:
    config = pipeline.config.completed(pipeline.host)
    return BundleConfig(
        format_version=FORMAT_VERSION,
        sedsdk_version=distribution_version("sedsdk"),
        api_version=API_VERSION,
        labels_digest=config.labels_digest,
        weights_sha256=weights_sha256,
        plugins={name: _need(name, pipeline.host) for name in config.plugins(pipeline.host)},
        pipeline=config,
        card=card,
    )


def _need(name: str, host: Host) -> PluginNeed:
    record = host.record(name)
    assert record is not None
    return PluginNeed(
        distribution=record.distribution,
        version=record.version,
        api=record.api or (API_VERSION, API_VERSION),
    )


def _as_json(config: BundleConfig) -> str:
    return json.dumps(config.model_dump(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _only_tags(config: BundleConfig) -> bool:
    parts = {ref.part.rsplit("/", 1)[-1] for ref in config.pipeline.postprocessors}
    return "tag_threshold" in parts and "to_events" not in parts


def _requirements(config: BundleConfig) -> tuple[str, ...]:
    needs = {need.distribution: need for need in config.plugins.values() if need.distribution}
    return tuple(_requirement(need) for _, need in sorted(needs.items()))


def _requirement(need: PluginNeed) -> str:
    return f'"{need.distribution}>={need.version}"' if need.version else need.distribution


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BundleError(f"{folder} is a file. Give a folder to save the detector in.")
    try:
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise BundleError(f"{folder} cannot be read ({error}). Choose another folder.") from error
    if names and CONFIG_NAME not in names:
        raise BundleError(
            f"{folder} holds {len(names)} other entries and no saved detector. "
            "Give a new or an empty folder."
        )


def _check_fitted(pipeline: Pipeline) -> None:
    for name, frontend in pipeline.frontends.items():
        if frontend.needs_fit:
            raise BundleError(
                f'the frontend of stream "{name}" has not been fitted, so the pipeline cannot run. '
                "Train it, or call fit on training audio, before saving."
            )


def _checked_folder(folder: PathLike) -> Path:
    path = Path(folder)
    if path.is_file():
        refuse_pickle(path)
        raise BundleError(f"{path} is a file. Give the folder that holds {CONFIG_NAME}.")
    path = current_folder(Path(os.path.realpath(path)))
    if not path.is_dir():
        raise BundleError(f"{path} does not exist. Give the folder of a saved detector.")
    return path


def _read_config(folder: Path) -> BundleConfig:
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise BundleError(
            f"{folder} holds no {CONFIG_NAME}, so it is no saved detector. Copy the whole folder."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON ({error}). Undo the last change to it.") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}). Check its permissions.") from error
    if not isinstance(values, Mapping) or "format_version" not in values:
        raise BundleError(f'{path} has no "format_version", so it is no saved detector.')
    if values["format_version"] != FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {values['format_version']!r}; this sedsdk reads "
            f"{FORMAT_VERSION}. Update sedsdk: pip install --upgrade sedsdk"
        )
    try:
        config = read_model(BundleConfig, values, str(path))
    except ConfigError as error:
        raise BundleError(str(error)) from error
    if config.pipeline.labels_digest != config.labels_digest:
        raise BundleError(
            f"{path}: the labels ({', '.join(config.pipeline.labels)}) are not those that the "
            "weights were saved with: their digests differ. Undo the change; to rename classes, "
            "map the names of the events that the detector returns."
        )
    return config


def _weights_file(folder: Path) -> Path:
    path = folder / WEIGHTS_NAME
    if path.is_file():
        return path
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in PICKLE_SUFFIXES:
            refuse_pickle(entry)
    raise BundleError(f"{folder} holds no {WEIGHTS_NAME}. Copy the whole folder again.")


def _check_plugins(folder: Path, config: BundleConfig, host: Host) -> None:
    for name, need in config.plugins.items():
        record = host.record(name)
        if record is None or record.status != "loaded":
            raise MissingPlugin(_missing(folder, name, need, record))
        if need.distribution == record.distribution and _older(record.version, need.version):
            raise MissingPlugin(
                f'{folder} was saved with plugin "{name}" of {need.distribution} {need.version}; '
                f"installed is {record.version}. Update it: pip install --upgrade "
                f"{_requirement(need)}"
            )
        if record.api and not record.api[0] <= config.api_version <= record.api[1]:
            raise MissingPlugin(
                f"{folder} was saved with plugin API {config.api_version}; the installed plugin "
                f'"{name}" ({record.origin}) supports {record.api[0]} to {record.api[1]}. Install '
                f"the version it was saved with: pip install {need.distribution}=={need.version}"
            )


def _missing(folder: Path, name: str, need: PluginNeed, record: PluginRecord | None) -> str:
    what = f'{folder} needs the plugin "{name}"'
    if record is not None and record.status == "blocked":
        return f"{what}, which is blocked. Add {name} to the variable {ALLOW_VARIABLE}."
    if record is not None:
        return f"{what}, which is installed ({record.origin}) and cannot be used: {record.reason}"
    if not need.distribution:
        return (
            f"{what}, which was handed to the host when it was saved. Hand it over again: "
            "load(folder, host=Host(plugins=[...]))"
        )
    return f"{what}, which is not installed. Install it with: pip install {_requirement(need)}"


def _older(installed: str, saved: str) -> bool:
    have, want = _release(installed), _release(saved)
    length = max(len(have), len(want))
    return have + (0,) * (length - len(have)) < want + (0,) * (length - len(want))


def _release(version: str) -> tuple[int, ...]:
    """Returns the numbers a version starts with: "0.2.1rc1" → (0, 2, 1)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
