"""The pictures of EDC: panels hold the numbers they were given, and ranges lie in their place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_edc

import sedsdk
from sedsdk import ClipPrediction, DataError, Event, FrameGrid, Host, compose, part
from sedsdk.audio import mel_filters
from sedsdk.plots.bands import BandAxis
from sedsdk.plots.ranges import MARKED_FRAMES
from sedsdk.runtime.attention import AttentionMap
from sedsdk.runtime.bundle import save_bundle

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')

from sedsdk_edc.plots import Conditioning, plot_edc

RATE = 8000
HOP = 0.02
GRID = FrameGrid(HOP)
FRAMES, BANDS = 120, 16
REAL = Path(__file__).resolve().parents[4] / "shared" / "real"


def log_mel(frames: int = FRAMES) -> np.ndarray:
    """Noise with a loud stretch in its middle, in natural logarithms."""
    values = np.random.default_rng(0).normal(-12.0, 1.0, (frames, BANDS))
    values[frames // 3 : frames // 2] += 6.0
    return values


def clip(frames: int = FRAMES, alpha: float = 7.0) -> Conditioning:
    return Conditioning.of(log_mel(frames), GRID, alpha, BandAxis(BANDS, (0.0, RATE / 2)))


def prediction(labels: tuple[str, ...] = ("alarm", "bell"), frames: int = FRAMES) -> ClipPrediction:
    values = np.random.default_rng(1).uniform(0, 1, (frames, len(labels))).astype("float32")
    return ClipPrediction(labels, values.max(0), values, GRID)


def panel(figure: Any, name: str) -> Any:
    (found,) = (axes for axes in figure.axes if name in axes.get_title(loc="left"))
    return found


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


class TestPictures:
    def test_before_and_after_have_the_clips_numbers_on_one_colour_scale(self) -> None:
        figure = plot_edc(clip())
        before = panel(figure, "log-mel").images[0]
        after = panel(figure, "after EDC").images[0]
        values = log_mel()
        scaled = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(before.get_array(), scaled.T)
        np.testing.assert_allclose(after.get_array(), sedsdk_edc.condition(values, 7.0).T)
        assert before.get_clim() == after.get_clim()
        for image in (before, after):
            assert image.get_extent() == pytest.approx((-0.01, 2.39, 0, BANDS))

    def test_axes_have_names_and_units(self) -> None:
        figure = plot_edc(clip(), prediction())
        assert titles(figure) == [
            "(a) log-mel spectrogram, scaled to [0, 1]",
            "(b) after EDC, α = 7 frames",
            "(c) effective range of evenly spaced frames (line: the frame)",
            "(d) effective range of every frame",
            "(e) frame probability of each class",
        ]
        wanted = ["kHz (mel)", "kHz (mel)", "kHz (mel)", "reach (frames)", "probability"]
        assert [panel(figure, name).get_ylabel() for name in titles(figure)] == wanted
        assert panel(figure, "(e)").get_xlabel() == "time (s)"
        right = {axes.get_ylabel() for axes in figure.axes}
        assert {"level (scaled)", "reach (ms)"} <= right
        assert {panel(figure, name).get_xlim() for name in titles(figure)} == {(0.0, 2.39)}

    def test_bottleneck_features_stand_between_before_and_after(self) -> None:
        values = np.random.default_rng(2).normal(0, 3, (FRAMES, 5))
        figure = plot_edc(clip(), bottleneck=AttentionMap(values, GRID))
        assert [title[:3] for title in titles(figure)] == ["(a)", "(b)", "(c)", "(d)", "(e)"]
        image = panel(figure, "(b) bottleneck").images[0]
        np.testing.assert_allclose(image.get_array(), values.T)
        low, high = image.get_clim()
        assert (values < low).mean() == pytest.approx(0.005, abs=0.003)
        assert (values > high).mean() == pytest.approx(0.005, abs=0.003)
        assert panel(figure, "(b)").get_ylabel() == "feature (index)"

    def test_reference_events_are_boxes_in_the_pictures_and_bars_below_probabilities(self) -> None:
        events = [Event(0.5, 1.0, "bell"), Event(1.5, 1.6, "cough")]
        figure = plot_edc(clip(), prediction(), reference=events)
        for name in ("(a)", "(b)"):
            boxes = [(box.get_x(), box.get_width()) for box in panel(figure, name).patches]
            assert boxes == [(0.5, 0.5), (1.5, pytest.approx(0.1))]
        axes = panel(figure, "(e) frame probability of each class (bars: reference)")
        (bars,) = axes.collections
        extents = bars.get_paths()[0].get_extents()
        assert (extents.x0, extents.x1) == (0.5, 1.0)
        assert extents.y1 < 0

    def test_probabilities_are_the_predictions(self) -> None:
        shown = prediction()
        figure = plot_edc(clip(), shown)
        lines = {line.get_label(): line for line in panel(figure, "(e)").lines}
        for column, label in enumerate(shown.labels):
            np.testing.assert_allclose(lines[label].get_ydata(), shown.frames[:, column])
            np.testing.assert_allclose(lines[label].get_xdata(), HOP * np.arange(FRAMES))

    def test_of_many_classes_eight_are_drawn_and_the_rest_counted(self) -> None:
        labels = tuple(f"a class with a long name {index}" for index in range(11))
        figure = plot_edc(clip(), prediction(labels), title="clip")
        assert len(panel(figure, "(e)").get_legend().get_texts()) == 8
        assert figure.get_suptitle() == "clip   (3 more classes not shown)"

    def test_a_span_cuts_every_panel(self) -> None:
        figure = plot_edc(clip(), prediction(), span=(1.0, 1.5))
        assert {panel(figure, name).get_xlim() for name in titles(figure)} == {(1.0, 1.5)}
        left, right, *_ = panel(figure, "(a)").images[0].get_extent()
        assert 0.98 <= left <= 1.0
        assert 1.5 <= right <= 1.52
        times = panel(figure, "(e)").lines[0].get_xdata()
        assert 1.0 - HOP / 2 <= times[0] <= times[-1] <= 1.5 + HOP / 2

    @pytest.mark.parametrize("span", [(3.0, 4.0), (1.0, 1.0), (1.0, 0.5)])
    def test_an_empty_span_is_refused(self, span: tuple[float, float]) -> None:
        with pytest.raises(DataError, match=r"frames from 0.00 to 2.39 s"):
            plot_edc(clip(), span=span)

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_the_file_is_written(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / "pictures" / f"edc.{suffix}"
        plot_edc(clip(), prediction(), path=path)
        assert path.stat().st_size > 10_000

    def test_no_frame_is_refused_and_one_can_be_drawn(self) -> None:
        with pytest.raises(DataError, match="at least one frame"):
            Conditioning.of(np.zeros((0, BANDS)), GRID, 7.0)
        plot_edc(Conditioning.of(np.zeros((1, BANDS)), GRID, 7.0)).canvas.draw()


class TestRanges:
    def test_the_reach_of_each_frame_is_drawn_in_frames_and_milliseconds(self) -> None:
        figure = plot_edc(clip(alpha=20.0))
        first, last = sedsdk_edc.effective_range(log_mel(), 20.0)
        axes = panel(figure, "(d)")
        curves = {patch.get_label(): patch for patch in axes.patches if patch.get_linewidth()}
        own = np.arange(FRAMES)
        for name, reach in (("later frames", last - own), ("earlier frames", first - own)):
            heights, borders, _ = curves[name].get_data()
            np.testing.assert_array_equal(heights, reach)
            np.testing.assert_allclose(borders, HOP * (np.arange(FRAMES + 1) - 0.5))
        assert curves["later frames"].get_data().values.max() > 0
        assert curves["earlier frames"].get_data().values.min() < 0
        (scale,) = (axes for axes in figure.axes if axes.get_ylabel() == "reach (ms)")
        np.testing.assert_allclose(scale.get_ylim(), np.multiply(axes.get_ylim(), 1000 * HOP))
        width = (last - first + 1).mean()
        assert (
            axes.texts[0]
            .get_text()
            .startswith(f"mean width {width:.1f} frames ({20 * width:.0f} ms)")
        )

    def test_marked_bars_cover_their_ranges(self) -> None:
        """Each from the begin of its first frame to the end of its last, the frame inside."""
        figure = plot_edc(clip(alpha=20.0))
        first, last = sedsdk_edc.effective_range(log_mel(), 20.0)
        bars, frames = [], []
        for collection in panel(figure, "(c)").collections:
            for path in collection.get_paths():
                box = path.get_extents()
                (frames if box.width == 0 else bars).append((box.x0, box.x1))
        assert len(bars) == len(frames) == MARKED_FRAMES
        marked = np.rint([time / HOP for time, _ in frames]).astype(int)
        np.testing.assert_allclose(sorted(time for time, _ in frames), np.sort(marked) * HOP)
        wanted = [((first[i] - 0.5) * HOP, (last[i] + 0.5) * HOP) for i in marked]
        np.testing.assert_allclose(sorted(bars), sorted(wanted))
        assert np.diff(np.sort(marked)).max() <= 4

    def test_a_long_recording_keeps_its_widest_ranges(self) -> None:
        own = np.arange(9000)
        first, last = own - (own % 7 == 3), np.minimum(own + (own == 4321) * 5, 8999)
        values = np.random.default_rng(0).uniform(0, 1, (9000, BANDS))
        whole = Conditioning(values, values, first, last, GRID, 7.0, BandAxis(BANDS))
        figure = plot_edc(whole)
        curves = {patch.get_label(): patch for patch in panel(figure, "(d)").patches}
        heights, borders, _ = curves["later frames"].get_data()
        assert len(heights) <= 2400
        assert heights.max() == 5
        assert borders[heights.argmax()] <= 4321 * HOP <= borders[heights.argmax() + 1]
        assert borders[-1] == pytest.approx(HOP * 8999.5)
        assert panel(figure, "(a)").images[0].get_array().shape[1] <= 2400


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command line in this process, with this plugin alone."""
    from typer.testing import CliRunner

    from sedsdk.cli.application import application

    host = Host(plugins=[("edc", sedsdk_edc)], discover=False, strict=True)
    for module in ("sedsdk.host", "sedsdk.runtime.bundle"):
        monkeypatch.setattr(f"{module}.default_host", lambda: host)
    monkeypatch.setattr(sedsdk, "default_host", lambda: host, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(application, [str(word) for word in words])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Keeps what the command draws, and the figures."""
    from sedsdk_edc import plots

    kept: list[tuple[Any, Any]] = []
    draw = plots.plot_edc

    def keep(*arguments: Any, **options: Any) -> Any:
        kept.append((arguments, draw(*arguments, **options)))
        return kept[-1][1]

    monkeypatch.setattr(plots, "plot_edc", keep)
    return kept


def save(folder: Path, name: str, edc: float | None = None, **encoder: Any) -> Path:
    """Saves an untrained detector."""
    options = {"channels": [4], "frequency_pooling": [4], "rnn_units": 4, **encoder}
    pipeline = compose(
        ["alarm", "bell"],
        part("log_mel", sample_rate=RATE, n_mels=BANDS, n_fft=512, hop_seconds=0.01),
        part("crnn", **options),
        "clip_bce",
        conditioners=[] if edc is None else [part("edc", alpha=edc)],
        host=Host(plugins=[("edc", sedsdk_edc)], discover=False),
        seed=0,
    )
    return save_bundle(pipeline, folder / name)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    import soundfile

    samples = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    samples[RATE : RATE + RATE // 4] *= 5
    soundfile.write(tmp_path / "noise.wav", samples, RATE)
    return tmp_path / "noise.wav"


class TestCommand:
    def test_any_recording_is_drawn_without_a_detector(
        self, run: Any, drawn: Any, recording: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "pictures" / "x.png"
        result = run("plot", "edc", recording, "--out", path)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{path}\n"
        assert path.read_bytes().startswith(b"\x89PNG")
        ((conditioning, *rest), figure) = drawn[0]
        assert rest[:3] == [None, None, None]
        assert conditioning.log_mel.shape == (101, 64)
        assert (conditioning.alpha, conditioning.grid) == (7.0, FrameGrid(0.02))
        assert panel(figure, "(a)").get_ylabel() == "kHz (mel)"

    def test_features_are_the_papers(self, run: Any, drawn: Any, recording: Path) -> None:
        """Log energies of 64 mel bands in Hamming windows of 40 ms, every 20 ms, in plain NumPy."""
        import soundfile

        run("plot", "edc", recording, "--out", recording.with_suffix(".svg"))
        samples, _ = soundfile.read(recording)
        padded = np.pad(samples, 160)
        window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(320) / 320)
        frames = np.stack([padded[160 * i : 160 * i + 320] * window for i in range(101)])
        power = np.abs(np.fft.rfft(frames, 2048)) ** 2
        values = np.log(np.maximum(power @ mel_filters(RATE, 2048, 64).T, 1e-7))
        scaled = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(drawn[0][0][0].log_mel, scaled, atol=1e-4)

    def test_a_detector_lends_its_features_and_its_alpha(
        self, run: Any, drawn: Any, recording: Path, tmp_path: Path
    ) -> None:
        detector = save(tmp_path / "run", "detector", edc=12.0)
        beside = save(tmp_path, "attentive", self_attention=True)
        reference = tmp_path / "reference.csv"
        reference.write_text(
            "filename,onset,offset,event_label\nnoise.wav,1,1.25,bell\n", encoding="utf-8"
        )
        result = run(
            "plot", "edc", recording, "--detector", tmp_path / "run", "--beside", beside,
            "--reference", reference, "--from", 0.5, "--to", 1.5, "--out", tmp_path / "x.png",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        (conditioning, predicted, bottleneck, events, *_), figure = drawn[0]
        assert conditioning.alpha == 12.0
        assert conditioning.log_mel.shape == (201, BANDS)
        np.testing.assert_array_equal(
            predicted.frames, sedsdk.load(detector).predict(recording).frames
        )
        assert bottleneck.values.shape == (201, 16)
        assert events == [Event(1.0, 1.25, "bell")]
        assert titles(figure)[1].startswith("(b) bottleneck")
        assert panel(figure, "(a)").get_xlim() == (0.5, 1.5)

    def test_another_alpha_than_the_detectors_is_warned_about(
        self, run: Any, drawn: Any, recording: Path, tmp_path: Path
    ) -> None:
        detector = save(tmp_path, "edc", edc=12.0)
        result = run(
            "plot", "edc", recording, "--detector", detector, "--alpha", 5,
            "--out", tmp_path / "x.svg",
        )  # fmt: skip
        assert "trained with α = 12; drawing 5" in result.stderr
        assert drawn[0][0][0].alpha == 5.0

    def test_a_detector_without_edc_is_warned_about(
        self, run: Any, drawn: Any, recording: Path, tmp_path: Path
    ) -> None:
        result = run(
            "plot", "edc", recording, "--detector", save(tmp_path, "plain"),
            "--out", tmp_path / "x.svg",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert "trained without EDC" in result.stderr
        assert drawn[0][0][0].log_mel.shape[1] == 64

    def test_a_model_without_self_attention_has_no_bottleneck(
        self, run: Any, recording: Path, tmp_path: Path
    ) -> None:
        result = run("plot", "edc", recording, "--beside", save(tmp_path, "plain"))
        assert result.exit_code == 1
        assert "self_attention: true" in result.stderr

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("--alpha", "0"), 2, "above 0"),
            (("--alpha", "nan"), 2, "above 0"),
            (("--alpha", "inf"), 2, "above 0"),
            (("--from", "5"), 1, "nothing lies between 5 and"),
            (("--out", "x.gif"), 1, "must end in .png"),
        ],
    )
    def test_mistakes_are_named(
        self, run: Any, recording: Path, words: tuple[str, str], code: int, message: str
    ) -> None:
        result = run("plot", "edc", recording, *words)
        assert result.exit_code == code
        assert message in result.stderr

    def test_the_name_is_the_recordings_if_none_is_given(
        self, run: Any, recording: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(recording.parent)
        assert run("plot", "edc", recording.name).stdout == "noise.edc.png\n"
        assert (recording.parent / "noise.edc.png").stat().st_size > 10_000

    @pytest.mark.skipif(not REAL.is_dir(), reason="needs the real recordings in ../shared/real")
    def test_a_real_recording_of_another_rate_is_drawn(
        self, run: Any, drawn: Any, tmp_path: Path
    ) -> None:
        """Gunshots at 12 kHz: what follows each within its range is joined to it."""
        audio = next((REAL / "strong_gunshot").glob("*.flac"))
        reference = REAL / "strong_gunshot" / "reference.csv"
        result = run("plot", "edc", audio, "--reference", reference, "--out", tmp_path / "x.png")
        assert result.exit_code == 0, result.stderr
        (conditioning, _, _, events, *_), figure = drawn[0]
        assert len(panel(figure, "(a)").patches) == len(events) >= 1
        own = np.arange(len(conditioning.first))
        assert (conditioning.first <= own).all()
        assert (own <= conditioning.last).all()
        assert (conditioning.last - conditioning.first).max() <= 2 * (7 / np.e + 1)


def test_the_commands_module_is_light() -> None:
    code = (
        "import sys, sedsdk_edc.commands;"
        "heavy = 'torch numpy matplotlib scipy pydantic'.split();"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
