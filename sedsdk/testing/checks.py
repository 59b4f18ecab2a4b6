"""One check per law, and the checks that run all laws of a part or a plugin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sedsdk.config import PartRef
from sedsdk.errors import PluginError, did_you_mean
from sedsdk.hooks import ENTRY_POINT_GROUP, PartKind
from sedsdk.host import BUILTIN_MODULE, BUILTIN_NAME, Host, PartEntry, default_host
from sedsdk.pipeline import Pipeline, compose
from sedsdk.testing import invariance, learning, structure
from sedsdk.testing.batches import label_shares
from sedsdk.testing.import_cost import HEAVY_MODULES, imports_nothing_heavy
from sedsdk.testing.laws import LAWS
from sedsdk.testing.postprocessing import accepted, postprocessing_law
from sedsdk.testing.stages import stages_law
from sedsdk.testing.subject import Options, Setting, Subject
from sedsdk.types import ClipPrediction

BUNDLE_LENGTHS = ((1,), (30, 12))
WEIGHT_SEED = 7
"""Unlike the seed that loading starts from, so weights that were not saved show."""
MODULE_KINDS: tuple[PartKind, ...] = ("frontend", "conditioner", "encoder", "head")


def check_config_round_trip(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "config": described fields, no unknown key, JSON and back.

    Args:
        kind: kind of part.
        part: its name, or its class.
        options: for its `Config`.
        host: plugin host; None for the default one.
        setting: what surrounds the part.

    Raises:
        LawBroken: names the law and the smallest input that breaks it.
    """
    structure.config_law(Subject(kind, part, options, host, setting))


