"""What a table's numbers are of: scale, data, sizes, seeds and intervals, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sedsdk.data.mixtures import MixtureSettings
from sedsdk.training.recipe import HeldOut, Recipe, RecordingsData
from sedsdk.training.reproduction.data import DataChoice
from sedsdk.training.reproduction.measures import CONFIDENCE, RESAMPLES, Measure
from sedsdk.training.reproduction.plan import Scale
from sedsdk.training.reproduction.runs import PlannedRow


def caption(
    scale_name: str, scale: Scale, data: DataChoice, rows: Sequence[PlannedRow], measure: Measure
) -> str:
    """Returns the caption of a table.

    Args:
        scale_name: of the scale.
        scale: the same.
        data: what is trained on.
        rows: of the table.
        measure: of the plan.
    """
    recipes = [run.recipe for row in rows for run in row.all_runs]
    sentences = [
        f"Scale {scale_name}, on {data.words}: {scale.caption.rstrip('.')}.",
        _models(rows),
        *_sizes(recipes),
        _seeds(rows),
        f"In brackets: {100 * CONFIDENCE:g} % percentile intervals of {RESAMPLES} resamples of the "
        "test's recordings, the same for all rows, and of seeds; differences are taken within a "
        "resample. Minutes: of training, with validation.",
        measure.explanation,
    ]
    if any(row.row.printed for row in rows):
        sentences.append(
            "The paper's values are as printed."
            if data.kind == "dataset"
            else "The paper's values are as printed, of its own data: compare orders, not values."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def _models(rows: Sequence[PlannedRow]) -> str:
    counts = {len(models) for row in rows for models in row.runs.values()}
    if counts == {1}:
        return "One model detects all classes."
    if 1 not in counts:
        return "One model for each class, put together into one row."
    return "Rows are of one model for all classes, or of one for each, put together."


def _seeds(rows: Sequence[PlannedRow]) -> str:
    seeds = sorted({seed for row in rows for seed in row.runs})
    if len(seeds) == 1:
        return f"Seed {seeds[0]} only: intervals do not show how trainings differ."
    return f"Mean over seeds {', '.join(map(str, seeds))}."


def _sizes(recipes: Sequence[Recipe]) -> list[str]:
    """Says how much is learned from and tested on, as far as recipes tell it."""
    datas = [(recipe, recipe.data) for recipe in recipes if isinstance(recipe.data, RecordingsData)]
    if not datas:
        return []
    learned = _either(_training(recipe, data) for recipe, data in datas)
    validated = _either(_held_out(data.validation) for _, data in datas)
    tested = _either(_held_out(data.test) for _, data in datas)
    sentences = [f"Trained on {learned}.", f"Thresholds from {validated}; tested on {tested}."]
    further = sorted({name for _, data in datas for name in data.further_tests})
    for name in further:
        held = [_held_out(data.further_tests.get(name)) for _, data in datas]
        sentences.append(f"{name}: {_either(held)}.")
    return sentences


def _either(texts: Iterable[str]) -> str:
    return " or ".join(text for text in dict.fromkeys(texts) if text)


def _training(recipe: Recipe, data: RecordingsData) -> str:
    training = recipe.training
    if data.training_mixtures is not None:
        mixtures = data.training_mixtures
        return f"{_mixtures(mixtures)}, at most {training.epochs} epochs"
    batches = training.epochs * training.steps_per_epoch
    return (
        f"at most {batches} batches of {training.batch_size} mixtures of "
        f"{data.mixing.clip_seconds:g} s, made on the fly"
    )


def _held_out(held: HeldOut | None) -> str:
    if held is None:
        return ""
    if held.mixtures is None:
        return f"the mixtures of {held.part}"
    of = f" of {held.part}" if held.part else ""
    return f"{_mixtures(held.mixtures)}{of}"


def _mixtures(settings: MixtureSettings) -> str:
    low, high = settings.shortest_and_longest
    seconds = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
    return f"{settings.mixtures_per_class} mixtures of {seconds} per class"
