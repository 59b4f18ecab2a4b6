"""Which labels a clip has: its probabilities against a threshold per class, in plain numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from sedsdk.builtin.per_class import PerClassPostProcessor
from sedsdk.contract import PartConfig
from sedsdk.types import ClipPrediction

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class TagThresholdConfig(PartConfig):
    """What `tag_threshold` can be told."""

    threshold: Probability | dict[str, Probability] = Field(
        0.5,
        description="clip probability that a label has to exceed, in [0, 1], per class; fitted on "
        "validation clips after training",
    )


class TagThreshold(PerClassPostProcessor):
    """Tags a clip with every class whose clip probability is strictly greater than its threshold.

    The threshold is rounded to the probabilities' own floating type first. Decisions and events are
    neither needed nor changed, so the part may stand anywhere. Its thresholds are fitted for the
    best F1 of each class (M&mnet, section 3), apart from those of events: `search_space` is
    empty.

    Raises:
        ConfigError: the mapping does not fit the labels (constructor).
    """

    Config = TagThresholdConfig

    def __init__(self, config: TagThresholdConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels)
        self.thresholds = self.values("threshold")

    def __call__(self, clip: ClipPrediction) -> ClipPrediction:
        """Sets `tags`, in the order of the labels."""
        present = clip.clip > self.thresholds.astype(clip.clip.dtype)
        tags = tuple(
            label for label, is_there in zip(self.labels, present, strict=True) if is_there
        )
        return replace(clip, tags=tags)
