"""Frames of many clips, their t-SNE maps, and the number that says how separable they are."""

from __future__ import annotations

import sys

import map_parts
import numpy as np
import pytest
import torch

from sedsdk import Host, compose, part
from sedsdk.data.manifest import Clip
from sedsdk.errors import AudioError, DataError, MissingDependency
from sedsdk.plots.frame_samples import (
    BACKGROUND,
    SEVERAL,
    UNKNOWN,
    FrameSample,
    evenly,
    sample_frames,
    sample_times,
)
from sedsdk.plots.tsne import plot_tsne, separability, tsne_map
from sedsdk.runtime.detector import Detector
from sedsdk.types import Event

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')
pytest.importorskip("sklearn", reason='needs the extra "train": pip install "sedsdk[train]"')

RATE = 8000
HOP = 0.02


def sample_of(values, labels, strong=True):
    count = len(labels)
    return FrameSample(
        np.asarray(values, np.float32),
        tuple(labels),
        np.broadcast_to(np.array(strong), (count,)),
        np.zeros(count),
        ("clip",) * count,
    )


def clouds(centres, per_cloud=20, spread=0.1, seed=0):
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [centre + generator.normal(0, spread, (per_cloud, len(centre))) for centre in centres]
    )


class TestWhichFrames:
    def clip(self, *spans, **options):
        events = tuple(Event(*span, "bell") for span in spans)
        return Clip("x", "x.wav", events=events, **options)

    def test_half_are_taken_where_events_are(self):
        times = sample_times(self.clip((6.0, 7.0), (1.0, 2.0)), 11.0, 8)
        np.testing.assert_allclose(times, [1.25, 1.75, 2.125, 4.375, 6.25, 6.75, 7.625, 9.875])

    def test_events_that_overlap_are_one_stretch(self):
        times = sample_times(self.clip((1.0, 3.0), (2.0, 5.0)), 5.0, 4)
        np.testing.assert_allclose(times, [0.25, 0.75, 2.0, 4.0])

    @pytest.mark.parametrize("clip", [Clip("x", "x.wav"), Clip("x", "x.wav", events=())])
    def test_without_events_they_are_spread_over_the_clip(self, clip):
        np.testing.assert_allclose(sample_times(clip, 2.0, 4), [0.25, 0.75, 1.25, 1.75])

    def test_an_event_throughout_takes_them_all(self):
        np.testing.assert_allclose(sample_times(self.clip((0.0, 2.0)), 2.0, 2), [0.5, 1.5])

    def test_frames_are_spread_over_clips(self):
        clips = [Clip(f"{index}", "x.wav") for index in range(3)]
        assert [count for _, count in evenly(clips, 20)] == [6, 7, 7]

    def test_of_many_clips_evenly_spaced_ones_are_kept(self):
        clips = [Clip(f"{index}", "x.wav") for index in range(100)]
        chosen = evenly(clips, 20)
        assert [(clip.id, count) for clip, count in chosen] == [
            ("0", 5), ("25", 5), ("50", 5), ("75", 5)
        ]  # fmt: skip

    def test_no_clip_is_refused(self):
        with pytest.raises(DataError, match="no clip"):
            evenly([], 20)


