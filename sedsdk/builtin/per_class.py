"""What the built-in post-processors share: per-class fields, and the order of the parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sedsdk.contract import PostProcessor
from sedsdk.errors import ConfigError, did_you_mean
from sedsdk.types import ClipPrediction


class PerClassPostProcessor(PostProcessor):
    """A post-processor that reads per-class fields and checks that it stands at its place."""

    def values(self, field: str) -> NDArray[np.float64]:
        """Returns a per-class field in the order of the labels: float64 [C].

        Raises:
            ConfigError: the field's mapping names an unknown class or leaves one out.
        """
        given: float | Mapping[str, float] = getattr(self.config, field)
        if not isinstance(given, Mapping):
            return np.full(len(self.labels), float(given))
        name = f"{type(self).__name__}.{field}"
        for label in given:
            if label not in self.labels:
                raise ConfigError(
                    f'{name} names the class "{label}", which this pipeline does not have.'
                    f"{did_you_mean(label, self.labels)} Its classes: {', '.join(self.labels)}."
                )
        if missing := [label for label in self.labels if label not in given]:
            raise ConfigError(
                f"{name} gives no value for {', '.join(missing)}. "
                "Name every class, or give one number for all of them."
            )
        return np.array([float(given[label]) for label in self.labels])

    def undecided(self, clip: ClipPrediction) -> NDArray[np.floating]:
        """Returns the frame probabilities [T, C] of a clip that nothing has decided on yet.

        Raises:
            ConfigError: an earlier part has decided already.
        """
        if clip.active is not None or clip.events is not None:
            raise ConfigError(
                f"{type(self).__name__} decides, but an earlier post-processor has decided "
                "already. Keep one of threshold, dynamic_threshold and hysteresis."
            )
        return clip.frames

    def decided(self, clip: ClipPrediction) -> NDArray[np.bool_]:
        """Returns the decisions [T, C] of a clip that has them and has no events yet.

        Raises:
            ConfigError: there are no decisions yet, or the events have been made already.
        """
        if clip.events is not None:
            raise ConfigError(
                f"{type(self).__name__} shapes decisions, but the events have been made already. "
                "Put it before to_events."
            )
        if clip.active is None:
            raise ConfigError(
                f"{type(self).__name__} needs decisions, and there are none yet. "
                "Put threshold, dynamic_threshold or hysteresis before it."
            )
        return clip.active
