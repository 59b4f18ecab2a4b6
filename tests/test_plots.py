"""Pictures: what they show, what their axes are called, and what they refuse."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.errors import AudioError, DataError
from sedsdk.types import ClipPrediction, Event, FrameGrid

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')

from matplotlib.colors import to_rgba

from sedsdk.plots import (
    log_mel_spectrogram,
    plot_attention,
    plot_curves,
    plot_detection,
    plot_thresholds,
    read_curves,
)
from sedsdk.plots.attention import map_kind
from sedsdk.plots.bands import BandAxis
from sedsdk.plots.detection import decision_thresholds
from sedsdk.plots.style import OTHER_BOX_COLOUR, TARGET_BOX_COLOUR
from sedsdk.plots.tracks import shown_classes, thinned
from sedsdk.runtime.attention import AttentionMap

SAMPLE_RATE = 8000
LABELS = ("babycry", "glassbreak", "gunshot")


def make_prediction(n_frames=100, labels=LABELS, events=None, hop=0.02):
    frames = np.zeros((n_frames, len(labels)), dtype=np.float32)
    frames[n_frames // 2 : n_frames // 2 + 5] = 0.9
    return ClipPrediction(
        tuple(labels), np.zeros(len(labels)), frames, FrameGrid(hop, hop / 2), None, events
    )


def noise(seconds=2.0):
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype("float32")


def png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


class TestSpectrogram:
    def test_a_full_scale_sine_is_near_zero_db_at_its_frequency(self):
        librosa = pytest.importorskip("librosa", reason='needs "sedsdk[dev]"')
        times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
        spectrogram = log_mel_spectrogram(np.sin(2 * np.pi * 1000 * times), SAMPLE_RATE)
        band, column = np.unravel_index(spectrogram.levels.argmax(), spectrogram.levels.shape)
        mels = librosa.hz_to_mel([1000, SAMPLE_RATE / 2], htk=True)
        assert band + 0.5 == pytest.approx(mels[0] / mels[1] * len(spectrogram.levels), abs=1.0)
        assert -4.0 < spectrogram.levels[band, column] < 1.0
        assert spectrogram.band_position(1000) == pytest.approx(
            mels[0] / mels[1] * len(spectrogram.levels)
        )

    def test_a_click_is_seen_when_it_sounds(self):
        signal = np.zeros(4 * SAMPLE_RATE)
        signal[round(2.5 * SAMPLE_RATE)] = 1.0
        levels = log_mel_spectrogram(signal, SAMPLE_RATE).levels.mean(0)
        loud = np.flatnonzero(levels > -119) / len(levels) * 4.0
        assert abs(loud.mean() - 2.5) < 0.02
        assert np.ptp(loud) < 0.06

    def test_silence_lies_on_the_floor(self):
        assert (log_mel_spectrogram(np.zeros(4000), SAMPLE_RATE).levels == -120.0).all()

    @pytest.mark.parametrize("n_samples", [1, 7, 4000, 400_000])
    def test_any_length_gives_at_most_the_wanted_columns(self, n_samples):
        spectrogram = log_mel_spectrogram(np.ones(n_samples), SAMPLE_RATE, most_columns=50)
        assert 1 <= spectrogram.levels.shape[1] <= 50
        assert np.isfinite(spectrogram.levels).all()
        assert spectrogram.seconds == n_samples / SAMPLE_RATE

    @pytest.mark.parametrize("sample_rate", [1000, 8000, 22050, 44100, 192000])
    def test_any_rate_fills_every_band(self, sample_rate):
        signal = np.random.default_rng(1).normal(size=sample_rate)
        assert (log_mel_spectrogram(signal, sample_rate).levels > -60).all()

    def test_a_longer_recording_costs_no_more_columns_and_keeps_its_level(self):
        signal = np.random.default_rng(2).normal(0, 0.1, 600 * 1000)
        long = log_mel_spectrogram(signal, 1000, most_columns=40)
        short = log_mel_spectrogram(signal[:20_000], 1000, most_columns=40)
        assert long.levels.shape[1] == short.levels.shape[1] == 40
        assert long.levels.mean() == pytest.approx(short.levels.mean(), abs=1.0)

    @pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.zeros(0)])
    def test_other_shapes_are_refused(self, samples):
        with pytest.raises(AudioError, match="one channel"):
            log_mel_spectrogram(samples, SAMPLE_RATE)

    def test_samples_that_are_not_finite_are_refused(self):
        with pytest.raises(AudioError, match="not finite"):
            log_mel_spectrogram(np.full(4000, np.nan), SAMPLE_RATE)


class TestDetection:
    found = (Event(1.0, 1.1, "babycry", 0.93),)
    reference = (Event(0.95, 1.15, "babycry"), Event(0.2, 0.3, "gunshot"))

    def test_the_file_is_wide_enough_to_read(self, tmp_path):
        path = tmp_path / "new" / "picture.png"
        plot_detection(
            noise(), SAMPLE_RATE, make_prediction(events=self.found), self.reference, "a", path
        )
        width, height = png_size(path)
        assert width >= 1200
        assert height >= 600

    def test_every_axis_is_named_with_its_unit(self):
        figure = plot_detection(
            noise(), SAMPLE_RATE, make_prediction(events=self.found), self.reference, "x.wav"
        )
        spectrogram, bar, *curves, events = figure.axes
        assert spectrogram.get_ylabel() == "frequency (kHz, mel)"
        assert bar.get_ylabel() == "level (dB re full-scale sine)"
        assert [axes.get_ylabel() for axes in curves] == ["probability"] * 3
        assert events.get_ylabel() == "events"
        assert events.get_xlabel() == "time (s)"
        assert figure.get_suptitle() == "x.wav"

    def test_all_panels_share_the_recordings_time_axis(self):
        figure = plot_detection(noise(3.0), SAMPLE_RATE, make_prediction(), None)
        shared = [axes for index, axes in enumerate(figure.axes) if index != 1]
        assert {axes.get_xlim() for axes in shared} == {(0.0, 3.0)}

    def test_probabilities_stand_at_their_frames_centres(self):
        figure = plot_detection(noise(), SAMPLE_RATE, make_prediction(), None)
        line = figure.axes[2].lines[0]
        np.testing.assert_allclose(line.get_xdata()[:3], [0.01, 0.03, 0.05])
        assert line.get_ydata().max() == np.float32(0.9)

    def test_thresholds_are_drawn_where_known(self):
        figure = plot_detection(
            noise(), SAMPLE_RATE, make_prediction(), None, thresholds={"babycry": (0.3, 0.6)}
        )
        assert sorted(line.get_ydata()[0] for line in figure.axes[2].lines[1:]) == [0.3, 0.6]
        assert len(figure.axes[3].lines) == 1

    def test_bars_span_the_events(self):
        prediction = make_prediction(events=self.found)
        events = plot_detection(noise(), SAMPLE_RATE, prediction, self.reference).axes[-1]
        spans = sorted(
            tuple(np.round(path.get_extents().intervalx, 3))
            for bars in events.collections
            for path in bars.get_paths()
        )
        assert spans == [(0.2, 0.3), (0.95, 1.15), (1.0, 1.1)]
        assert [text.get_text() for text in events.texts] == ["0.93"]
        assert [label.get_text() for label in events.get_yticklabels()] == list(LABELS)

    def test_a_recording_without_frames_or_events_can_be_drawn(self, tmp_path):
        prediction = make_prediction(n_frames=0, events=())
        plot_detection(noise(0.01), SAMPLE_RATE, prediction, (), path=tmp_path / "a.svg")
        assert (tmp_path / "a.svg").stat().st_size > 0

    def test_of_many_classes_those_with_events_are_shown(self):
        labels = tuple(f"class {index}" for index in range(50))
        frames = np.zeros((10, 50))
        frames[:, 7] = 0.9
        events = (Event(0.0, 0.1, "class 40"),)
        prediction = ClipPrediction(labels, np.zeros(50), frames, FrameGrid(0.1), None, events)
        shown = shown_classes(prediction, [Event(0.0, 0.1, "class 49")])
        assert len(shown) == 8
        assert {"class 7", "class 40", "class 49"} <= set(shown)
        figure = plot_detection(noise(1.0), SAMPLE_RATE, prediction, None, "x")
        assert "42 more classes" in figure.get_suptitle()

    def test_an_unknown_ending_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"\.png, \.svg, \.pdf"):
            plot_detection(noise(), SAMPLE_RATE, make_prediction(), path=tmp_path / "a.bmp")


class TestDecisionThresholds:
    def chain(self, *parts):
        from sedsdk.builtin import postprocessors

        return [
            getattr(postprocessors, name)(getattr(postprocessors, name).Config(**options), LABELS)
            for name, options in parts
        ]

    def test_threshold(self):
        value = {"babycry": 0.1, "glassbreak": 0.2, "gunshot": 0.3}
        parts = self.chain(("Median", {}), ("Threshold", {"value": value}))
        assert decision_thresholds(parts, make_prediction()) == {
            label: (threshold,) for label, threshold in value.items()
        }

    def test_hysteresis_gives_the_high_and_the_low_one(self):
        parts = self.chain(("Hysteresis", {"high": 0.8, "low_ratio": 0.5}))
        assert decision_thresholds(parts, make_prediction())["gunshot"] == pytest.approx((0.8, 0.4))

    def test_a_dynamic_threshold_follows_the_clips_mean(self):
        parts = self.chain(("DynamicThreshold", {"base": 0.3, "beta": 2.0}))
        mean = 5 * 0.9 / 100
        got = decision_thresholds(parts, make_prediction())["babycry"]
        assert got == pytest.approx((0.3 + 2.0 * mean,))

    def test_none_are_known_of_other_parts(self):
        assert decision_thresholds(self.chain(("Median", {})), make_prediction()) == {}


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=0, max_size=200),
    most=st.integers(1, 60),
)
def test_thinning_keeps_the_highest_point_and_the_order(values, most):
    curve = np.array(values, dtype=np.float32)
    index, kept = thinned(curve, most)
    assert len(index) == len(kept) <= max(most, 0)
    assert (np.diff(index) > 0).all()
    np.testing.assert_array_equal(curve[index], kept)
    if len(curve):
        assert kept.max() == curve.max()


class TestCurves:
    table = (
        "epoch,train_loss,learning_rate,valid_loss,event_error_rate,event_f1,note\n"
        "1,0.7,0.001,0.8,1.2,0.1,a\n"
        "2,0.5,0.001,0.6,0.9,0.5,b\n"
        "3,0.4,0.001,0.7,,0.4,c\n"
    )

    def write(self, tmp_path, text):
        path = tmp_path / "curves.csv"
        path.write_text(text, encoding="utf-8")
        return path

    def test_empty_cells_are_not_numbers_and_texts_are_left_out(self, tmp_path):
        curves = read_curves(self.write(tmp_path, self.table))
        assert curves["event_f1"] == [0.1, 0.5, 0.4]
        assert math.isnan(curves["event_error_rate"][2])
        assert "note" not in curves

    def test_losses_and_scores_have_named_axes(self, tmp_path):
        figure = plot_curves(self.write(tmp_path, self.table), tmp_path / "curves.png", "run")
        losses, scores = figure.axes
        assert losses.get_xlabel() == scores.get_xlabel() == "epoch"
        assert losses.get_ylabel() == "loss (mean per clip)"
        assert scores.get_ylabel() == "validation score (ratio)"
        assert png_size(tmp_path / "curves.png")[0] >= 1200

    def test_the_best_epoch_is_the_lowest_error_and_the_highest_score(self, tmp_path):
        figure = plot_curves(self.write(tmp_path, self.table))
        texts = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
        assert texts == [
            "training",
            "validation (best 0.600, epoch 2)",
            "event error rate (best 0.900, epoch 2)",
            "event F1 (best 0.500, epoch 2)",
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("epoch,train_loss\n", "no rows"),
            ("step,train_loss\n1,2\n", 'no column "epoch"'),
            ("epoch,learning_rate\n1,2\n", "neither"),
        ],
    )
    def test_other_tables_are_refused(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            plot_curves(self.write(tmp_path, text))

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_curves(tmp_path / "curves.csv")


class TestThresholds:
    def test_each_threshold_keeps_its_highest_score(self):
        table = {"a": [(0.5, 0.7), (0.1, 0.2), (0.5, 0.9)], "b": [(0.3, 0.4)]}
        figure = plot_thresholds(table, chosen={"a": 0.5}, field_name="hysteresis.high")
        line, broken = figure.axes[0].lines
        assert line.get_xydata().tolist() == [[0.1, 0.2], [0.5, 0.9]]
        assert broken.get_xdata()[0] == 0.5
        assert figure.axes[0].get_xlabel() == "hysteresis.high (probability)"
        assert figure.axes[0].get_ylabel() == "F1 on validation clips (ratio)"

    @pytest.mark.parametrize("table", [{}, {"a": []}])
    def test_an_empty_table_is_refused(self, table):
        with pytest.raises(DataError, match="no thresholds"):
            plot_thresholds(table)


GRID = FrameGrid(0.02, 0.01)


def mask(scale: int, frames: int = 100, bands: int = 16, low: float = 0.0) -> AttentionMap:
    """A map of cells of `scale` frames and bands, at `low` but in the cell of 1.30 s."""
    values = np.full((-(-frames // scale), bands // scale), low, dtype=np.float32)
    values[int(1.30 / (0.02 * scale))] = low + 0.5
    return AttentionMap(values, GRID.reduced(scale))


def masks(**options) -> dict[str, AttentionMap]:
    return {
        "mask 1" if scale == 1 else f"mask 1/{scale}": mask(scale, **options)
        for scale in (1, 2, 4, 8)
    }


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def boxes(axes):
    from matplotlib.patches import Rectangle

    return [
        (round(box.get_x(), 6), round(box.get_x() + box.get_width(), 6), box.get_edgecolor())
        for box in axes.patches
        if isinstance(box, Rectangle)
    ]


class TestAttention:
    found = (Event(1.28, 1.40, "babycry", 0.93),)
    reference = (Event(1.25, 1.35, "babycry"), Event(0.2, 0.5, "cough"))

    def test_curves_and_maps_share_the_time_axis(self, tmp_path):
        maps = {
            "time": AttentionMap(np.linspace(0, 1, 100)[:, None], GRID),
            "spectral": AttentionMap(np.ones((100, 12)), GRID),
        }
        figure = plot_attention(
            noise(), SAMPLE_RATE, maps, title="x", path=tmp_path / "new" / "a.png"
        )
        spectrogram, curve, image = figure.axes[0], panel(figure, "time"), panel(figure, "spectral")
        assert spectrogram.get_xlim() == curve.get_xlim() == image.get_xlim() == (0.0, 2.0)
        assert curve.get_ylabel() == "weight"
        np.testing.assert_allclose(curve.lines[0].get_xdata()[:3], [0.01, 0.03, 0.05])
        assert image.get_ylabel() == "feature (index)"
        assert image.get_xlabel() == "time (s)"
        assert image.images[0].get_extent() == pytest.approx((0.0, 2.0, -0.5, 11.5))
        assert png_size(tmp_path / "new" / "a.png")[0] >= 1200
        assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]

    @pytest.mark.parametrize(
        ("scale", "end", "cell"),
        [(1, 2.0, (1.30, 1.32)), (2, 2.0, (1.28, 1.32)), (4, 2.0, (1.28, 1.36)),
         (8, 2.08, (1.28, 1.44))],
    )  # fmt: skip
    def test_an_event_stands_where_the_maps_own_grid_has_it(self, scale, end, cell):
        figure = plot_attention(noise(), SAMPLE_RATE, {"mask": mask(scale)})
        image = panel(figure, "mask").images[0]
        left, right, low, high = image.get_extent()
        assert (left, right) == pytest.approx((0.0, end))
        assert high - low == 16 / scale
        pixels = image.get_array()
        column = int(pixels[0].argmax())
        width = (right - left) / pixels.shape[1]
        assert (left + column * width, left + (column + 1) * width) == pytest.approx(cell)

    def test_maps_of_one_kind_share_a_colour_scale_and_its_bar(self):
        maps = {**masks(), "mask 1/4": mask(4, low=0.3), "weights": mask(1, low=2.0)}
        figure = plot_attention(noise(), SAMPLE_RATE, maps)
        for name in ("mask 1", "mask 1/2", "mask 1/4", "mask 1/8"):
            assert panel(figure, name).images[0].get_clim() == pytest.approx((0.0, 0.8))
        assert panel(figure, "weights").images[0].get_clim() == pytest.approx((2.0, 2.5))
        bars = [axes for axes in figure.axes if axes.get_ylabel() == "weight"]
        assert [axes.get_ylim() for axes in bars] == [
            pytest.approx((0.0, 0.8)),
            pytest.approx((2.0, 2.5)),
        ]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("mask 1", "mask"), ("mask 1/8", "mask"), ("layer_3", "layer"), ("head attention",) * 2,
         ("self_attention",) * 2, ("1/2", "1/2")],
    )  # fmt: skip
    def test_a_kind_is_a_name_without_its_number(self, name, kind):
        assert map_kind(name) == kind

    def test_reference_events_are_boxes_through_every_picture(self):
        maps = {**masks(), "level": AttentionMap(np.ones((100, 1)), GRID)}
        figure = plot_attention(noise(), SAMPLE_RATE, maps, make_prediction(), self.reference)
        green, pink = to_rgba(TARGET_BOX_COLOUR), to_rgba(OTHER_BOX_COLOUR)
        for axes in (figure.axes[0], *(panel(figure, name) for name in masks())):
            assert boxes(axes) == [(0.2, 0.5, pink), (1.25, 1.35, green)]
        assert boxes(panel(figure, "level")) == []
        assert [text.get_text() for text in figure.axes[0].texts] == ["cough", "babycry"]

    def test_events_that_crowd_are_named_once(self):
        shots = [Event(0.1 * i, 0.1 * i + 0.02, "gunshot") for i in (1, 2, 15)]
        figure = plot_attention(noise(), SAMPLE_RATE, masks(), make_prediction(), shots)
        assert len(boxes(figure.axes[0])) == 3
        assert [text.get_text() for text in figure.axes[0].texts] == ["gunshot"] * 2

    def test_probabilities_thresholds_and_events_stand_below(self):
        figure = plot_attention(
            noise(), SAMPLE_RATE, masks(), make_prediction(events=self.found), self.reference,
            thresholds={"gunshot": (0.4, 0.2)},
        )  # fmt: skip
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert [title for title in titles if title] == [
            *masks(),
            *(f"output: {label}" for label in LABELS),
        ]
        gunshot = panel(figure, "output: gunshot")
        assert gunshot.lines[0].get_ydata().max() == np.float32(0.9)
        assert [line.get_ydata()[0] for line in gunshot.lines[1:]] == [0.4, 0.2]
        events = figure.axes[-1]
        spans = sorted(
            tuple(np.round(path.get_extents().intervalx, 3))
            for bars in events.collections
            for path in bars.get_paths()
        )
        assert spans == [(1.25, 1.35), (1.28, 1.40)]
        assert events.get_xlabel() == "time (s)"

    def test_without_a_reference_there_is_neither_row_nor_box(self):
        prediction = make_prediction(events=self.found)
        figure = plot_attention(noise(), SAMPLE_RATE, masks(), prediction)
        texts = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
        assert texts == ["found, with score"]
        assert not any(boxes(axes) for axes in (figure.axes[0], panel(figure, "mask 1")))

    def test_a_part_of_the_recording_keeps_its_times(self):
        """From 1.20 to 1.50 s; what lies outside changes neither extent nor colours."""
        loud = mask(8)
        loud.values[0] = 9.0
        figure = plot_attention(
            noise(0.3), SAMPLE_RATE, {"mask 1/8": loud, "mask 1": mask(1)},
            make_prediction(events=(*self.found, Event(0.1, 0.2, "gunshot"))),
            [*self.reference, Event(1.45, 1.6, "gunshot")], start_seconds=1.2,
        )  # fmt: skip
        assert figure.axes[0].get_xlim() == pytest.approx((1.2, 1.5))
        assert figure.axes[0].images[0].get_extent()[:2] == pytest.approx((1.2, 1.5))
        coarse, fine = (panel(figure, name).images[0] for name in ("mask 1/8", "mask 1"))
        assert coarse.get_extent()[:2] == pytest.approx((1.12, 1.60))
        assert fine.get_extent()[:2] == pytest.approx((1.20, 1.50))
        assert coarse.get_clim() == fine.get_clim() == pytest.approx((0.0, 0.5))
        times = panel(figure, "output: babycry").lines[0].get_xdata()
        assert (times[0], times[-1]) == pytest.approx((1.21, 1.49))
        assert [box[:2] for box in boxes(figure.axes[0])] == [(1.25, 1.35), (1.45, 1.6)]
        assert [text.get_text() for text in figure.axes[-1].texts] == ["0.93"]

    def test_a_long_map_is_thinned_and_keeps_its_peak(self):
        values = np.zeros((100_000, 4))
        values[77_777] = 1.0
        long = AttentionMap(values, GRID)
        rate = 100
        figure = plot_attention(np.ones(2000 * rate), rate, {"mask": long})
        image = panel(figure, "mask").images[0]
        pixels = image.get_array()
        assert pixels.shape[1] <= 2400
        left, right = image.get_extent()[:2]
        width = (right - left) / pixels.shape[1]
        seconds = left + (int(pixels[0].argmax()) + 0.5) * width
        assert abs(seconds - (77_777 + 0.5) * 0.02) <= width / 2

    @pytest.mark.parametrize(
        "maps",
        [
            {},
            {"x": AttentionMap(np.ones((1, 2, 3)), GRID)},
            {"x": AttentionMap(np.ones((9, 0)), GRID)},
            {f"x{index}": AttentionMap(np.ones((9, 1)), GRID) for index in range(9)},
        ],
    )
    def test_other_maps_are_refused(self, maps):
        with pytest.raises(DataError, match="attention map"):
            plot_attention(noise(), SAMPLE_RATE, maps)

    def test_maps_that_are_constant_empty_or_not_finite_can_be_drawn(self, tmp_path):
        maps = {
            "constant": AttentionMap(np.full((100, 2), 0.5), GRID),
            "empty": AttentionMap(np.zeros((0, 2)), GRID),
            "gaps": AttentionMap(np.full((100, 2), np.nan), GRID),
        }
        plot_attention(noise(), SAMPLE_RATE, maps, path=tmp_path / "a.svg")
        assert (tmp_path / "a.svg").stat().st_size > 0


class TestFeatureAxis:
    def axes(self, map_, bands=None, name="mask"):
        return panel(plot_attention(noise(), SAMPLE_RATE, {name: map_}, bands=bands), name)

    @pytest.mark.parametrize(("scale", "htk"), [("htk", True), ("slaney", False)])
    def test_a_band_stands_at_its_filters_peak(self, scale, htk):
        librosa = pytest.importorskip("librosa", reason='needs "sedsdk[dev]"')
        peaks = librosa.mel_frequencies(64 + 2, fmin=50, fmax=14000, htk=htk)[1:-1]
        axis = BandAxis(64, (50.0, 14000.0), scale)
        for band in (0, 7, 40, 63):
            assert axis.share(peaks[band]) == pytest.approx((band + 0.5) / 64, abs=1e-6)

    def test_joined_bands_are_labelled_in_kilohertz(self):
        bands = BandAxis(64, (0.0, 4000.0))
        axes = self.axes(mask(4), bands)  # 4 features of 16 bands each
        assert axes.get_ylabel() == "kHz (mel)"
        assert [text.get_text() for text in axes.get_yticklabels()] == ["0.25", "1"]
        np.testing.assert_allclose(axes.get_yticks(), [4 * bands.share(250), 4 * bands.share(1000)])

    def test_bands_of_unknown_frequency_are_shares(self):
        axes = self.axes(mask(4), BandAxis(64))
        assert axes.get_ylabel() == "share of bands"
        np.testing.assert_allclose(axes.get_yticks(), [0, 2, 4])

    @pytest.mark.parametrize(("bands", "name"), [(BandAxis(63), "mask"), (BandAxis(64), "head x")])
    def test_what_is_no_band_is_numbered(self, bands, name):
        assert self.axes(mask(4), bands, name).get_ylabel() == "feature (index)"

    def test_weights_between_frames_have_times_on_both_axes(self):
        axes = self.axes(AttentionMap(np.eye(100), GRID), BandAxis(64))
        assert axes.get_ylabel() == "looks at (s)"
        assert axes.images[0].get_extent() == pytest.approx((0.0, 2.0, 0.0, 2.0))

    def test_what_could_be_times_or_bands_is_numbered(self):
        axes = self.axes(AttentionMap(np.eye(100), GRID), BandAxis(200))
        assert axes.get_ylabel() == "feature (index)"

    def test_classes_are_named(self):
        map_ = AttentionMap(np.ones((100, 3)), GRID, LABELS)
        axes = self.axes(map_, BandAxis(63), "head attention")
        assert [text.get_text() for text in axes.get_yticklabels()] == list(LABELS)
        assert axes.get_yticks().tolist() == [0.5, 1.5, 2.5]


def test_drawing_leaves_pyplot_alone():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from sedsdk.plots import plot_thresholds;"
        "plot_thresholds({'a': [(0.1, 0.2)]}).canvas.draw();"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