class TestSample:
    @pytest.fixture(scope="class")
    def detector(self):
        """Its encoder passes the log-mel frames through."""
        return Detector(
            compose(
                ["alarm", "bell"],
                part("log_mel", sample_rate=RATE, n_mels=16, n_fft=512, hop_seconds=HOP),
                "levels",
                "frame_bce",
                host=Host(plugins=[("maps", map_parts)], discover=False),
                seed=0,
            )
        )

    @pytest.fixture
    def recording(self, tmp_path):
        import soundfile

        samples = np.random.default_rng(0).normal(0, 0.1, 4 * RATE)
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
        return tmp_path / "a.wav", samples.astype(np.float32)

    def test_values_are_those_of_the_encoder_at_the_stated_times(self, detector, recording):
        """The clip lies from 1 to 3 s of its file."""
        path, samples = recording
        clip = Clip("c", path, 1.0, 3.0, events=(Event(0.5, 1.0, "bell"),))
        sample = sample_frames(detector, [(clip, 10)])
        pipeline = detector.pipeline
        with torch.inference_mode():
            batch = pipeline.batch([samples[RATE : 3 * RATE]], RATE)
            features = pipeline.features(batch).main.values[0].numpy()
        np.testing.assert_allclose(
            sample.values, features[np.rint(sample.seconds / HOP).astype(int)]
        )
        wanted = ["bell" if 0.5 <= time < 1.0 else BACKGROUND for time in sample.seconds]
        assert list(sample.labels) == wanted
        assert 4 <= wanted.count("bell") <= 6
        assert sample.strong.all()
        assert set(sample.clips) == {"c"}

    @pytest.mark.parametrize(
        ("known", "label", "strong"),
        [
            ({"tags": ("bell",)}, "bell", False),
            ({"tags": ("alarm", "bell")}, SEVERAL, False),
            ({"tags": ()}, BACKGROUND, True),
            ({}, UNKNOWN, False),
            ({"events": (Event(0, 4, "bell"), Event(0, 4, "alarm"))}, SEVERAL, True),
            ({"events": (Event(0, 4, "bell"), Event(0, 4, "bell"))}, "bell", True),
        ],
    )
    def test_what_is_known_of_a_clip_says_what_its_frames_are(
        self, detector, recording, known, label, strong
    ):
        sample = sample_frames(detector, [(Clip("c", recording[0], **known), 5)])
        assert sample.labels == (label,) * 5
        assert sample.strong.tolist() == [strong] * 5

    def test_a_clip_of_few_frames_gives_each_once(self, detector, recording):
        sample = sample_frames(detector, [(Clip("c", recording[0], 0.0, 0.05), 50)])
        np.testing.assert_allclose(sample.seconds, [0.0, 0.02, 0.04])

    def test_a_clip_that_cannot_be_read_is_named_and_the_others_go_on(
        self, detector, recording, tmp_path
    ):
        (tmp_path / "broken.wav").write_text("this is text", encoding="utf-8")
        good, bad = Clip("good", recording[0]), Clip("bad", tmp_path / "broken.wav")
        named, done = [], []
        sample = sample_frames(
            detector,
            [(bad, 5), (good, 5)],
            lambda count, total: done.append((count, total)),
            lambda clip, error: named.append((clip.id, type(error))),
        )
        assert set(sample.clips) == {"good"}
        assert named == [("bad", AudioError)]
        assert done == [(2, 2)]
        with pytest.raises(AudioError):
            sample_frames(detector, [(bad, 5)])
        with pytest.raises(DataError, match="none of 1 clips"):
            sample_frames(detector, [(bad, 5)], on_problem=lambda clip, error: None)


def silhouette_twin(values, labels):
    """The mean silhouette of each class, written as Rousseeuw's definition reads."""
    found = {}
    for name in sorted(set(labels)):
        scores = []
        for i, label in enumerate(labels):
            if label != name:
                continue
            means = {}
            for other in set(labels):
                far = [
                    np.linalg.norm(values[i] - values[j])
                    for j in range(len(labels))
                    if labels[j] == other and j != i
                ]
                means[other] = np.mean(far) if far else None
            if means[name] is None:  # alone in its class
                scores.append(0.0)
                continue
            a = means.pop(name)
            b = min(means.values())
            scores.append((b - a) / max(a, b))
        found[name] = np.mean(scores)
    return found


