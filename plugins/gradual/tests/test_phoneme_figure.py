"""`sedsdk reproduce gradual --figure phonemes`: picture, page and numbers, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import sedsdk_gradual
import soundfile
from made_hearing import RATE, tone, write_hearing
from sedsdk_gradual.phone_counts import ClassPhones, PhonemeAnalysis, PhoneShare
from typer.testing import CliRunner, Result

from sedsdk import ConfigError, DataError, FigureRequest, Host
from sedsdk import host as host_module

pytest.importorskip("matplotlib", reason='needs the extra "plots": pip install "sedsdk[plots]"')

from sedsdk_gradual.phoneme_figure import draw, plot_phonemes


def heard(label: str, shares: dict[str, float], events: int = 3) -> ClassPhones:
    found = tuple(PhoneShare(name, 1, share, 1, 0.03, 1) for name, share in shares.items())
    return ClassPhones(label, events, 1.25, 3.75, 125, found)


def analysis(*classes: ClassPhones) -> PhonemeAnalysis:
    return PhonemeAnalysis("tones", 0.03, 0.0, classes)


CLASSES = (
    heard("babycry", {"AH": 0.6, "SIL": 0.3, "N": 0.1}),
    heard("gunshot", {"SIL": 0.9, "K": 0.1}),
    heard("speech", {"N": 0.5, "AH": 0.3, "SIL": 0.2}),
)


def bars(axes: object) -> list[float]:
    return [round(bar.get_width(), 6) for bar in axes.patches]  # type: ignore[attr-defined]


class TestPicture:
    def test_bars_are_the_shares_in_per_cent_in_one_order(self) -> None:
        figure = plot_phonemes(analysis(*CLASSES))
        first, second, third = figure.axes
        # sums over the classes: SIL 1.4, AH 0.9, N 0.6, K 0.1
        assert [t.get_text() for t in first.get_yticklabels()] == ["SIL", "AH", "N", "K"]
        assert bars(first) == [30, 60, 10, 0]
        assert bars(second) == [90, 0, 0, 10]
        assert bars(third) == [20, 30, 50, 0]
        assert first.yaxis_inverted()
        assert len({axes.get_xlim() for axes in figure.axes}) == 1
        assert first.get_xlim()[1] > 90
        written = [text.get_text() for text in second.texts]
        assert written == ["90", "10", "3 events, median 1.25 s"]

    def test_axes_classes_and_the_model_are_named_and_every_class_has_its_colour(self) -> None:
        figure = plot_phonemes(analysis(*CLASSES))
        assert figure.get_supxlabel() == "share of the frames of the class (%)"
        assert figure.axes[0].get_ylabel() == "phone, most frequent first"
        assert 'model "tones"' in figure.get_suptitle()
        assert [a.get_title(loc="left") for a in figure.axes] == ["babycry", "gunshot", "speech"]
        assert len({axes.patches[0].get_facecolor() for axes in figure.axes}) == 3
        assert "3 recordings" in figure.axes[2].texts[-1].get_text()

    def test_rare_phones_are_one_bar(self) -> None:
        figure = plot_phonemes(analysis(*CLASSES), most_phones=2)
        names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
        assert names == ["SIL", "AH", "2 others"]
        assert [bars(axes)[-1] for axes in figure.axes] == [10, 10, 50]
        # a single one is named, since "1 others" would take as much room
        figure = plot_phonemes(analysis(*CLASSES), most_phones=3)
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()][-1] == "K"

    def test_of_many_classes_those_with_most_events_are_drawn(self) -> None:
        many = [heard(f"class {n:02d}", {"SIL": 1.0}, events=n) for n in range(1, 15)]
        figure = plot_phonemes(analysis(*many))
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == [f"class {n:02d}" for n in range(3, 15)]
        assert "2 more classes not shown" in figure.get_suptitle()

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_the_file_is_written(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / "pictures" / f"phonemes.{suffix}"
        plot_phonemes(analysis(*CLASSES), path)
        assert path.stat().st_size > 5_000

    def test_nothing_to_draw(self) -> None:
        with pytest.raises(DataError, match="no class was heard"):
            plot_phonemes(analysis())


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A cry of EH1_B and N, a glass of S; speech of N."""
    folder = tmp_path / "recordings"
    cry = np.concatenate([tone("EH1_B", 0.9), tone("N", 0.3)])
    for name, samples in (("events/babycry/1.wav", cry), ("events/glass/1.wav", tone("S", 0.6)),
                          ("speech/1.wav", tone("N", 0.9))):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples, RATE)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_hearing(tmp_path / "models" / "tones")


