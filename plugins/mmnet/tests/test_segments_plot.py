"""The picture of tags, segments and attention: panels hold the numbers they were given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sedsdk_mmnet

import sedsdk
from sedsdk import ClipPrediction, DataError, Event, FrameGrid, Host, compose, part
from sedsdk.plots.style import class_colour
from sedsdk.runtime.attention import AttentionMap, predict_with_attention
from sedsdk.runtime.bundle import save_bundle

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')

from sedsdk_mmnet.plots import Heard, chosen_labels, plot_segments

RATE = 8000
SECONDS = 2.0
LABELS = ("bark", "car", "siren")
GRID = FrameGrid(0.2, 0.1)
REAL = Path(__file__).resolve().parents[4] / "shared" / "real"


def noise(seconds: float = SECONDS) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))


def heard(
    clip: Sequence[float] = (0.9, 0.2, 0.6),
    labels: tuple[str, ...] = LABELS,
    tags: tuple[str, ...] | None = None,
    attention: np.ndarray | None = None,
    seed: int = 0,
) -> Heard:
    frames = np.random.default_rng(seed).uniform(0, 1, (10, len(labels)))
    prediction = ClipPrediction(labels, np.array(clip), frames, GRID, tags=tags)
    if attention is None:
        return Heard(prediction)
    names = labels if attention.shape[1] == len(labels) else ()
    return Heard(prediction, AttentionMap(attention, GRID, names))


def panel(figure: Any, name: str) -> Any:
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left") == name)
    return found


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def curves(axes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Model → heights and borders of its steps."""
    return {
        patch.get_label(): tuple(patch.get_data()[:2])
        for patch in axes.patches
        if hasattr(patch, "get_data")
    }


class TestSegments:
    def test_each_segment_is_a_step_as_long_as_it_is(self) -> None:
        models = {"ATT": heard(), "M&mnet": heard(seed=1)}
        figure = plot_segments(noise(), RATE, models, labels=["siren", "bark"])
        assert titles(figure)[1:] == ["segment probability: siren", "segment probability: bark"]
        for label in ("siren", "bark"):
            found = curves(panel(figure, f"segment probability: {label}"))
            for name, model in models.items():
                heights, borders = found[name]
                column = LABELS.index(label)
                np.testing.assert_allclose(heights, model.prediction.frames[:, column])
                np.testing.assert_allclose(borders, 0.2 * np.arange(11), atol=1e-12)

    def test_axes_have_names_and_units_and_share_time(self) -> None:
        figure = plot_segments(noise(), RATE, {"a": heard(attention=np.ones((10, 1)))})
        named = {name: panel(figure, name).get_ylabel() for name in titles(figure)}
        assert named == {
            "clip tags": "",
            "segment probability: bark": "probability",
            "segment probability: siren": "probability",
            "attention": "weight / mean",
        }
        assert figure.axes[0].get_ylabel() == "frequency (kHz, mel)"
        assert panel(figure, "attention").get_xlabel() == "time (s)"
        for name in titles(figure)[1:]:
            assert panel(figure, name).get_xlim() == (0.0, SECONDS)

    def test_the_reference_is_boxes_above_and_grey_below(self) -> None:
        reference = [Event(0.4, 0.8, "siren"), Event(1.0, 1.2, "cough")]
        models = {"a": heard(attention=np.ones((10, 1)))}
        figure = plot_segments(noise(), RATE, models, reference)
        boxes = [(box.get_x(), box.get_width()) for box in figure.axes[0].patches]
        np.testing.assert_allclose(boxes, [(0.4, 0.4), (1.0, 0.2)])
        assert titles(figure)[1:] == ["segment probability: siren", "attention"]

        def shaded(name: str) -> list[float]:
            patches = panel(figure, name).patches
            return [patch.get_x() for patch in patches if hasattr(patch, "get_x")]

        assert shaded("segment probability: siren") == [0.4]
        assert shaded("attention") == [0.4, 1.0]

    def test_a_model_without_the_class_has_no_curve(self) -> None:
        models = {"a": heard(), "b": heard((0.1, 0.2), ("bark", "dog"))}
        figure = plot_segments(noise(), RATE, models, labels=["siren"])
        assert list(curves(panel(figure, "segment probability: siren"))) == ["a"]

    def test_long_curves_keep_their_peaks(self) -> None:
        frames = np.zeros((50_000, 1))
        frames[33_333] = 1.0
        grid = FrameGrid(0.01, 0.005)
        model = Heard(ClipPrediction(("siren",), np.array([1.0]), frames, grid))
        figure = plot_segments(np.ones(500 * 100), 100, {"a": model})
        heights, borders = curves(panel(figure, "segment probability: siren"))["a"]
        assert len(heights) <= 2400
        (peak,) = np.flatnonzero(heights)
        assert borders[peak] <= 333.335 <= borders[peak + 1]


