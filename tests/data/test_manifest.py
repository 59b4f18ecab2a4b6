"""Clips and manifests as values: what they refuse, and their operations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsdk.data import Clip, Manifest, check_files
from sedsdk.errors import DataError
from sedsdk.types import Event


def clip(name="a.wav", **known):
    return Clip(name, Path(name), **known)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"start": -1.0}, "clip start"),
        ({"start": float("nan")}, "clip start"),
        ({"start": 2.0, "end": 2.0}, "not after its start"),
        ({"events": (Event(1, 0.5, "dog"),)}, "offset 0.5 s before onset 1 s"),
        ({"events": (Event(-1, 0.5, "dog"),)}, "negative onset"),
        ({"events": (Event(0, float("inf"), "dog"),)}, "must be finite"),
        ({"start": 10.0, "end": 12.0, "events": (Event(10, 11, "dog"),)}, "clip's start, not"),
        ({"events": (Event(0, 1, ""),)}, "empty label"),
        ({"tags": ("dog",), "events": ()}, "leave the events unknown"),
        ({"tags": ("dog",), "events": (Event(0, 1, "cat"),)}, "not among the tags"),
    ],
)
def test_a_clip_that_contradicts_itself_is_refused(known, message):
    with pytest.raises(DataError, match=message):
        clip(**known)


def test_labels_come_from_tags_and_events():
    assert clip(tags=("dog", "cat")).labels == ("cat", "dog")
    assert clip(events=(Event(0, 1, "dog"), Event(2, 3, "dog"))).labels == ("dog",)
    assert clip().labels == ()


def test_labels_are_all_that_occur_or_the_given_order():
    clips = (clip("a", tags=("dog",)), clip("b", tags=("cat",)))
    assert Manifest(clips).labels == ("cat", "dog")
    assert Manifest(clips, ("dog", "cat", "hen")).labels == ("dog", "cat", "hen")
    with pytest.raises(DataError, match=r'label "dog" is not in the set. Did you mean "dogs"'):
        Manifest(clips, ("dogs", "cat"))


def test_two_clips_of_one_id_are_refused():
    with pytest.raises(DataError, match='two clips have the id "a"'):
        Manifest((clip("a"), clip("a")))


def test_choosing_keeps_the_labels():
    manifest = Manifest(
        tuple(
            clip(name, tags=(tag,), split=split)
            for name, tag, split in (
                ("a", "dog", "train"),
                ("b", "cat", "dev"),
                ("c", "hen", "train"),
            )
        )
    )
    assert [c.id for c in manifest.subset(["c", "a"])] == ["c", "a"]
    assert [c.id for c in manifest.split("train")] == ["a", "c"]
    assert [c.id for c in manifest.filter(lambda c: c.tags == ("cat",))] == ["b"]
    assert manifest.split("dev").labels == ("cat", "dog", "hen")
    assert manifest["b"].tags == ("cat",)
    assert (len(manifest), manifest.splits) == (3, ("dev", "train"))
    with pytest.raises(DataError, match=r'no clip is in split "tarin". Did you mean "train"'):
        manifest.split("tarin")
    with pytest.raises(DataError, match='no clip "d"'):
        manifest.subset(["d"])


def test_combining_appends_clips_and_new_labels():
    first = Manifest((clip("a", tags=("dog",)),))
    second = Manifest((clip("b", tags=("cat",)), clip("c")), ("cat", "dog"))
    both = first.combine(second)
    assert both.labels == ("dog", "cat")
    assert [c.id for c in both] == ["a", "b", "c"]
    with pytest.raises(DataError, match="two clips have the id"):
        both.combine(first)


def test_digest_follows_the_contents_and_not_the_folder():
    base = clip("a.wav", events=(Event(0, 1, "dog"),), group="g")
    digest = Manifest((base,)).digest
    assert len(digest) == 64
    assert Manifest((replace(base, path=Path("/elsewhere/a.wav")),)).digest == digest
    changed = (
        replace(base, events=(Event(0, 1.5, "dog"),)),
        replace(base, events=None, tags=("dog",)),
        replace(base, start=0.5),
        replace(base, end=7.0),
        replace(base, group="h"),
        replace(base, split="train"),
        replace(base, path=Path("b.wav")),
        replace(base, id="b"),
    )
    assert len({digest, *(Manifest((c,)).digest for c in changed)}) == 9
    assert Manifest((base,), ("dog", "cat")).digest != Manifest((base,), ("cat", "dog")).digest


def test_bad_files_among_many_are_reported_and_the_rest_is_used(tmp_path):
    for index in range(20):
        soundfile.write(tmp_path / f"{index}.wav", np.zeros(800), 8000)
    (tmp_path / "3.wav").unlink()
    (tmp_path / "5.wav").write_bytes(b"")
    clips = [Clip(f"{i}.wav", tmp_path / f"{i}.wav") for i in range(20)]
    clips += [
        Clip("late", tmp_path / "0.wav", start=0.2),
        Clip("long", tmp_path / "0.wav", end=0.3),
        Clip("rounded", tmp_path / "0.wav", end=0.11),
        Clip("event", tmp_path / "0.wav", start=0.05, events=(Event(0, 0.2, "dog"),)),
    ]
    usable, problems = check_files(Manifest(tuple(clips), ("dog", "cat")))
    assert [c.id for c in usable] == [f"{i}.wav" for i in range(20) if i not in (3, 5)] + [
        "rounded"
    ]
    assert usable.labels == ("dog", "cat")
    reasons = {problem.clip_id: str(problem) for problem in problems}
    assert sorted(reasons) == ["3.wav", "5.wav", "event", "late", "long"]
    assert "does not exist" in reasons["3.wav"]
    assert "is empty" in reasons["5.wav"]
    assert "starts at 0.2 s in a file of 0.100 s" in reasons["late"]
    assert "ends at 0.3 s" in reasons["long"]
    assert "event until 0.2 s" in reasons["event"]
