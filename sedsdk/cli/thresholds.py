"""`--threshold label=value`: other thresholds than those saved with a detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sedsdk.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from sedsdk.pipeline import Pipeline

THRESHOLD_FIELDS = {"threshold": "value", "hysteresis": "high", "dynamic_threshold": "base"}
"""Parts that hold frame probabilities against a threshold, and the field with it."""

TAG_THRESHOLD_FIELD = {"tag_threshold": "threshold"}
"""The same of clip probabilities."""


def read_thresholds(texts: Iterable[str], labels: tuple[str, ...]) -> dict[str, float]:
    """Reads thresholds as they are written on the command line.

    Args:
        texts: "label=0.4", or "0.4" for every class; later ones win.
        labels: the classes of the detector.

    Returns:
        Label → threshold in [0, 1], for the labels that were named.

    Raises:
        ConfigError: an unknown label, or no number in [0, 1].
    """
    found: dict[str, float] = {}
    for text in texts:
        label, equals, value = text.rpartition("=")
        if equals and label not in labels:
            raise ConfigError(
                f'--threshold {text}: the detector has no class "{label}".'
                f"{did_you_mean(label, labels)} Its classes: {', '.join(labels)}."
            )
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0.0 <= number <= 1.0:
            raise ConfigError(f"--threshold {text}: write label=value with a value from 0 to 1.")
        found.update(dict.fromkeys([label] if equals else labels, number))
    return found


def set_thresholds(pipeline: Pipeline, texts: Iterable[str]) -> None:
    """Gives a pipeline other thresholds, where some are named.

    Args:
        pipeline: its first `threshold`, `hysteresis` (the high one) or `dynamic_threshold` (T_base)
            is changed; of one that only tags, `tag_threshold`.
        texts: see `read_thresholds`.

    Raises:
        ConfigError: as `read_thresholds`, or the pipeline has no such part.
    """
    wanted = read_thresholds(texts, pipeline.labels)
    if not wanted:
        return
    refs = list(pipeline.config.postprocessors)
    names = [ref.part.rsplit("/", 1)[-1] for ref in refs]
    for fields in (THRESHOLD_FIELDS, TAG_THRESHOLD_FIELD):
        for index, name in enumerate(names):
            if name not in fields:
                continue
            ref, field = refs[index], fields[name]
            saved = getattr(pipeline.postprocessors[index].config, field)
            if not isinstance(saved, Mapping):
                saved = dict.fromkeys(pipeline.labels, saved)
            changed = {**(ref.model_extra or {}), "part": ref.part, field: {**saved, **wanted}}
            refs[index] = type(ref).model_validate(changed)
            pipeline.set_postprocessors(refs)
            return
    raise ConfigError(
        "this detector decides without a threshold; its post-processors: "
        f"{', '.join(ref.part for ref in refs) or 'none'}. Leave --threshold out."
    )