class TestAttention:
    def test_weights_are_divided_by_their_mean(self) -> None:
        weights = np.random.default_rng(3).dirichlet(np.ones(10))[:, np.newaxis]
        models = {"M&mnet": heard(attention=384 * weights), "ATT": heard(attention=weights)}
        found = curves(panel(plot_segments(noise(), RATE, models), "attention"))
        for name in models:
            np.testing.assert_allclose(found[name][0], 10 * weights[:, 0])

    def test_weights_of_classes_have_panels_of_their_own(self) -> None:
        weights = np.random.default_rng(3).dirichlet(np.ones(10), 3).T
        models = {"shared": heard(attention=np.ones((10, 1))), "own": heard(attention=weights)}
        figure = plot_segments(noise(), RATE, models, labels=["car"])
        assert titles(figure)[2:] == ["attention", "attention: car"]
        assert list(curves(panel(figure, "attention"))) == ["shared"]
        found = curves(panel(figure, "attention: car"))
        np.testing.assert_allclose(found["own"][0], 10 * weights[:, 1])

    def test_without_any_there_is_no_panel(self) -> None:
        assert "attention" not in titles(plot_segments(noise(), RATE, {"a": heard()}))


class TestTags:
    def cells(self, figure: Any) -> dict[tuple[int, int], tuple[float, str]]:
        """(row, column) → share of the bar that is filled, and what is written."""
        axes = panel(figure, "clip tags")
        texts = {
            (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
            for text in axes.texts
        }
        filled = {
            (int(bar.get_y()), int(bar.get_x())): bar.get_width() / 0.92
            for bar in axes.patches
            if bar.get_alpha()
        }
        return {place: (round(filled[place], 6), texts[place]) for place in texts}

    def test_a_post_processor_decides_else_one_half(self) -> None:
        models = {"a": heard(), "b": heard(tags=("car",))}
        figure = plot_segments(noise(), RATE, models)
        assert self.cells(figure) == {
            (0, 0): (0.9, "0.90 ✓"), (0, 1): (0.2, "0.20"), (0, 2): (0.6, "0.60 ✓"),
            (1, 0): (0.9, "0.90"), (1, 1): (0.2, "0.20 ✓"), (1, 2): (0.6, "0.60"),
        }  # fmt: skip

    def test_with_a_reference_mistakes_are_named(self) -> None:
        reference = [Event(0.0, 1.0, "car"), Event(0.0, 1.0, "siren")]
        figure = plot_segments(noise(), RATE, {"a": heard()}, reference)
        words = {place[1]: text for place, (_, text) in self.cells(figure).items()}
        assert words == {0: "0.90 ✓ false", 1: "0.20 missed", 2: "0.60 ✓"}
        axes = panel(figure, "clip tags")
        weights = {text.get_text(): text.get_fontweight() for text in axes.get_xticklabels()}
        assert weights == {"bark": "normal", "car": "bold", "siren": "bold"}

    def test_nothing_is_there_makes_every_tag_false(self) -> None:
        figure = plot_segments(noise(), RATE, {"a": heard()}, [])
        assert [text for _, text in self.cells(figure).values()] == [
            "0.90 ✓ false", "0.20", "0.60 ✓ false"
        ]  # fmt: skip

    def test_models_have_the_colours_of_their_curves(self) -> None:
        figure = plot_segments(noise(), RATE, {"a": heard(), "b": heard()})
        rows = panel(figure, "clip tags").get_yticklabels()
        assert [(text.get_text(), text.get_color()) for text in rows] == [
            ("a", class_colour(0)), ("b", class_colour(1))
        ]  # fmt: skip

    def test_of_many_classes_those_that_matter_are_shown(self) -> None:
        labels = tuple(f"class {index:02}" for index in range(17))
        clip = np.linspace(0.0, 0.4, 17)
        model = heard(clip, labels, tags=("class 01",))
        figure = plot_segments(
            noise(), RATE, {"a": model}, [Event(0, 1, "class 00")], ["class 02"], "x"
        )
        names = [text.get_text() for text in panel(figure, "clip tags").get_xticklabels()]
        assert names == [f"class {index:02}" for index in (0, 1, 2, 12, 13, 14, 15, 16)]
        assert figure.get_suptitle() == "x   (9 more classes not shown)"


class TestChosenLabels:
    def test_named_ones_come_first(self) -> None:
        events = [Event(0, 1, "bark")]
        assert chosen_labels({"a": heard()}, events, ["siren", "car", "siren"]) == ["siren", "car"]

    def test_else_those_of_the_reference_that_are_known(self) -> None:
        events = [Event(0, 1, "cough"), Event(0, 1, "siren"), Event(0, 1, "bark")]
        assert chosen_labels({"a": heard()}, events, ()) == ["bark", "siren"]

    def test_else_what_any_model_tags(self) -> None:
        models = {"a": heard(tags=("car",)), "b": heard(tags=("siren",))}
        assert chosen_labels(models, [Event(0, 1, "cough")], ()) == ["car", "siren"]

    def test_else_the_most_probable_of_the_first(self) -> None:
        labels = ("a", "b", "c", "d", "e")
        model = heard((0.1, 0.4, 0.2, 0.3, 0.0), labels)
        assert chosen_labels({"x": model, "y": heard(tags=())}, None, ()) == ["b", "c", "d"]

    def test_a_class_that_no_model_has_is_refused(self) -> None:
        with pytest.raises(DataError, match=r'no model has a class "sirne". Did you mean "siren"'):
            chosen_labels({"a": heard()}, None, ["sirne"])


@pytest.mark.parametrize("count", [0, 4])
def test_a_picture_holds_one_to_three_models(count: int) -> None:
    models = {str(index): heard() for index in range(count)}
    with pytest.raises(DataError, match=f"1 to 3 models, got {count}"):
        plot_segments(noise(), RATE, models)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command line in this process, with this plugin alone."""
    from typer.testing import CliRunner

    from sedsdk.cli.application import application

    host = Host(plugins=[("mmnet", sedsdk_mmnet)], discover=False, strict=True)
    for module in ("sedsdk.host", "sedsdk.runtime.bundle"):
        monkeypatch.setattr(f"{module}.default_host", lambda: host)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(application, [str(word) for word in words])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Keeps what the command draws, and the figures."""
    from sedsdk_mmnet import plots

    kept: list[tuple[Any, Any]] = []
    draw = plots.plot_segments

    def keep(*arguments: Any, **options: Any) -> Any:
        kept.append((arguments, draw(*arguments, **options)))
        return kept[-1][1]

    monkeypatch.setattr(plots, "plot_segments", keep)
    return kept


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained detectors with a head of each sort."""
    folder = tmp_path_factory.mktemp("detectors")
    host = Host(plugins=[("mmnet", sedsdk_mmnet)], discover=False)
    crnn = part("crnn", channels=[4], frequency_pooling=[16], rnn_units=4)
    found = {}
    for head, encoder in (
        (part("macro_micro"), part("mmnet_resnet")),
        (part("macro_micro_ms"), part("mmnet_resnet", pyramid=True)),
        (part("macro"), part("mmnet_convnet")),
        (part("att"), part("mmnet_resnet")),
        (part("spda"), part("mmnet_resnet")),
        (part("clip_bce", pooling="attention"), crnn),
    ):
        pipeline = compose(
            LABELS,
            part("log_mel", sample_rate=RATE, n_mels=16, n_fft=512),
            encoder,
            head,
            postprocessors=[part("tag_threshold", threshold=0.0)],
            host=host,
            seed=0,
        )
        found[head.part] = save_bundle(pipeline, folder / head.part)
    return found


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    import soundfile

    soundfile.write(tmp_path / "noise.wav", noise(4.0), RATE)
    return tmp_path / "noise.wav"


class TestCommand:
    def test_three_models_are_drawn_with_the_reference(
        self, run: Any, drawn: Any, detectors: Any, recording: Path, tmp_path: Path
    ) -> None:
        reference = tmp_path / "reference.csv"
        reference.write_text(
            "filename,onset,offset,event_label\nnoise.wav,1,1.25,siren\n", encoding="utf-8"
        )
        path = tmp_path / "pictures" / "x.png"
        result = run(
            "plot", "segments", detectors["macro_micro"], recording, "--beside", detectors["macro"],
            "--beside", detectors["att"], "--reference", reference, "--out", path,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{path}\n"
        assert path.read_bytes().startswith(b"\x89PNG")
        (_, _, models, events, *_), figure = drawn[0]
        assert list(models) == ["macro_micro", "macro", "att"]
        assert events == [Event(1.0, 1.25, "siren")]
        assert models["macro"].tags == LABELS  # any probability is above the saved threshold
        assert list(curves(panel(figure, "attention"))) == ["macro_micro", "att"]

    @pytest.mark.parametrize("head", ["macro_micro", "macro_micro_ms", "att", "spda", "clip_bce"])
    def test_a_head_that_weighs_segments_shows_it(
        self, run: Any, drawn: Any, detectors: Any, recording: Path, head: str
    ) -> None:
        folder = detectors[head]
        result = run(
            "plot", "segments", folder, recording, "--label", "car",
            "--out", recording.with_suffix(".svg"),
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        _, figure = drawn[0]
        own = "attention: car" if head == "clip_bce" else "attention"
        _, maps = predict_with_attention(sedsdk.load(folder), recording)
        weights = maps["head attention"].values
        column = weights[:, LABELS.index("car") if head == "clip_bce" else 0]
        (heights, borders) = curves(panel(figure, own))[head]
        np.testing.assert_allclose(heights, column / column.mean(), rtol=1e-5)
        assert borders[0] == pytest.approx(0.0, abs=0.011)
        assert borders[-1] == pytest.approx(4.0, abs=0.33)

    def test_the_name_is_the_recordings_if_none_is_given(
        self, run: Any, detectors: Any, recording: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(recording.parent)
        result = run("plot", "segments", detectors["macro"], "noise.wav")
        assert result.stdout == "noise.segments.png\n"
        assert (recording.parent / "noise.segments.png").stat().st_size > 10_000

    def test_mistakes_are_named(self, run: Any, detectors: Any, recording: Path) -> None:
        folder = detectors["macro"]
        result = run("plot", "segments", folder, recording, "--label", "brak")
        assert (result.exit_code, 'Did you mean "bark"' in result.stderr) == (1, True)
        many = [word for _ in range(3) for word in ("--beside", folder)]
        result = run("plot", "segments", folder, recording, *many)
        assert (result.exit_code, "1 to 3 models, got 4" in result.stderr) == (1, True)
        result = run("plot", "segments", folder, recording.with_name("none.wav"))
        assert (result.exit_code, "none.wav" in result.stderr) == (1, True)

    @pytest.mark.skipif(not REAL.is_dir(), reason="needs the real recordings in ../shared/real")
    def test_a_real_recording_is_drawn(
        self, run: Any, drawn: Any, detectors: Any, tmp_path: Path
    ) -> None:
        audio = sorted((REAL / "events_other" / "siren").glob("*.flac"))[0]
        result = run("plot", "segments", detectors["macro_micro"], audio,
                     "--out", tmp_path / "x.png")  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert titles(drawn[0][1])[-1] == "attention"


def test_the_commands_module_is_light() -> None:
    code = (
        "import sys, sedsdk_mmnet.commands;"
        "heavy = 'torch numpy matplotlib scipy pydantic'.split();"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