class TestSeparability:
    def test_it_is_the_silhouette_of_its_definition(self):
        values = np.random.default_rng(1).normal(size=(31, 4))
        labels = ["bell"] * 10 + ["alarm"] * 5 + [BACKGROUND] * 15 + ["dog"]
        found = separability(values, sample_of(values, labels))
        wanted = silhouette_twin(values, labels)
        assert found.by_class == pytest.approx(wanted)
        assert found.score == pytest.approx(np.mean(list(wanted.values())))
        assert (found.n_frames, found.strong) == (31, True)

    def test_clouds_far_apart_give_almost_one_and_shuffled_labels_almost_zero(self):
        values = clouds([(0, 0, 0), (10, 0, 0), (0, 10, 0)])
        labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
        assert separability(values, sample_of(values, labels)).score > 0.95
        shuffled = list(np.random.default_rng(0).permutation(labels))
        assert abs(separability(values, sample_of(values, shuffled)).score) < 0.1

    def test_frames_of_several_or_unknown_classes_are_left_out(self):
        values = clouds([(0, 0), (9, 0), (5, 5), (-5, 5)])
        labels = ["a"] * 20 + ["b"] * 20 + [SEVERAL] * 20 + [UNKNOWN] * 20
        found = separability(values, sample_of(values, labels))
        assert found.n_frames == 40
        assert set(found.by_class) == {"a", "b"}

    def test_tags_of_clips_stand_in_where_frames_are_unknown(self):
        values = clouds([(0, 0), (9, 0)])
        labels = ["a"] * 20 + ["b"] * 20
        assert not separability(values, sample_of(values, labels, strong=False)).strong
        mixed = [True] * 20 + [False] * 20
        assert separability(values, sample_of(values, labels, strong=mixed)).n_frames == 40

    def test_known_frames_count_alone_where_they_are_enough(self):
        values = clouds([(0, 0), (9, 0), (0, 0)])
        labels = ["a"] * 20 + ["b"] * 40
        strong = [True] * 40 + [False] * 20
        found = separability(values, sample_of(values, labels, strong=strong))
        assert (found.n_frames, found.strong) == (40, True)

    @pytest.mark.parametrize("labels", [["a"] * 4, [UNKNOWN] * 4, ["a", "b", UNKNOWN, SEVERAL]])
    def test_too_little_is_known(self, labels):
        values = np.eye(4)
        assert separability(values, sample_of(values, labels)) is None


class TestMap:
    def test_neighbours_stay_neighbours_and_a_seed_repeats_the_map(self):
        values = clouds([(0, 0, 0), (10, 0, 0), (0, 10, 0)])
        labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
        places = tsne_map(values, perplexity=8, seed=3)
        assert places.shape == (60, 2)
        assert separability(places, sample_of(values, labels)).score > 0.7
        np.testing.assert_array_equal(places, tsne_map(values, perplexity=8, seed=3))

    @pytest.mark.parametrize("perplexity", [60, 0.5])
    def test_a_perplexity_needs_more_frames(self, perplexity):
        with pytest.raises(DataError, match=r"more frames than that, got 60"):
            tsne_map(clouds([(0, 0), (9, 0), (0, 9)]), perplexity)

    def test_values_that_are_not_finite_are_refused(self):
        with pytest.raises(DataError, match="not finite"):
            tsne_map(np.full((40, 3), np.nan))

    def test_without_scikit_learn_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
        monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
        values = clouds([(0, 0), (9, 0)])
        with pytest.raises(MissingDependency, match=r"sedsdk\[train\]"):
            tsne_map(values)
        with pytest.raises(MissingDependency, match=r"sedsdk\[train\]"):
            separability(values, sample_of(values, ["a"] * 20 + ["b"] * 20))


