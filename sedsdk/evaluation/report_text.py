"""The report as a page to read, in Markdown, from the same plain values that the JSON holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOT_DEFINED = "–"


def report_markdown(report: Mapping[str, Any]) -> str:
    """Returns Markdown for what `Report.to_dict` gives (or `report.json` holds).

    Args:
        report: the plain values.
    """
    onset, intervals = report["event_based_onset"], report["intervals"]
    blocks = [
        f"# {report['title']}",
        _facts(report),
        _headline(onset, intervals),
        "## Events, onset only",
        _event_text(onset, "an onset is right within"),
        _event_table(onset, intervals),
        _interval_text(intervals),
        "## Events, onset and offset",
        _event_text(report["event_based_onset_offset"], "onset and offset are right within"),
        _event_table(report["event_based_onset_offset"]),
        "## Segments",
        f"Segments of {report['segment_based']['parameters']['resolution']:g} s; counts are of "
        "segments.",
        _event_table(report["segment_based"]),
        "## Tags",
        *_tags(report["tags"], report["tag_intervals"]),
    ]
    if report["psds"]:
        blocks += ["## PSDS", _psds_table(report["psds"], report["labels"])]
    return _page(blocks, report, f"{_EVENT_DEFINITIONS} {_TAG_DEFINITIONS}")


def tag_report_markdown(report: Mapping[str, Any]) -> str:
    """Returns Markdown for what `TagReport.to_dict` gives (or its `report.json` holds).

    Args:
        report: the plain values.
    """
    tags, intervals = report["tags"], report["tag_intervals"]
    left_out = report["n_unknown"]
    means = (("AUC", "auc"), ("mAP", "mean_average_precision"), ("F1", "f1"))
    texts = [
        f"{heading} {_percent(tags[name])} %" + (f" ({span})" if span else "")
        for heading, name in means
        for span in [_span(intervals[name], 100)]
    ]
    blocks = [
        f"# {report['title']}",
        _facts(report)
        + (f" {left_out} more clips have no known labels and are left out." if left_out else ""),
        f"**Tags, class mean: {', '.join(texts)}.**",
        "## Tags",
        *_tags(tags, intervals),
    ]
    return _page(blocks, report, _TAG_DEFINITIONS)


def _page(blocks: list[str], report: Mapping[str, Any], definitions: str) -> str:
    """Adds what ends every report."""
    if report["postprocessors"]:
        blocks += ["## Post-processing", _postprocessors(report["postprocessors"])]
    if report["notes"]:
        blocks += ["## Notes", "\n".join(f"- {note}" for note in report["notes"])]
    blocks += ["## How to read the numbers", definitions]
    return "\n\n".join(blocks) + "\n"


_EVENT_DEFINITIONS = (
    "ER = (substitutions + insertions + deletions) / max(1, references): lower is better, above 1 "
    "there are more errors than references. F1, precision and recall are in percent. Nothing to "
    "find and nothing found is ER 0 and F1 100 %; a false alarm where there is nothing to find is "
    "an insertion. Average: plain mean over the classes. Overall: counts of all classes together."
)
_TAG_DEFINITIONS = (
    "Tags: AUC is the area under the ROC curve (50 % is chance), AP the average precision, their "
    "class means AUC and mAP; both need no threshold. F1, precision and recall are of clips whose "
    "probability exceeds the class's threshold. "
    f"“{NOT_DEFINED}”: not defined, and left out of the mean; so is a class in resamples without "
    "a clip that holds it."
)


def _facts(report: Mapping[str, Any]) -> str:
    groups = "" if report["n_groups"] is None else f" from {report['n_groups']} recording groups"
    return (
        f"{report['n_clips']} clips{groups}, {report['seconds'] / 60:.1f} minutes, "
        f"{len(report['labels'])} classes: {', '.join(report['labels'])}."
    )


def _headline(onset: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    average = onset["average"]
    return (
        f"**Event-based, class average: ER {average['error_rate']:.2f} "
        f"({_span(intervals['average_error_rate'])}), F1 {_percent(average['f1'])} % "
        f"({_span(intervals['average_f1'], 100)}).**"
    )


def _event_text(scores: Mapping[str, Any], what: str) -> str:
    parameters = scores["parameters"]
    text = f"By sed_eval, optimal matching; {what} {parameters['collar']:g} s"
    if parameters["offsets"]:
        text += (
            f", an offset also within {100 * parameters['percentage_of_length']:g} % of the "
            "event's length"
        )
    if parameters.get("own_clips_only"):
        text += "; each class on the clips made for it (DCASE 2017 Task 2)"
    return text + "."


def _event_table(scores: Mapping[str, Any], intervals: Mapping[str, Any] | None = None) -> str:
    header = ["class", "ER", "F1 %", "precision %", "recall %"]
    header += ["references", "found", "right", "substituted", "inserted", "missed"]
    rows = [_score_row(label, score) for label, score in scores["classes"].items()]
    average = scores["average"]
    rows.append(["**average**", *_rates(average), *[""] * 6])
    rows.append(_score_row("overall", scores["overall"]))
    if intervals is not None:
        header[2:2] = [_confidence(intervals)]
        header[4:4] = [_confidence(intervals)]
        error_rates = [*intervals["error_rate"].values(), intervals["average_error_rate"], None]
        f1 = [*intervals["f1"].values(), intervals["average_f1"], None]
        for row, rate, score in zip(rows, error_rates, f1, strict=True):
            row[2:2] = [_span(rate)]
            row[4:4] = [_span(score, 100)]
    return _table(header, rows)


def _score_row(label: str, score: Mapping[str, Any]) -> list[str]:
    counts = ("n_ref", "n_sys", "hits", "substitutions", "insertions", "deletions")
    return [label, *_rates(score), *(str(score[name]) for name in counts)]


def _rates(score: Mapping[str, Any]) -> list[str]:
    percents = [_percent(score[name]) for name in ("f1", "precision", "recall")]
    return [f"{score['error_rate']:.2f}", *percents]


def _interval_text(intervals: Mapping[str, Any]) -> str:
    return (
        f"{_confidence(intervals)}: percentile bootstrap over {intervals['n_units']} "
        f"{intervals['unit']}s, {intervals['resamples']} resamples, seed {intervals['seed']}."
    )


def _confidence(intervals: Mapping[str, Any]) -> str:
    return f"{100 * intervals['confidence']:g} % interval"


def _tags(tags: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[str]:
    span = _confidence(intervals)
    header = ["class", "AUC %", span, "AP %", span, "F1 %", span, "precision %", "recall %"]
    header += ["threshold", "clips with it", "clips found"]
    names, others = ("auc", "average_precision", "f1"), ("precision", "recall")
    rows = []
    for label, score in tags["classes"].items():
        own = intervals["classes"][label]
        cells = [text for name in names for text in (_percent(score[name]), _span(own[name], 100))]
        cells += [_percent(score[name]) for name in others]
        counts = [str(score["n_positive"]), str(score["n_found"])]
        rows.append([label, *cells, f"{score['threshold']:.3g}", *counts])
    means = ("auc", "mean_average_precision", "f1")
    cells = [text for name in means for text in (_percent(tags[name]), _span(intervals[name], 100))]
    rows.append(["**average**", *cells, *(_percent(tags[name]) for name in others), "", "", ""])
    blocks = [
        f"Clip probabilities of {tags['n_clips']} clips.",
        _table(header, rows),
        _interval_text(intervals),
    ]
    if tags["without_positives"]:
        blocks.append(f"In no clip, left out: {', '.join(tags['without_positives'])}.")
    if tags["without_negatives"]:
        blocks.append(f"In every clip, without AUC: {', '.join(tags['without_negatives'])}.")
    return blocks


def _psds_table(scores: Mapping[str, Any], labels: Sequence[str]) -> str:
    names = list(scores)
    rows = [
        [label, *(_percent(scores[name]["classes"][label]) for name in names)] for label in labels
    ]
    rows.append(["**all**", *(_percent(scores[name]["psds"]) for name in names)])
    return _table(["class", *(f"{name.replace('_', ' ')} %" for name in names)], rows)


def _postprocessors(refs: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for number, ref in enumerate(refs, start=1):
        options = [f"{field} = {_option(value)}" for field, value in ref.items() if field != "part"]
        lines.append(f"{number}. `{ref['part']}`" + (f": {'; '.join(options)}" if options else ""))
    return "\n".join(lines)


def _option(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{label} {_option(each)}" for label, each in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{100 * value:.1f}"


def _span(interval: Mapping[str, float] | None, scale: float = 1.0) -> str:
    if interval is None:
        return ""
    digits = 2 if scale == 1.0 else 1
    return f"{scale * interval['low']:.{digits}f} to {scale * interval['high']:.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
