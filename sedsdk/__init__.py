"""Audio tagging and sound event detection out of parts that anyone can add.

Everything that an application or a plugin needs is here; importing the package is cheap, and each
name loads its module when it is first asked for.

    import sedsdk

    pipeline = sedsdk.compose(
        labels=["babycry", "glassbreak", "gunshot"],
        frontend=sedsdk.part("log_mel", n_mels=64),
        encoder="crnn",
        head="frame_bce",
        postprocessors=["threshold", "to_events"],
    )
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sedsdk.config import PartRef, PipelineConfig, part
    from sedsdk.errors import (
        AudioError,
        BundleError,
        ConfigError,
        DataError,
        MissingDependency,
        MissingPlugin,
        NameTaken,
        PluginError,
        SedsdkError,
        TrainingError,
        UnknownPart,
    )
    from sedsdk.hooks import (
        API_VERSION,
        DatasetSpec,
        FigureRequest,
        FigureResult,
        PartSpec,
        RecipeSpec,
        ReproductionSpec,
        hookimpl,
    )
    from sedsdk.host import Host, default_host
    from sedsdk.pipeline import Pipeline, compose
    from sedsdk.runtime.detector import Detector, load
    from sedsdk.stages import (
        Conditioner,
        ConditionerConfig,
        EncodedSpec,
        Encoder,
        Frontend,
        Head,
        Part,
        PartConfig,
        PostProcessor,
        StreamSpec,
    )
    from sedsdk.types import (
        ClipPrediction,
        Encoded,
        Event,
        Features,
        FrameGrid,
        Inputs,
        Prediction,
        Targets,
    )

    __version__: str

__all__ = [
    "API_VERSION",
    "AudioError",
    "BundleError",
    "ClipPrediction",
    "Conditioner",
    "ConditionerConfig",
    "ConfigError",
    "DataError",
    "DatasetSpec",
    "Detector",
    "Encoded",
    "EncodedSpec",
    "Encoder",
    "Event",
    "Features",
    "FigureRequest",
    "FigureResult",
    "FrameGrid",
    "Frontend",
    "Head",
    "Host",
    "Inputs",
    "MissingDependency",
    "MissingPlugin",
    "NameTaken",
    "Part",
    "PartConfig",
    "PartRef",
    "PartSpec",
    "Pipeline",
    "PipelineConfig",
    "PluginError",
    "PostProcessor",
    "Prediction",
    "RecipeSpec",
    "ReproductionSpec",
    "SedsdkError",
    "StreamSpec",
    "Targets",
    "TrainingError",
    "UnknownPart",
    "__version__",
    "compose",
    "default_host",
    "hookimpl",
    "load",
    "part",
]

_NAMES_BY_MODULE = {
    "sedsdk.config": "PartRef PipelineConfig part",
    "sedsdk.errors": "AudioError BundleError ConfigError DataError MissingDependency MissingPlugin "
    "NameTaken PluginError SedsdkError TrainingError UnknownPart",
    "sedsdk.hooks": "API_VERSION DatasetSpec FigureRequest FigureResult PartSpec RecipeSpec "
    "ReproductionSpec hookimpl",
    "sedsdk.host": "Host default_host",
    "sedsdk.contract": "Part PartConfig PostProcessor",
    "sedsdk.pipeline": "Pipeline compose",
    "sedsdk.runtime.detector": "Detector load",
    "sedsdk.stages": "Conditioner ConditionerConfig EncodedSpec Encoder Frontend Head StreamSpec",
    "sedsdk.types": "ClipPrediction Encoded Event Features FrameGrid Inputs Prediction Targets",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("sedsdk")
        except PackageNotFoundError:  # run from a source tree, not installed
            value = ""
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'sedsdk' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