class TestPicture:
    labels = ("bell",) * 20 + (BACKGROUND,) * 20 + ("alarm",) * 20

    @pytest.fixture
    def values(self):
        return clouds([(0, 0), (9, 0), (0, 9)])

    def drawn(self, axes):
        """Label → (places, filled) of each cloud of points that is not empty."""
        return {
            points.get_label(): (points.get_offsets(), len(points.get_facecolors()) > 0)
            for points in axes.collections
            if len(points.get_offsets())
        }

    def test_each_model_has_a_panel_with_every_frame_in_its_place(self, values, tmp_path):
        sample = sample_of(values, self.labels)
        maps = {"plain": values * 2, "edc": values * 3}
        path = tmp_path / "pictures" / "t.png"
        figure = plot_tsne({"plain": sample, "edc": sample}, maps, "title", path)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert [axes.get_title(loc="left").strip() for axes in figure.axes] == [
            "(a) plain", "(b) edc"
        ]  # fmt: skip
        for axes, places in zip(figure.axes, maps.values(), strict=True):
            found = self.drawn(axes)
            for label in set(self.labels):
                chosen = [name == label for name in self.labels]
                np.testing.assert_allclose(found[label][0], places[chosen])
                assert found[label][1]
            assert "no unit" in axes.get_xlabel()
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [
            "alarm (20)", "bell (20)", "background (20)"
        ]  # fmt: skip

    def test_the_score_of_values_and_map_stands_above(self, values):
        mixed = np.tile(values[:20], (3, 1))
        sample = sample_of(values, self.labels)
        figure = plot_tsne({"edc": sample}, {"edc": mixed})
        texts = [text.get_text() for text in figure.axes[0].texts]
        inside = np.mean(list(silhouette_twin(values, self.labels).values()))
        in_map = np.mean(list(silhouette_twin(mixed, self.labels).values()))
        assert texts == [f"60 frames; silhouette {inside:.2f}, in this map {in_map:.2f}"]

    def test_labels_of_clips_are_hollow(self, values):
        labels = ["bell"] * 20 + [UNKNOWN] * 20 + ["alarm"] * 20
        sample = sample_of(values, labels, strong=False)
        figure = plot_tsne({"edc": sample}, {"edc": values})
        found = self.drawn(figure.axes[0])
        assert [found[label][1] for label in ("bell", "alarm", UNKNOWN)] == [False] * 3
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == ["alarm (20, by tag)", "bell (20, by tag)", "unknown (20)"]
        assert figure.axes[0].texts[0].get_text().endswith("by the clips' tags")

    def test_models_of_other_segments_have_no_counts_in_common(self, values):
        """A model of coarser segments has fewer frames in the same clips."""
        coarse = sample_of(values[::2], self.labels[::2])
        samples = {"fine": sample_of(values, self.labels), "coarse": coarse}
        figure = plot_tsne(samples, {"fine": values, "coarse": values[::2]})
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == ["alarm", "bell", "background"]
        assert figure.axes[1].texts[0].get_text().startswith("30 frames; ")

    def test_nothing_known_is_said(self, values):
        sample = sample_of(values, [UNKNOWN] * 60, strong=False)
        figure = plot_tsne({"edc": sample}, {"edc": values})
        assert figure.axes[0].texts[0].get_text().startswith("60 frames; silhouette unknown")

    def test_beyond_eight_classes_the_marker_changes(self):
        values = clouds([(index, 0) for index in range(17)], per_cloud=3)
        sample = sample_of(values, [f"class {index:02}" for index in range(17) for _ in range(3)])
        figure = plot_tsne({"edc": sample}, {"edc": values})
        keys = figure.legends[0].legend_handles
        looks = {(key.get_markerfacecolor(), key.get_marker()) for key in keys}
        assert len(looks) == 17

    def test_other_numbers_of_models_or_frames_are_refused(self, values):
        sample = sample_of(values, self.labels)
        with pytest.raises(DataError, match="1 to 6 models, got 0"):
            plot_tsne({}, {})
        seven = {f"{index}": sample for index in range(7)}
        with pytest.raises(DataError, match="1 to 6 models, got 7"):
            plot_tsne(seven, dict.fromkeys(seven, values))
        with pytest.raises(DataError, match=r'map of "a" must be \[60, 2\]'):
            plot_tsne({"a": sample}, {"a": values[:59]})
