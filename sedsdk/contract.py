"""What every part is: a class with a nested `Config`. Torch-free, as post-processors are."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from sedsdk.types import ClipPrediction


class PartConfig(BaseModel):
    """Base of every part's `Config`: immutable, unknown keys refused.

    The config is the part's documentation, validation and JSON schema at once; give each field
    a description with its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Part:
    """Base of every part.

    A subclass nests a `Config` derived from `PartConfig` (or inherits one) and is built from it.
    """

    Config: ClassVar[type[PartConfig]] = PartConfig


class PostProcessor(Part):
    """Turns one clip's probabilities into the same, into decisions, or into events. No torch.

    A part reads and returns `ClipPrediction`. Parts that decide (thresholds) set `active`; parts
    that shape decisions (gap filling, minimum duration) need `active` and say so if it is None;
    `to_events` sets `events`, `tag_threshold` sets `tags`. The clip's arrays are never changed in
    place.
    """

    def __init__(self, config: Any, labels: tuple[str, ...]) -> None:
        """Args:
        config: an instance of this class's `Config`.
        labels: class names in the order of the probability columns.
        """
        self.config = config
        self.labels = labels

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Returns the processed clip."""
        raise NotImplementedError

    @classmethod
    def search_space(cls) -> dict[str, tuple[float, ...]]:
        """Returns the fields that threshold fitting may set, each with the values it tries.

        Every field named here accepts one number or a mapping from label to number; fitting
        writes the mapping. An empty dict (the default) means that nothing is fitted.
        """
        return {}
