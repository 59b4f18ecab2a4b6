"""Tagging from start to end: thresholds fitted and saved, reports, evaluation, cross-fitting."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics
from tone_recipes import PIPELINE, recipe_values

import sedsdk
from sedsdk.config import PipelineConfig, read_model
from sedsdk.data.manifest import Manifest
from sedsdk.errors import ConfigError
from sedsdk.evaluation import TagReport, best_f1_thresholds, read_clip_tags
from sedsdk.pipeline import Pipeline
from sedsdk.training import Recipe, train
from sedsdk.training.brain import read_curves
from sedsdk.training.fitting import Judged, fit_to_clips
from sedsdk.training.score import (
    ScoringClips,
    predict_clips,
    report_on_clips,
    tag_thresholds,
    validation_scorer,
)
from sedsdk.training.streams import StreamReader

LABELS = ("high", "low")
EVENTS_AND_TAGS = ["tag_threshold", {"part": "hysteresis"}, "to_events"]


@pytest.fixture
def tags_only(own_tones) -> str:
    """A list of tags of all recordings; of the last two, nothing is known."""
    clips = []
    for index, clip in enumerate(own_tones.manifest.clips):
        tags = tuple(sorted({event.label for event in clip.events}))
        clips.append(replace(clip, tags=None if index >= 10 else tags, events=None))
    path = own_tones.folder / "tags.jsonl"
    Manifest(tuple(clips), LABELS).write(path)
    return str(path)


def recipe_of(corpus, data=None, postprocessors=("tag_threshold",), **training) -> Recipe:
    values = recipe_values(corpus, **{"score": "clip_auc", **training})
    values["pipeline"] = {
        **PIPELINE,
        "head": {"part": "clip_bce"},
        "postprocessors": list(postprocessors),
    }
    values["data"] = {**values["data"], **(data or {})}
    return read_model(Recipe, values, "recipe")


def everywhere(manifest: str) -> dict[str, str]:
    return {"train": manifest, "validation": manifest, "test": manifest}


def saved_thresholds(result) -> dict[str, float]:
    config = json.loads((result.bundle / "config.json").read_text(encoding="utf-8"))
    (part,) = [
        ref for ref in config["pipeline"]["postprocessors"] if ref["part"].endswith("tag_threshold")
    ]
    return part["threshold"]


@pytest.fixture
def tagger(own_tones, tags_only, host, tmp_path):
    return train(recipe_of(own_tones, everywhere(tags_only)), tmp_path / "run", host=host,
                 device="cpu")  # fmt: skip


class TestATagger:
    def test_thresholds_are_fitted_on_known_validation_clips_and_saved(self, tagger, host):
        fit = json.loads((tagger.folder / "thresholds.json").read_text(encoding="utf-8"))
        scores = read_clip_tags(tagger.folder / "scores" / "tag_scores.npz")  # the same clips
        expected = best_f1_thresholds(scores.probabilities[:10], scores.truth[:10], LABELS)
        assert fit["tags"]["thresholds"] == expected
        assert fit["tags"]["n_clips"] == 10
        assert saved_thresholds(tagger) == expected
        assert scores.thresholds.tolist() == list(expected.values())
        detector = sedsdk.load(tagger.bundle, host=host)
        assert tag_thresholds(detector.pipeline) == expected

    def test_the_report_is_of_tags_and_scikit_learns(self, tagger):
        report = tagger.report
        assert report["format"] == "sedsdk-tag-report/1"
        assert json.loads((tagger.folder / "result.json").read_text())["report"] == report
        assert (report["n_clips"], report["n_unknown"]) == (10, 2)
        scores = read_clip_tags(tagger.folder / "scores" / "tag_scores.npz")
        assert scores.known.any(axis=1).tolist() == [True] * 10 + [False] * 2
        truth, values = scores.truth[:10], scores.probabilities[:10]
        found = values > scores.thresholds.astype(np.float32)
        assert report["tags"]["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(truth, values))
        assert report["tags"]["mean_average_precision"] == pytest.approx(
            sklearn.metrics.average_precision_score(truth, values)
        )
        assert report["tags"]["f1"] == pytest.approx(
            sklearn.metrics.f1_score(truth, found, average="macro")
        )
        assert report["notes"][0] == "thresholds of tags set on validation data only"
        assert not (tagger.folder / "scores" / "counts.json").exists()

    def test_the_card_shows_the_scores_and_how_to_tag(self, tagger):
        card = (tagger.bundle / "README.md").read_text(encoding="utf-8")
        assert 'tags = detector.predict("recording.wav").tags' in card
        assert "Tags, class mean: AUC" in card
        assert card.startswith("# Audio tagger\n")

    def test_the_detector_decides_as_the_report_did(self, tagger, host, own_tones):
        scores = read_clip_tags(tagger.folder / "scores" / "tag_scores.npz")
        detector = sedsdk.load(tagger.bundle, host=host)
        for row, clip in enumerate(own_tones.manifest.clips):
            found = detector.predict(clip.path)
            np.testing.assert_allclose(found.clip, scores.probabilities[row], atol=1e-5)
            margin = np.abs(scores.probabilities[row] - scores.thresholds).min()
            if margin > 1e-4:
                exceeds = scores.probabilities[row] > scores.thresholds
                expected = tuple(np.array(LABELS)[exceeds])
                assert found.tags == expected

    def test_every_epoch_has_its_auc(self, tagger):
        rows = read_curves(tagger.folder / "curves.csv")
        best = max(rows, key=lambda row: row["clip_auc"])
        assert tagger.best["clip_auc"] == pytest.approx(best["clip_auc"], rel=1e-5)
        assert "frame_average_precision" not in tagger.best


def test_thresholds_stay_as_the_recipe_has_them_if_asked(own_tones, tags_only, host, tmp_path):
    recipe = recipe_of(
        own_tones,
        everywhere(tags_only),
        [{"part": "tag_threshold", "threshold": {"high": 0.3, "low": 0.7}}],
        fit_thresholds=False,
        epochs=1,
    )
    result = train(recipe, tmp_path / "run", host=host, device="cpu")
    assert saved_thresholds(result) == {"high": 0.3, "low": 0.7}
    assert not (result.folder / "thresholds.json").exists()
    assert result.report["tags"]["classes"]["low"]["threshold"] == 0.7
    assert "thresholds of tags set by hand, in the recipe" in result.report["notes"]


def test_events_and_tags_are_fitted_side_by_side(tones, host, tmp_path):
    result = train(
        recipe_of(tones, postprocessors=EVENTS_AND_TAGS, epochs=1), tmp_path, host=host,
        device="cpu",
    )  # fmt: skip
    fit = json.loads((tmp_path / "thresholds.json").read_text(encoding="utf-8"))
    assert {"objective", "trials", "chosen", "postprocessors", "tags"} <= set(fit)
    assert not any("tag_threshold" in name for trial in fit["trials"] for name in trial["setting"])
    report = result.report
    assert report["format"] == "sedsdk-report/1"
    classes = report["tags"]["classes"]
    assert {label: score["threshold"] for label, score in classes.items()} == saved_thresholds(
        result
    )
    assert saved_thresholds(result) == fit["tags"]["thresholds"]
    assert report["notes"][:2] == [
        "thresholds set on validation data only",
        "thresholds of tags set on validation data only",
    ]
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "counts.json",
        "report.json",
        "report.md",
        "tag_scores.npz",
    }


def test_strong_labels_give_a_tagger_a_report_on_tags(tones, host, tmp_path):
    result = train(recipe_of(tones, epochs=1), tmp_path, host=host, device="cpu")
    assert result.report["format"] == "sedsdk-tag-report/1"
    assert result.report["n_clips"] == 12
    scores = read_clip_tags(tmp_path / "scores" / "tag_scores.npz")
    held = [{event.label for event in clip.events} for clip in tones.manifest.clips]
    assert scores.truth.tolist() == [[label in labels for label in LABELS] for labels in held]


def test_a_test_without_any_labels_is_passed_over(own_tones, tags_only, host, tmp_path):
    unknown = Manifest.read(tags_only).clips[10:]
    path = own_tones.folder / "unknown.jsonl"
    Manifest(unknown, LABELS).write(path)
    data = {**everywhere(tags_only), "test": str(path)}
    said: list[str] = []
    recipe = recipe_of(own_tones, data, epochs=1)
    result = train(recipe, tmp_path / "run", host=host, device="cpu", say=said.append)
    assert result.report is None
    assert "the test clips have no labels and are not scored" in said


def test_validation_without_any_labels_is_refused(own_tones, tags_only, host, tmp_path):
    path = own_tones.folder / "unknown.jsonl"
    Manifest(Manifest.read(tags_only).clips[10:], LABELS).write(path)
    recipe = recipe_of(own_tones, {**everywhere(tags_only), "validation": str(path)})
    with pytest.raises(ConfigError, match=r"score = clip_auc needs validation clips with labels"):
        train(recipe, tmp_path / "run", host=host, device="cpu")


@pytest.fixture
def scored(host):
    """A pipeline with both kinds of post-processors, and a reader of its streams."""
    frontend = {**PIPELINE["frontends"]["main"], "normalise": "none"}
    config = PipelineConfig(
        **{
            **PIPELINE,
            "frontends": {"main": frontend},
            "head": {"part": "clip_bce"},
            "postprocessors": EVENTS_AND_TAGS,
        }
    )
    pipeline = Pipeline(config, host, seed=0)
    return pipeline, StreamReader(pipeline, None)


class TestScores:
    def test_clip_auc_and_precision_leave_out_clips_without_labels(self, scored, tags_only):
        pipeline, reader = scored
        clips = ScoringClips(Manifest.read(tags_only), reader, LABELS, "cpu")
        predictions = predict_clips(pipeline, clips)
        rows = [row for batch in clips._batches for row in batch]
        found = validation_scorer(pipeline, clips)(
            [predictions[clips.clips[row].id] for row in rows]
        )
        known = clips.clips[:10]
        truth = [[label in clip.tags for label in LABELS] for clip in known]
        values = [predictions[clip.id].clip for clip in known]
        assert found == {
            "clip_auc": pytest.approx(sklearn.metrics.roc_auc_score(truth, values)),
            "clip_average_precision": pytest.approx(
                sklearn.metrics.average_precision_score(truth, values)
            ),
        }

    def test_weak_and_unknown_clips_are_counted_beside_a_report_on_events(
        self, scored, tags_only, own_tones
    ):
        pipeline, reader = scored
        strong, weak = own_tones.manifest.clips, Manifest.read(tags_only).clips
        mixed = Manifest((*strong[:4], *weak[4:]), LABELS)
        clips = ScoringClips(mixed, reader, LABELS, "cpu")
        report = report_on_clips(pipeline, predict_clips(pipeline, clips), clips, "Mixed")
        assert report.n_clips == 4
        assert report.notes == (
            "6 clips with tags and no events are left out",
            "2 clips without labels are left out",
        )
        pipeline.set_postprocessors(pipeline.config.postprocessors[:1])
        report = report_on_clips(pipeline, predict_clips(pipeline, clips), clips, "Mixed")
        assert isinstance(report, TagReport)
        assert (report.n_clips, report.n_unknown) == (10, 2)
        assert report.seconds == pytest.approx(10.0, abs=0.3)

    def test_folds_are_fitted_together_with_and_without_strong_labels(
        self, scored, tags_only, own_tones
    ):
        pipeline, reader = scored
        manifests = {
            "0": Manifest(own_tones.manifest.clips[:6], LABELS),
            "1": Manifest(Manifest.read(tags_only).clips[6:], LABELS),
        }
        parts = {}
        for name, manifest in manifests.items():
            clips = ScoringClips(manifest, reader, LABELS, "cpu")
            parts[name] = Judged.of(clips, predict_clips(pipeline, clips))
        judged = Judged.together(parts)
        assert len(judged.predictions) == len(judged.present) == 10  # of 12; two are unknown
        assert len(judged.reference) == 6
        assert set(judged.groups.values()) == {
            f"{name}/{group}" for name, part in parts.items() for group in part.groups.values()
        }
        fitted = fit_to_clips(pipeline, judged)
        assert fitted.events.parameters["n_clips"] == 6
        values = np.stack([clip.clip for clip in judged.predictions.values()])
        truth = [[label in held for label in LABELS] for held in judged.present.values()]
        assert fitted.tags.thresholds == best_f1_thresholds(values, truth, LABELS)
        assert tag_thresholds(pipeline) == fitted.tags.thresholds

    def test_nothing_to_fit_is_nothing(self, scored):
        pipeline, _ = scored
        nothing = Judged({}, {}, {}, {}, None)
        fitted = fit_to_clips(pipeline, nothing)
        assert (fitted.events, fitted.tags, fitted.as_dict()) == (None, None, {})
        assert fitted.notes(pipeline) == [
            "thresholds set by hand, in the recipe",
            "thresholds of tags set by hand, in the recipe",
        ]

    def test_parts_named_with_their_plugin_are_known(self, scored, own_tones):
        pipeline, reader = scored
        pipeline.set_postprocessors(
            [
                sedsdk.part("builtin/tag_threshold", threshold=0.4),
                sedsdk.part("builtin/threshold"),
                sedsdk.part("builtin/median", seconds=0.06),
                sedsdk.part("builtin/to_events"),
            ]
        )
        assert tag_thresholds(pipeline) == {"high": 0.4, "low": 0.4}
        clips = ScoringClips(own_tones.manifest, reader, LABELS, "cpu")
        fitted = fit_to_clips(pipeline, Judged.of(clips, predict_clips(pipeline, clips)))
        assert fitted.tags.n_clips == 12
        assert {name for trial in fitted.events.trials for name in trial.setting} == {
            "builtin/threshold.value"
        }


def test_a_pipeline_without_the_part_is_scored_at_one_half():
    pipeline = SimpleNamespace(
        labels=LABELS, config=SimpleNamespace(postprocessors=()), postprocessors=()
    )
    assert tag_thresholds(pipeline) == {"high": 0.5, "low": 0.5}
