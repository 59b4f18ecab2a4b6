"""The card of a trained detector: data, limits and scores, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sedsdk.runtime.bundle import ModelCard
from sedsdk.training.recipe import ManifestData, Recipe, RecordingsData


def card(
    recipe: Recipe,
    best: dict[str, float],
    report: dict[str, Any] | None,
    page: str,
    further_reports: Mapping[str, dict[str, Any]] | None = None,
) -> ModelCard:
    """Returns what a bundle says of how its detector was trained.

    Args:
        recipe: what was learned from what.
        best: epoch and validation scores of the weights that are saved.
        report: scores on the test part, if there is one.
        page: the same, and those of further tests, as Markdown.
        further_reports: scores of further tests by name.
    """
    parts = {ref.part.rsplit("/", 1)[-1] for ref in recipe.pipeline.postprocessors}
    tags_alone = "tag_threshold" in parts and "to_events" not in parts
    return ModelCard(
        name="Audio tagger" if tags_alone else "Sound event detector",
        data=_data_in_words(recipe),
        limits=_LIMITS,
        labels_source=_labels_in_words(recipe),
        scores={"validation": dict(best), "test": report, **(further_reports or {})},
        scores_page=page,
        training={
            "data": recipe.data.model_dump(mode="json"),
            "settings": recipe.training.model_dump(mode="json"),
        },
    )


_LIMITS = (
    "Scores hold for sounds and places like those of the training data. On others, fit the "
    "thresholds on recordings from there before relying on the detector."
)


def _data_in_words(recipe: Recipe) -> str:
    data = recipe.data
    if isinstance(data, RecordingsData):
        count, part = "", data.validation.part
        if data.validation.mixtures is not None and part is None:
            count = f"{data.validation.mixtures.mixtures_per_class} mixtures per class of "
        held_out = "recordings that training did not hear" if part is None else f'part "{part}"'
        return (
            f'Mixtures of the recordings in "{data.folder}", split "{data.split}"; thresholds '
            f"fitted on {count}{held_out}."
        )
    if isinstance(data, ManifestData):
        return f"Clips of {data.train}; thresholds fitted on {data.validation}."
    return f'Data set {data.name}, part "{data.train}"; thresholds fitted on "{data.validation}".'


def _labels_in_words(recipe: Recipe) -> str:
    if isinstance(recipe.data, RecordingsData):
        weak = recipe.data.labels == "weak"
        known = "Which isolated events the synthesiser mixed into a clip, not when."
        return known if weak else "Where the synthesiser placed isolated events."
    return "The labels of the manifests, as their makers gave them."
