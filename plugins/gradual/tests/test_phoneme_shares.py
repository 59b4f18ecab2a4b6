"""The phones of labelled events: sounds whose phones one can read off, and every kind of set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from made_hearing import HOP, RATE, tone, write_hearing
from sedsdk_gradual.phonemes import LabelledSound, find_events, manifest_events, phoneme_shares

from kaldi_bridge import AcousticModel
from sedsdk import DataError, Event
from sedsdk.data import Clip, Manifest, Source, SourceSet


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> AcousticModel:
    return AcousticModel.load(write_hearing(tmp_path_factory.mktemp("models") / "tones"))


def sound(*parts: tuple[str, float], rate: int = RATE) -> np.ndarray:
    return np.concatenate([tone(phone, seconds, rate) for phone, seconds in parts])


def write(path: Path, *parts: tuple[str, float], rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(*parts, rate=rate), rate)
    return path


DING = sound(("N", 0.6), ("S", 1.2))
DONG = sound(("EH1_B", 0.3), ("N", 0.3), ("EH1_B", 0.3))


class TestShares:
    def test_shares_and_durations_are_those_of_the_tones(self, model):
        found = phoneme_shares(
            [
                LabelledSound("dong", DONG, RATE),
                LabelledSound("ding", DING, RATE),
                LabelledSound("ding", sound(("S", 0.6)), RATE),
            ],
            model,
        )
        assert (found.model, found.problems) == ("tones", ())
        assert found.hop_seconds == pytest.approx(HOP)
        ding, dong = found.classes
        assert (ding.label, ding.events, ding.frames) == ("ding", 2, 80)
        assert ding.seconds == pytest.approx(2.4)
        assert ding.median_seconds == pytest.approx(1.2)
        loud, low = ding.phones
        assert (loud.phone, loud.frames, loud.runs, loud.events) == ("S", 60, 2, 2)
        assert loud.share == 0.75
        assert loud.median_seconds == pytest.approx(0.9)  # of runs of 1.2 and 0.6 s
        assert (low.phone, low.frames, low.runs, low.events) == ("N", 20, 1, 1)
        assert dong.share("EH1_B") == pytest.approx(2 / 3)
        assert dong.phones[0].median_seconds == pytest.approx(0.3)
        assert dong.share("SIL") == 0.0
        assert found.phones == ("S", "EH1_B", "N")  # sums: 0.75, 0.67, 0.25 + 0.33

    def test_a_least_length_takes_short_phones_away(self, model):
        blip = sound(("N", 0.6), ("S", 0.06), ("N", 0.6))
        events = [LabelledSound("blip", blip, RATE)]
        assert phoneme_shares(events, model).classes[0].share("S") > 0
        found = phoneme_shares(events, model, min_seconds=0.15)
        assert [phone.phone for phone in found.classes[0].phones] == ["N"]
        assert found.min_seconds == 0.15

    def test_any_rate_and_channels(self, model):
        low = sound(("N", 0.9), rate=8000)
        events = [
            LabelledSound("a", low, 8000),
            LabelledSound("a", np.stack([low, low], 1), 8000),
            LabelledSound("a", (32767 * low).astype(np.int16), 8000),
        ]
        (found,) = phoneme_shares(events, model).classes
        assert (found.frames, found.share("N")) == (90, 1.0)

    def test_labels_choose_classes_and_their_order(self, model):
        events = [LabelledSound(label, DING, RATE) for label in "abc"]
        found = phoneme_shares(events, model, labels=["c", "a"])
        assert [each.label for each in found.classes] == ["c", "a"]

    def test_a_model_is_read_from_its_folder(self, tmp_path):
        folder = write_hearing(tmp_path / "exp" / "tdnn")
        events = [LabelledSound("a", DING, RATE)]
        for path in (folder, str(folder), folder / "final.mdl"):
            assert phoneme_shares(events, path).model == "tdnn"

    def test_progress_counts_events(self, model):
        seen = []
        events = [LabelledSound("a", DING, RATE)] * 2
        phoneme_shares(events, model, on_event=lambda done, total: seen.append((done, total)))
        assert seen == [(0, 2), (1, 2), (2, 2)]


class TestProblems:
    def test_what_fails_is_named_and_the_rest_goes_on(self, model, tmp_path):
        (tmp_path / "broken.wav").write_text("this is text")
        events = [
            Source(tmp_path / "broken.wav", "ding"),
            Source(tmp_path / "absent.wav", "ding"),
            LabelledSound("ding", np.zeros(40, np.float32), RATE, "click"),
            LabelledSound("ding", np.array([0.1, np.nan] * 800, np.float32), RATE, "hole"),
            LabelledSound("ding", DING, RATE),
            Source(tmp_path / "absent.wav", "dong"),
        ]
        found = phoneme_shares(events, model)
        assert [(each.label, each.events) for each in found.classes] == [("ding", 1)]
        wanted = (
            "broken.wav is no audio",
            "absent.wav does not exist",
            "ding, click: 0.003 s is below one frame",
            "sample 1 (at 0.000 s) is NaN",
            "absent.wav does not exist",
            "dong: not one event could be heard",
        )
        assert len(found.problems) == len(wanted)
        for problem, words in zip(found.problems, wanted, strict=True):
            assert words in problem

    def test_nothing_that_can_be_heard_is_an_error(self, model, tmp_path):
        with pytest.raises(
            DataError, match=r"not one of 1 events could be heard\. First: .*absent"
        ):
            phoneme_shares([Source(tmp_path / "absent.wav", "ding")], model)

    def test_no_events_of_a_class(self, model):
        events = [LabelledSound("babycry", DING, RATE)]
        with pytest.raises(DataError, match=r'no events of "babycri". Did you mean "babycry"\?'):
            phoneme_shares(events, model, labels=["babycri"])
        with pytest.raises(DataError, match="no labelled event"):
            phoneme_shares([], model)
        with pytest.raises(DataError, match=r'give find_events\("x"\)'):
            phoneme_shares("x", model)  # type: ignore[arg-type]

    def test_a_wrong_model_or_length(self, tmp_path, model):
        events = [LabelledSound("a", DING, RATE)]
        with pytest.raises(DataError, match="nowhere"):
            phoneme_shares(events, tmp_path / "nowhere")
        with pytest.raises(DataError, match="min_seconds is -1"):
            phoneme_shares(events, model, min_seconds=-1)


class TestSets:
    def test_a_manifest_with_times_gives_the_events_and_nothing_beside_them(self, model, tmp_path):
        write(tmp_path / "mix.wav", ("SIL", 0.6), ("N", 0.6), ("SIL", 0.6), ("S", 0.3))
        (tmp_path / "list.txt").write_text("mix.wav\t0.6\t1.2\tding\nmix.wav\t1.8\t2.1\tdong\n")
        found = phoneme_shares(find_events(tmp_path / "list.txt"), model)
        heard = {each.label: (each.phones[0].phone, each.phones[0].share) for each in found.classes}
        assert heard == {"ding": ("N", 1.0), "dong": ("S", 1.0)}
        assert find_events(tmp_path / "list.txt", ["dong"]).labels == ("dong",)

    def test_a_clip_with_one_tag_is_one_event_and_with_several_a_problem(self, tmp_path):
        manifest = Manifest(
            (
                Clip("one", tmp_path / "a.wav", start=1.0, end=2.0, tags=("ding",)),
                Clip("two", tmp_path / "b.wav", tags=("ding", "dong")),
                Clip("none", tmp_path / "c.wav", tags=()),
                Clip("timed", tmp_path / "d.wav", 5.0, events=(Event(1.0, 2.0, "dong"),)),
            )
        )
        found = manifest_events(manifest)
        assert [(e.path.name, e.label, e.start, e.end) for e in found.events] == [
            ("a.wav", "ding", 1.0, 2.0),
            ("d.wav", "dong", 6.0, 7.0),
        ]
        assert len(found.problems) == 1
        assert found.problems[0].startswith("two: several tags and no times")

    def test_phoneme_shares_takes_a_manifest_and_a_source_set(self, model, tmp_path):
        path = write(tmp_path / "a.wav", ("N", 0.6))
        manifest = Manifest((Clip("a", path, tags=("ding",)), Clip("b", path, tags=("x", "y"))))
        sources = SourceSet((Source(path, "ding"),), problems=("left out: c",))
        for given, problem in ((manifest, "b: several tags"), (sources, "left out: c")):
            found = phoneme_shares(given, model, labels=["ding"])
            assert found.classes[0].share("N") == 1.0
            assert found.problems[0].startswith(problem)

    def test_a_folder_of_recordings(self, tmp_path):
        for file in ("events/ding/1.wav", "events/ding/2.wav", "events/dong/1.wav",
                     "events_other/cat/1.wav", "speech/reader/1.wav"):  # fmt: skip
            write(tmp_path / file, ("N", 0.3))
        (tmp_path / "events" / "ding" / "notes.txt").write_text("no audio")
        found = find_events(tmp_path, with_speech=True)
        assert [event.label for event in found.events] == ["ding", "ding", "dong"]
        assert [(d.label, d.path.name) for d in found.distractors] == [("speech", "1.wav")]
        assert find_events(tmp_path).distractors == ()
        assert find_events(tmp_path, ["cat", "dong"]).labels == ("cat", "dong")
        with pytest.raises(DataError, match=r'no events of "dnog". Did you mean "dong"'):
            find_events(tmp_path, ["dnog"])

    def test_of_a_divided_folder_the_training_part_is_taken_unless_another_is_asked_for(
        self, tmp_path
    ):
        for number in (1, 2, 3):
            write(tmp_path / f"events/ding/{number}.wav", ("N", 0.3))
        rows = "events/ding/1.wav,train\nevents/ding/2.wav,dev\n"
        (tmp_path / "origin.csv").write_text(f"file,split\n{rows}")
        names = {
            split: [event.path.stem for event in find_events(tmp_path, split=split).events]
            for split in (None, "dev", "all")
        }
        assert names == {None: ["1"], "dev": ["2"], "all": ["1", "2", "3"]}
        with pytest.raises(DataError, match='no source is in split "test"'):
            find_events(tmp_path, split="test")

    def test_a_folder_of_classes_and_one_with_a_manifest(self, tmp_path):
        write(tmp_path / "classes" / "ding" / "1.wav", ("N", 0.3))
        assert find_events(tmp_path / "classes").labels == ("ding",)
        write(tmp_path / "made" / "audio" / "1.wav", ("N", 0.3))
        (tmp_path / "made" / "manifest_mix.csv").write_text(
            "filename,onset,offset,event_label\naudio/1.wav,0.1,0.2,dong\n"
        )
        (event,) = find_events(tmp_path / "made").events
        assert (event.label, event.start, event.end) == ("dong", 0.1, 0.2)
        (tmp_path / "made" / "manifest_b.csv").write_text("")
        with pytest.raises(DataError, match="several manifests"):
            find_events(tmp_path / "made")

    def test_tut_rare_gives_its_isolated_training_events(self, model, tmp_path):
        data = tmp_path / "TUT-rare-sound-events-2017-development" / "data" / "source_data"
        (data / "cv_setup").mkdir(parents=True)
        for part, numbers in (("devtrain", (0, 1)), ("devtest", (2,))):
            segments = [
                {"audio_filename": f"{n}.wav", "segment": [0.6, 1.2], "user": f"u{n}"}
                for n in numbers
            ]
            events = {"babycry": segments}
            places = [{"filepath": "audio/a001_0_30.wav", "classname": "home", "classid": 1}]
            (data / "cv_setup" / f"events_{part}.yaml").write_text(yaml.safe_dump(events))
            (data / "cv_setup" / f"bgs_{part}.yaml").write_text(yaml.safe_dump(places))
            for n in numbers:
                write(data / f"events/babycry/{n}.wav", ("SIL", 0.6), ("N", 0.6), ("SIL", 0.6))
        write(data / "bgs/audio/a001_0_30.wav", ("SIL", 1.0))
        (found,) = phoneme_shares(find_events(tmp_path), model).classes
        assert (found.label, found.events, found.share("N")) == ("babycry", 2, 1.0)
        assert found.median_seconds == pytest.approx(0.6)
        assert len(find_events(tmp_path, split="all").events) == 3

    def test_tut_rare_without_isolated_events_gives_those_of_its_mixtures(self, model, tmp_path):
        folder = tmp_path / "data" / "mixture_data" / "devtrain" / "0123"
        write(folder / "audio" / "mixture.wav", ("SIL", 0.6), ("S", 0.6))
        (folder / "meta").mkdir()
        listed = "mixture.wav\t0.6\t1.2\tgunshot\n"
        (folder / "meta" / "event_list_devtrain_gunshot.csv").write_text(listed)
        (found,) = phoneme_shares(find_events(tmp_path), model).classes
        assert (found.label, found.share("S")) == ("gunshot", 1.0)

    def test_what_is_no_set(self, tmp_path):
        with pytest.raises(DataError, match="no such file or folder"):
            find_events(tmp_path / "nowhere")
        with pytest.raises(DataError, match="holds no labelled events"):
            find_events(tmp_path)


def test_the_plugin_is_metadata_until_a_figure_is_asked_for():
    code = (
        "import sys, sedsdk_gradual;"
        "[*sedsdk_gradual.sedsdk_reproductions()];"
        "print([m for m in ('torch', 'kaldi_bridge', 'soundfile', 'matplotlib', 'typer')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