class TestFiles:
    def test_page_numbers_and_picture(self, tmp_path, recordings, model) -> None:
        out = tmp_path / "out"
        result = draw(FigureRequest(out, None, recordings, model))
        assert result.problems == ()
        assert {file.name for file in result.files} == {path.name for path in out.iterdir()}
        page = (out / "README.md").read_text(encoding="utf-8")
        assert "| babycry | 1 | 1.20 s | EH1_B 75 %, N 25 % |" in page
        assert "| speech | 1 | 0.90 s | N 100 % |" in page
        assert "| babycry | 2.33 s | SPN S, EH1 S, M E," in page  # as printed
        assert "](phonemes.png)" in page
        assert str(tmp_path) not in page
        with (out / "phonemes.csv").open(encoding="utf-8") as file:
            rows = [
                (row["event"], row["phone"], float(row["share"])) for row in csv.DictReader(file)
            ]
        assert rows == [
            ("babycry", "EH1_B", 0.75),
            ("babycry", "N", 0.25),
            ("glass", "S", 1.0),
            ("speech", "N", 1.0),
        ]
        values = json.loads((out / "phonemes.json").read_text(encoding="utf-8"))
        assert values["model"] == "tones"
        assert values["classes"][0]["phones"][0]["median_seconds"] == pytest.approx(0.9)

    def test_settings(self, tmp_path, recordings, model) -> None:
        settings = {"labels": "glass, babycry", "speech": "false", "min_seconds": "0.5"}
        draw(FigureRequest(tmp_path / "out", None, recordings, model, settings))
        values = json.loads((tmp_path / "out" / "phonemes.json").read_text(encoding="utf-8"))
        assert [found["label"] for found in values["classes"]] == ["babycry", "glass"]
        # N lasts 0.3 s of 1.2 s; the best path gives it the 17 frames of 30 ms that make 0.5 s
        frames = {phone["phone"]: phone["frames"] for phone in values["classes"][0]["phones"]}
        assert frames == {"EH1_B": 23, "N": 17}

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"lables": "a"}, 'unknown field "lables". Did you mean "labels"'),
            ({"min_seconds": "long"}, "min_seconds"),
            ({"min_seconds": "-1"}, "min_seconds"),
        ],
    )
    def test_wrong_settings(self, tmp_path, recordings, model, settings, words) -> None:
        with pytest.raises(ConfigError, match=words):
            draw(FigureRequest(tmp_path / "out", None, recordings, model, settings))
        assert not (tmp_path / "out").exists()

    def test_without_recordings_made_sounds_are_heard(self, tmp_path, model) -> None:
        pytest.importorskip("scipy", reason='needs the extra "train": pip install "sedsdk[train]"')
        draw(FigureRequest(tmp_path / "out", None, None, model, {"labels": "gunshot"}))
        values = json.loads((tmp_path / "out" / "phonemes.json").read_text(encoding="utf-8"))
        (found,) = values["classes"]
        assert (found["label"], found["events"]) == ("gunshot", 42)  # 14 guns, three shots each
        assert "made sounds" in values["heard"]


class TestCommand:
    @pytest.fixture
    def run(self, monkeypatch, tmp_path, model):
        from sedsdk.cli.application import application

        host = Host([("gradual", sedsdk_gradual)], discover=False, strict=True)
        monkeypatch.setattr(host_module, "default_host", lambda: host)
        monkeypatch.chdir(tmp_path)

        def invoke(*arguments: object) -> Result:
            words = ["reproduce", "gradual", "--figure", "phonemes", "--model", model, *arguments]
            return CliRunner().invoke(application, [str(word) for word in words])

        return invoke

    def test_it_prints_the_table_and_what_it_wrote(self, run, recordings, tmp_path) -> None:
        result = run("--recordings", recordings)
        assert result.exit_code == 0, result.output
        assert "| glass | 1 | 0.60 s | S 100 % |" in result.stdout
        assert "reproduction/gradual-phonemes/README.md" in result.stdout
        assert (tmp_path / "reproduction" / "gradual-phonemes" / "phonemes.png").is_file()

    def test_a_manifest_of_the_users_own(self, run, recordings, tmp_path) -> None:
        listed = "filename,onset,offset,event_label\nevents/babycry/1.wav,0.9,1.2,whine\n"
        (recordings / "mine.csv").write_text(listed)
        result = run("--data", recordings / "mine.csv", "--out", tmp_path / "own")
        assert result.exit_code == 0, result.output
        assert "| whine | 1 | 0.30 s | N 100 % |" in result.stdout

    def test_a_recording_that_fails_is_named_and_the_code_is_3(self, run, recordings) -> None:
        (recordings / "events" / "glass" / "2.wav").write_text("this is text")
        result = run("--recordings", recordings)
        assert result.exit_code == 3
        assert "2.wav is no audio" in result.stderr
        assert "| glass | 1 | 0.60 s | S 100 % |" in result.stdout

    def test_a_model_without_phones_is_one_message(self, run, recordings, model) -> None:
        (model / "phones.txt").unlink()
        result = run("--recordings", recordings)
        assert result.exit_code == 1
        assert "no phones found" in result.stderr
        assert "phones.txt" in result.stderr
