from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sedsdk.data.manifest import Manifest
from sedsdk.data.mixture_drawing import MixtureSettings, draw_recipes
from sedsdk.data.mixture_recipes import MixtureRecipe
from sedsdk.data.mixtures import read_recipes, synthesise, synthesise_recipes, synthesise_tut
from sedsdk.data.sources import Source, SourceSet, read_sources
from sedsdk.errors import DataError

RATE = 8000
REAL = Path(__file__).resolve().parents[2] / "../shared/real"


def small(**changes: object) -> MixtureSettings:
    values = {
        "mixtures_per_class": 6,
        "duration_seconds": 1.5,
        "sample_rate": RATE,
        "distractors_per_mixture": (0, 2),
        **changes,
    }
    return MixtureSettings.model_validate(values)


@pytest.fixture
def sources(tmp_path: Path) -> SourceSet:
    rng = np.random.default_rng(0)
    root = tmp_path / "sources"
    root.mkdir()

    def made(name: str, label: str, seconds: float, rate: int = RATE) -> Source:
        path = root / name
        soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * rate)), rate)
        return Source(path, label, group=name)

    return SourceSet(
        tuple(
            made(f"{label}{i}.flac", label, 0.3, 16000)
            for label in ("babycry", "gunshot")
            for i in range(3)
        ),
        tuple(made(f"background{i}.wav", "street", 1.0 + i) for i in range(3)),
        (made("bell.wav", "bell", 0.4),),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_with_one_and_two_workers(sources: SourceSet, tmp_path: Path) -> None:
    one = synthesise(sources, small(), tmp_path / "one", workers=1)
    two = synthesise(sources, small(), tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one.digest == two.digest
    assert len(one) == 12
    other = synthesise(sources, small(seed=1), tmp_path / "other")
    assert other.digest != one.digest


def test_lengths_are_drawn_between_two(sources: SourceSet, tmp_path: Path) -> None:
    settings = small(duration_seconds=(0.5, 2.0), mixtures_per_class=40)
    recipes = draw_recipes(sources, settings)
    lengths = np.array([recipe.duration_seconds for recipe in recipes])
    assert lengths.min() >= 0.5
    assert lengths.max() <= 2.0
    assert np.histogram(lengths, bins=3, range=(0.5, 2.0))[0].min() >= 15  # of 80, about 27 each
    for recipe in recipes:
        assert all(event.offset <= recipe.duration_seconds for event in recipe.labelled_events())
    made = synthesise_recipes(recipes[:5], tmp_path, "train", RATE)
    assert [soundfile.info(clip.path).frames for clip in made] == [
        round(recipe.duration_seconds * RATE) for recipe in recipes[:5]
    ]


@pytest.mark.parametrize("seconds", [(2.0, 0.5), (0.0, 1.0), 0.0, (1.0, 2.0, 3.0)])
def test_lengths_that_make_no_sense_are_refused(seconds: object) -> None:
    with pytest.raises(ValueError, match="duration_seconds"):
        small(duration_seconds=seconds)


def test_files_are_as_the_task_has_them(sources: SourceSet, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = synthesise(
        sources, small(), tmp_path, progress=lambda done, total: calls.append((done, total))
    )
    assert calls[0] == (0, 12)
    assert calls[-1] == (12, 12)
    assert Manifest.read(tmp_path / "manifest_devtrain.csv") == manifest
    assert manifest.labels == ("babycry", "gunshot")
    for clip in manifest:
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.frames, info.subtype) == (RATE, 12000, "PCM_24")
    for label in manifest.labels:
        text = (tmp_path / f"meta/event_list_devtrain_{label}.txt").read_text()
        assert (tmp_path / f"meta/event_list_devtrain_{label}.csv").read_text() == text
        rows = [line.split("\t") for line in text.splitlines()]
        assert len(rows) == 6
        with_event = [row for row in rows if len(row) == 4]
        assert len(with_event) == 3
        for name, onset, offset, found in with_event:
            assert name.startswith(f"mixture_devtrain_{label}_")
            assert found == label
            assert float(offset) - float(onset) == pytest.approx(0.3, abs=1e-5)
        assert [len(row) for row in rows if row not in with_event] == [1, 1, 1]
    recipes = read_recipes(tmp_path / "meta/mixture_recipes_devtrain.jsonl")
    assert recipes == draw_recipes(sources, small())


def test_event_lists_are_read_by_sed_eval(sources: SourceSet, tmp_path: Path) -> None:
    sed_eval = pytest.importorskip("sed_eval", reason="needs the extra sedsdk[train]")
    manifest = synthesise(sources, small(), tmp_path)
    found = sed_eval.io.load_event_list(str(tmp_path / "meta/event_list_devtrain_gunshot.txt"))
    expected = sorted(
        (clip.id, event.onset, event.offset, event.label)
        for clip in manifest
        for event in clip.events or ()
        if event.label == "gunshot"
    )
    events = [item for item in found if item.event_label]
    assert expected == sorted((e.filename, e.onset, e.offset, e.event_label) for e in events)


def test_what_is_missing_or_damaged_is_made_again_and_the_rest_kept(
    sources: SourceSet, tmp_path: Path
) -> None:
    synthesise(sources, small(), tmp_path / "set")
    before = contents(tmp_path / "set")
    audio = sorted((tmp_path / "set/audio").iterdir())
    for path in audio:
        os.utime(path, (1, 1))
    audio[0].unlink()
    audio[1].write_bytes(audio[1].read_bytes()[:-300])
    audio[2].write_text("not audio")
    soundfile.write(audio[3], np.zeros(12000), RATE, subtype="PCM_16")
    synthesise(sources, small(), tmp_path / "set", workers=2)
    assert contents(tmp_path / "set") == before
    assert {path.name for path in audio if path.stat().st_mtime == 1} == {
        path.name for path in audio[4:]
    }


def test_an_interrupted_run_leaves_whole_files_and_goes_on(
    sources: SourceSet, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise Killed

    with pytest.raises(Killed):
        synthesise(sources, small(), tmp_path / "set", progress=stop)
    halfway = list((tmp_path / "set/audio").iterdir())
    missing = {recipe.name for recipe in draw_recipes(sources, small())} - {p.name for p in halfway}
    (tmp_path / f"set/audio/.{missing.pop()}.0123abcd.tmp").write_bytes(b"left by kill -9")
    assert 4 <= len(halfway) < 12
    assert all(soundfile.info(path).frames == 12000 for path in halfway)
    synthesise(sources, small(), tmp_path / "set")
    synthesise(sources, small(), tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_a_damaged_source_costs_its_own_mixtures_and_is_named(
    sources: SourceSet, tmp_path: Path
) -> None:
    damaged = sources.events[0].path
    recipes = draw_recipes(sources, small(event_presence_probability=1.0))
    hit = {r.name for r in recipes if any(s.source.path == damaged for s in r.events)}
    assert hit
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    problems: list[str] = []
    manifest = synthesise(
        sources,
        small(event_presence_probability=1.0),
        tmp_path / "set",
        workers=2,
        on_problem=problems.append,
    )
    assert {clip.id for clip in manifest} == {r.name for r in recipes} - hit
    assert len(problems) == 1
    assert damaged.name in problems[0]
    assert f"{len(hit)} mixtures" in problems[0]
    assert (tmp_path / "set/meta/problems_devtrain.txt").read_text() == problems[0] + "\n"


def test_when_nothing_can_be_made_that_is_an_error(sources: SourceSet, tmp_path: Path) -> None:
    recipes = draw_recipes(sources, small())
    for source in sources.backgrounds:
        source.path.unlink()
    with pytest.raises(DataError, match="not one of 12 mixtures"):
        synthesise_recipes(recipes, tmp_path / "set", "devtrain", RATE)


def test_official_recipe_with_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    data = tmp_path / "source_data"
    (data / "bgs/audio").mkdir(parents=True)
    (data / "events/gunshot").mkdir(parents=True)
    signs = 1.0 - 2.0 * (np.arange(88200) % 2)
    soundfile.write(data / "bgs/audio/a.wav", 0.5 * signs, 44100, subtype="PCM_24")
    # Two channels that average to 0.25 inside the segment and to 0.9 outside of it.
    event = np.full((44100, 2), 0.9)
    event[11025:33075] = (0.1, 0.4)
    soundfile.write(data / "events/gunshot/7.wav", event, 44100, subtype="PCM_24")
    recipe = {
        "bg_path": "audio/a.wav",
        "bg_classname": "beach",
        "event_present": True,
        "ebr": 6.0,
        "event_path": "gunshot/7.wav",
        "event_class": "gunshot",
        "event_start_in_mixture_seconds": 1.0,
        "event_length_seconds": 0.5,
        "segment_start_seconds": 0.25,
        "segment_end_seconds": 0.75,
        "mixture_audio_filename": f"mixture_devtest_gunshot_000_{'ab' * 16}.wav",
    }
    negative = {
        "bg_path": "audio/a.wav",
        "event_present": False,
        "mixture_audio_filename": f"mixture_devtest_gunshot_001_{'cd' * 16}.wav",
    }
    manifest = synthesise_tut([recipe, negative], data, tmp_path / "out", "devtest")
    samples, rate = soundfile.read(manifest.clips[0].path, dtype="float64")
    # factor = 10^(6/20) · 0.5 / 0.25 = 3.990525; event: 0.2 · 3.990525 · 0.25 = 0.1995262
    expected = 0.1 * signs
    expected[44100:66150] += 0.1995262
    assert rate == 44100
    np.testing.assert_allclose(samples, expected, atol=3e-7)
    plain, _ = soundfile.read(manifest.clips[1].path, dtype="float64")
    np.testing.assert_allclose(plain, 0.1 * signs, atol=3e-7)
    assert (tmp_path / "out/meta/event_list_devtest_gunshot.txt").read_text() == (
        f"{recipe['mixture_audio_filename']}\t1.000000\t1.500000\tgunshot\n"
        f"{negative['mixture_audio_filename']}\n"
    )


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the recordings in ../shared/real")
def test_real_recordings_are_mixed(tmp_path: Path) -> None:
    sources = read_sources(REAL, labels=("babycry", "glassbreak", "gunshot")).split("dev")
    settings = small(mixtures_per_class=2, duration_seconds=4.0, sample_rate=44100)
    problems: list[str] = []
    manifest = synthesise(sources, settings, tmp_path, on_problem=problems.append)
    assert len(manifest) == 6
    assert problems == []
    for clip in manifest:
        samples, _ = soundfile.read(clip.path)
        assert 0 < np.abs(samples).max() <= 1


def test_a_disk_that_is_too_small_is_refused_before_anything_is_made(
    sources: SourceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [0]

    def usage(folder: Path) -> SimpleNamespace:
        assert folder.is_dir()
        return SimpleNamespace(free=free[0])

    monkeypatch.setattr("sedsdk.data.mixtures.shutil.disk_usage", usage)
    needed = 12 * 12000 * 3  # 12 mixtures of 1.5 s at 8 kHz, 24 bit
    free[0] = needed - 1
    folder = tmp_path / "new" / "set"
    with pytest.raises(DataError, match=r"12 mixtures need 0\.0 GB in .*set.*mixtures_per_class"):
        synthesise(sources, small(), folder)
    assert not (folder / "audio").exists()
    free[0] = needed
    assert len(synthesise(sources, small(), folder)) == 12
    free[0] = 0
    assert len(synthesise(sources, small(), folder)) == 12, "what is there needs no room"


def test_the_room_for_official_recipes_is_that_of_their_backgrounds(
    sources: SourceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sedsdk.data.mixtures.shutil.disk_usage", lambda folder: SimpleNamespace(free=47_999)
    )
    background = sources.backgrounds[1]  # 2 s
    recipe = MixtureRecipe("a.wav", background, duration_seconds=None)
    with pytest.raises(DataError, match="1 mixtures need"):
        synthesise_recipes([recipe], tmp_path / "set", "x", RATE)
    monkeypatch.setattr(
        "sedsdk.data.mixtures.shutil.disk_usage", lambda folder: SimpleNamespace(free=48_000)
    )
    assert len(synthesise_recipes([recipe], tmp_path / "set", "x", RATE)) == 1