def check_shapes_and_grids(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "shapes and grids"; arguments and error as of `check_config_round_trip`."""
    structure.shapes_law(_module_subject(kind, part, options, host, setting))


def check_stages(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "stages", of frontends; arguments and error as of `check_config_round_trip`."""
    stages_law(_only("frontend", kind, part, options, host, setting))


def check_lengths(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "lengths", to 1e-5; arguments and error as of `check_config_round_trip`."""
    invariance.lengths_law(_module_subject(kind, part, options, host, setting))


def check_determinism(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "determinism"; arguments and error as of `check_config_round_trip`."""
    invariance.determinism_law(_module_subject(kind, part, options, host, setting))


def check_targets_move(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "targets move", of conditioners; arguments as of `check_config_round_trip`."""
    invariance.targets_move_law(_only("conditioner", kind, part, options, host, setting))


def check_gradients(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "gradients", of all but conditioners; arguments as of `check_config_round_trip`."""
    learning.gradients_law(_module_subject(kind, part, options, host, setting))


def check_device_and_dtype(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "device and dtype"; arguments and error as of `check_config_round_trip`."""
    structure.device_and_dtype_law(_module_subject(kind, part, options, host, setting))


def check_loss(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "loss", of heads; arguments and error as of `check_config_round_trip`."""
    learning.loss_law(_only("head", kind, part, options, host, setting))


def check_postprocessing(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "post-processing"; arguments and error as of `check_config_round_trip`.

    A post-processor given by name is also imported in a fresh interpreter: no torch.
    """
    subject = _only("postprocessor", kind, part, options, host, setting)
    postprocessing_law(subject)
    if isinstance(part, str):
        module = subject.host.find(kind, part).spec.target.split(":")[0]
        imports_nothing_heavy(module, ("torch",), subject.title)


def check_bundle_round_trip(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
) -> None:
    """Law "bundle": save and load a pipeline that holds the part; arguments as above.

    The rest of the pipeline is the kit's plain parts, or the setting's encoder for a head.
    """
    from sedsdk.runtime.bundle import load_bundle, save_bundle

    subject = Subject(kind, part, options, host, setting)
    trial = subject.trial("bundle", note="construction")
    with trial.guarded():
        pipeline = _pipeline_around(subject)
    with tempfile.TemporaryDirectory() as folder:
        trial = subject.trial("bundle", note="saving and loading")
        with trial.guarded():
            save_bundle(pipeline, Path(folder) / "model")
            again = load_bundle(Path(folder) / "model", subject.host)
            trial.require(not again.head.needs_fit, "the loaded head needs to be fitted again")
        for lengths in BUNDLE_LENGTHS:
            audio = _audio(pipeline, lengths)
            case = {rate: counts.tolist() for rate, (_, counts) in audio.items()}
            trial = subject.trial("bundle", note=f"samples per clip, by sample rate: {case}")
            with trial.guarded():
                for mine, other in zip(_clips(again, audio), _clips(pipeline, audio), strict=True):
                    clips = (("clip", mine.clip, other.clip), ("frame", mine.frames, other.frames))
                    for name, got, want in clips:
                        what = f"{name} probabilities, loaded and saved"
                        trial.same(torch.as_tensor(got), torch.as_tensor(want), 1e-6, what)
                    trial.require(
                        mine.events == other.events, f"events {other.events} became {mine.events}"
                    )


def check_import_cost(module: str, heavy: Sequence[str] = HEAVY_MODULES) -> None:
    """Law "import cost": a plugin's entry module imports nothing heavy, in a fresh interpreter.

    Args:
        module: dotted name of the entry module, or the name of an installed plugin.
        heavy: top-level names that may not be imported.

    Raises:
        LawBroken: with the file and line of the first heavy import.
    """
    title = f"plugin {module}"
    if module == BUILTIN_NAME:
        module = BUILTIN_MODULE
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == module:
            module = point.module
    imports_nothing_heavy(module, heavy, title)


Check = Callable[
    [PartKind, "str | type[Any]", "Options | None", "Host | None", "Setting | None"], None
]

CHECKS: Mapping[PartKind, Mapping[str, Check]] = {
    "frontend": {
        "config": check_config_round_trip,
        "shapes and grids": check_shapes_and_grids,
        "stages": check_stages,
        "lengths": check_lengths,
        "determinism": check_determinism,
        "gradients": check_gradients,
        "device and dtype": check_device_and_dtype,
        "bundle": check_bundle_round_trip,
    },
    "conditioner": {
        "config": check_config_round_trip,
        "shapes and grids": check_shapes_and_grids,
        "lengths": check_lengths,
        "determinism": check_determinism,
        "targets move": check_targets_move,
        "device and dtype": check_device_and_dtype,
        "bundle": check_bundle_round_trip,
    },
    "encoder": {
        "config": check_config_round_trip,
        "shapes and grids": check_shapes_and_grids,
        "lengths": check_lengths,
        "determinism": check_determinism,
        "gradients": check_gradients,
        "device and dtype": check_device_and_dtype,
        "bundle": check_bundle_round_trip,
    },
    "head": {
        "config": check_config_round_trip,
        "shapes and grids": check_shapes_and_grids,
        "lengths": check_lengths,
        "determinism": check_determinism,
        "gradients": check_gradients,
        "loss": check_loss,
        "device and dtype": check_device_and_dtype,
        "bundle": check_bundle_round_trip,
    },
    "postprocessor": {
        "config": check_config_round_trip,
        "post-processing": check_postprocessing,
        "bundle": check_bundle_round_trip,
    },
}
"""The check of every law that a kind of part has to keep, by the law's name."""


def check_part(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
    exempt: Mapping[str, str] | None = None,
) -> None:
    """Runs every law that a part of this kind has to keep.

    Args:
        kind: kind of part.
        part: its name, or its class.
        options: for its `Config`.
        host: plugin host; None for the default one.
        setting: what surrounds the part.
        exempt: laws that this part is excused from, each with the reason, as in
            {"gradients": "frozen: the network is Kaldi's"}.

    Raises:
        LawBroken: names the law and the smallest input that breaks it.
        ValueError: an exemption names no law, or gives no reason.
    """
    for law, reason in (exempt or {}).items():
        if law not in CHECKS[kind]:
            close = did_you_mean(law, LAWS)
            raise ValueError(
                f'a {kind} has no law "{law}".{close} Laws: {", ".join(CHECKS[kind])}.'
            )
        if not reason.strip():
            raise ValueError(f'say why {part} is excused from the law "{law}"')
    for law, check in CHECKS[kind].items():
        if law not in (exempt or {}):
            check(kind, part, options, host, setting)


def assert_conforms(
    entry: PartEntry,
    options: Options | None = None,
    host: Host | None = None,
    setting: Setting | None = None,
    exempt: Mapping[str, str] | None = None,
) -> None:
    """`check_part` for an item of `parts_of`."""
    check_part(entry.kind, entry.qualified_name, options, host, setting, exempt)


def parts_of(plugin: str, host: Host | None = None) -> list[PartEntry]:
    """Returns the parts of one plugin, for `pytest.mark.parametrize`.

    Args:
        plugin: its entry-point name.
        host: None for the default one.

    Raises:
        PluginError: it is not installed, or not loaded, with the reason.
    """
    host = host or default_host()
    record = host.record(plugin)
    if record is None:
        close = did_you_mean(plugin, [known.name for known in host.plugins])
        raise PluginError(f'no plugin "{plugin}" is installed.{close}')
    if record.status != "loaded":
        raise PluginError(f"plugin {plugin} ({record.origin}) is {record.status}: {record.reason}")
    return [entry for entry in host.parts() if entry.plugin == plugin]


def _module_subject(
    kind: PartKind,
    part: str | type[Any],
    options: Options | None,
    host: Host | None,
    setting: Setting | None,
) -> Subject:
    if kind not in MODULE_KINDS:
        raise ValueError(f"this law is for {', '.join(MODULE_KINDS)}, not for a {kind}")
    return Subject(kind, part, options, host, setting)


def _only(
    wanted: PartKind,
    kind: PartKind,
    part: str | type[Any],
    options: Options | None,
    host: Host | None,
    setting: Setting | None,
) -> Subject:
    if kind != wanted:
        raise ValueError(f"this law is for a {wanted}, not for a {kind}")
    return Subject(kind, part, options, host, setting)


def _pipeline_around(subject: Subject) -> Pipeline:
    """Composes a pipeline that holds the part, with seeded weights, in evaluation mode."""
    setting, mine = subject.setting, subject.reference
    frontends: dict[str, PartRef | str] = {}
    for name, spec in setting.streams.items():
        options = {"size": spec.size, "hop_seconds": spec.grid.hop_seconds}
        frontends[name] = PartRef.model_validate({"part": "plain/plain_frontend", **options})
    if subject.kind == "frontend":
        frontends = {"main": mine}
    encoder: PartRef | str = "plain/plain_encoder"
    if subject.kind == "head" and setting.encoder is not None:
        name, given = setting.encoder
        encoder = PartRef.model_validate({"part": name, **given})
    postprocessors: list[PartRef | str] = []
    if subject.kind == "postprocessor":
        state = accepted(subject.build(), setting.labels)
        postprocessors = [mine] if state == "undecided" else ["plain/plain_decision", mine]
    pipeline = compose(
        setting.labels,
        frontends,
        mine if subject.kind == "encoder" else encoder,
        mine if subject.kind == "head" else "plain/plain_head",
        [mine] if subject.kind == "conditioner" else (),
        postprocessors,
        host=subject.host,
        seed=WEIGHT_SEED,
    )
    for frontend in pipeline.frontends.children():
        if isinstance(frontend, nn.Module) and getattr(frontend, "needs_fit", False):
            batch = subject.waveforms(frontend, (30, 20), 0)  # type: ignore[arg-type]
            frontend.fit([(batch.waveforms, batch.lengths)])  # type: ignore[operator]
    if pipeline.head.needs_fit:
        pipeline.head.fit(label_shares(len(setting.labels)))
    return pipeline.eval()


def _audio(pipeline: Pipeline, lengths: tuple[int, ...]) -> dict[int, Any]:
    """Returns noise of about as many blocks of 0.1 s as `lengths` says, at every sample rate."""
    generator = torch.Generator().manual_seed(0)
    audio = {}
    for rate in pipeline.sample_rates:
        counts = torch.tensor([length * rate // 10 + rate // 4 for length in lengths])
        waveforms = torch.randn(len(lengths), int(counts.max()), generator=generator) * 0.3
        mask = torch.arange(waveforms.shape[1]) < counts.unsqueeze(1)
        audio[rate] = (waveforms.clamp(-1, 1) * mask, counts)
    return audio


def _clips(pipeline: Pipeline, audio: dict[int, Any]) -> list[ClipPrediction]:
    with torch.inference_mode():
        return pipeline.postprocess(pipeline(pipeline.features(audio)))
