"""TUT Rare Sound Events 2017, on made-up folders of the same form."""

import math

import numpy as np
import pytest
import soundfile
import yaml

from sedsdk.data import (
    check_files,
    read_tut_rare,
    read_tut_rare_recipes,
    read_tut_rare_sources,
    screened_backgrounds,
)
from sedsdk.errors import DataError
from sedsdk.types import Event

HASH = "b2fb6c0b3476b151e6872f636464c4a6"
OTHER_HASH = "20b255387a2d0cddc0a3dff5014875e7"
DEVELOPMENT = "TUT-rare-sound-events-2017-development"
EVALUATION = "TUT-rare-sound-events-2017-evaluation"
CLASSES = ("babycry", "glassbreak", "gunshot")


def make_audio(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(441), 44100, subtype="PCM_24")


def mixture(part, label, index):
    return f"mixture_{part}_{label}_{index:03d}_{'0' * 32}.wav"


def make_mixtures(folder, part, classes=CLASSES):
    """One mixture with an event and one without per class, lists without header."""
    for label in classes:
        for index in range(2):
            make_audio(folder / "audio" / mixture(part, label, index))
        lines = f"{mixture(part, label, 0)}\t1.25\t3.5\t{label}\n{mixture(part, label, 1)}\n"
        (folder / "meta").mkdir(parents=True, exist_ok=True)
        (folder / "meta" / f"event_list_{part}_{label}.csv").write_text(lines)
    return folder


@pytest.fixture
def development(tmp_path):
    """The tree after the patch of June 2017: withdrawn audio and lists lie beside the others."""
    root = tmp_path / DEVELOPMENT
    for part in ("devtrain", "devtest"):
        folder = make_mixtures(root / "data" / "mixture_data" / part / HASH, part)
        make_audio(folder / "audio" / mixture(part, "babycry", 7))
        withdrawn = folder / "audio" / mixture(part, "babycry", 7)
        withdrawn.rename(f"{withdrawn}_old_dontuse")
        old = folder / "meta" / f"event_list_{part}_babycry.csv_old_dontuse"
        old.write_text(f"{mixture(part, 'babycry', 7)}\t1\t2\tbabycry\n")
        (folder / "meta" / f"event_list_{part}_babycry_old_dontuse.csv").write_text(old.read_text())
        (folder / "parameters.yaml").write_text("seed: 42\n")
    return root


@pytest.mark.parametrize(
    ("part", "name"), [("devtrain", "devtrain"), ("train", "devtrain"), ("validation", "devtest")]
)
def test_mixtures_follow_the_lists(development, part, name):
    manifest = read_tut_rare(development, part)
    assert manifest.labels == CLASSES
    assert [clip.group for clip in manifest] == [label for label in CLASSES for _ in range(2)]
    assert {clip.split for clip in manifest} == {name}
    assert manifest[mixture(name, "gunshot", 0)].events == (Event(1.25, 3.5, "gunshot"),)
    assert manifest[mixture(name, "gunshot", 1)].events == ()
    usable, problems = check_files(manifest.filter(lambda clip: clip.events == ()))
    assert (len(usable), problems) == (3, [])


def test_one_class_alone(development):
    manifest = read_tut_rare(development, "devtest", event_class="glassbreak")
    assert manifest.labels == ("glassbreak",)
    assert len(manifest) == 2
    with pytest.raises(DataError, match=r'label "glass".* Did you mean "glassbreak"'):
        read_tut_rare(development, "devtest", event_class="glass")


def test_every_place_that_users_unpack_to_is_found(development, tmp_path):
    expected = read_tut_rare(development, "devtrain")
    hashed = development / "data" / "mixture_data" / "devtrain" / HASH
    for folder in (tmp_path, development / "data", hashed):
        assert read_tut_rare(folder, "devtrain") == expected


def test_the_evaluation_set(tmp_path):
    make_mixtures(
        tmp_path
        / EVALUATION
        / "data"
        / "mixture_data"
        / "evaltest"
        / "bbb81504db15a03680a0044474633b67",
        "evaltest",
    )
    for folder in (tmp_path, tmp_path / EVALUATION):
        for part in ("evaltest", "test"):
            assert len(read_tut_rare(folder, part)) == 6


def test_the_baselines_folder(tmp_path):
    make_mixtures(tmp_path / "generated_data" / f"mixtures_devtest_{HASH}", "devtest")
    assert len(read_tut_rare(tmp_path, "devtest")) == 6


def test_several_sets_of_mixtures_ask_for_a_choice(development):
    other = make_mixtures(
        development / "data" / "mixture_data" / "devtrain" / OTHER_HASH, "devtrain"
    )
    with pytest.raises(
        DataError, match=f"several sets of devtrain mixtures: .*{OTHER_HASH}.*{HASH}"
    ):
        read_tut_rare(development, "devtrain")
    assert len(read_tut_rare(other, "devtrain")) == 6


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(DataError, match=r'no part "trian". Did you mean "train"'):
        read_tut_rare(tmp_path, "trian")
    with pytest.raises(DataError, match="is no folder"):
        read_tut_rare(tmp_path / "nothing", "train")
    with pytest.raises(
        DataError, match=r"holds no devtrain mixtures; looked for data/mixture_data"
    ):
        read_tut_rare(tmp_path, "train")
    (tmp_path / "data" / "mixture_data" / "evaltest" / HASH / "meta").mkdir(parents=True)
    with pytest.raises(
        DataError, match=r"no event lists of evaltest.*published after the challenge"
    ):
        read_tut_rare(tmp_path, "test")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.wav\t1\t2", "3 cells"),
        ("x.wav\t3\t2\tgunshot", "offset 2 s before onset 3 s"),
        ("x.wav\tone\t2\tgunshot", 'onset "one" is no number'),
        ("x.wav\t1\t2\tbabycry", 'label "babycry" is not in the set'),
        ("a.wav\t1\t2\tgunshot", "a.wav is already at"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(tmp_path, row, message):
    (tmp_path / "meta").mkdir()
    path = tmp_path / "meta" / "event_list_devtest_gunshot.csv"
    path.write_text(f"a.wav\n{row}\n")
    with pytest.raises(DataError) as caught:
        read_tut_rare(tmp_path, "devtest")
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)


# Sources


@pytest.fixture
def sources(tmp_path):
    root = tmp_path / DEVELOPMENT / "data" / "source_data"
    for name in ("babycry/1.wav", "glassbreak/2.wav", "gunshot/3.wav"):
        make_audio(root / "events" / name)
    for name in ("a001_0_30.wav", "a001_30_60.wav", "b020_90_120.wav"):
        make_audio(root / "bgs" / "audio" / name)
    (root / "bgs" / "bg_screening.csv").write_text(
        "filename,babycry,glassbreak,gunshot,comment\na001_30_60.wav,x,,,heard\nb020_90_120.wav,,,,clean\n"
    )
    events = {
        "babycry": [
            {"audio_filename": "1.wav", "segment": [0.5, 2.25], "user": "anna", "licence": "CC0"},
            {"audio_filename": "1.wav", "segment": [3, 4], "user": "anna"},
        ],
        "glassbreak": [{"audio_filename": "2.wav", "segment": [0.0, 1.0]}],
        "gunshot": [
            {"audio_filename": "3.wav", "segment": [1.0, 1.5], "username": 77},
            {"audio_filename": "gone.wav", "segment": [1.0, 1.5]},
        ],
    }
    backgrounds = [
        {"filepath": f"audio/{name}", "classname": scene, "classid": 1}
        for name, scene in (
            ("a001_0_30.wav", "beach"),
            ("a001_30_60.wav", "beach"),
            ("b020_90_120.wav", "home"),
        )
    ]
    (root / "cv_setup").mkdir()
    (root / "cv_setup" / "events_devtrain.yaml").write_text(yaml.safe_dump(events))
    (root / "cv_setup" / "bgs_devtrain.yaml").write_text(yaml.safe_dump(backgrounds))
    return root


@pytest.mark.parametrize("subset", ["devtrain", "train"])
def test_sources_of_the_mixtures(sources, tmp_path, subset):
    found = read_tut_rare_sources(tmp_path, subset)
    assert [(s.label, s.start, s.end, s.group) for s in found.events] == [
        ("babycry", 0.5, 2.25, "anna"),
        ("babycry", 3.0, 4.0, "anna"),
        ("glassbreak", 0.0, 1.0, "2"),
        ("gunshot", 1.0, 1.5, "77"),
    ]
    assert [(s.path.name, s.label, s.group) for s in found.backgrounds] == [
        ("a001_0_30.wav", "beach", "a001"),
        ("b020_90_120.wav", "home", "b020"),
    ]
    assert found.splits == ("devtrain",)
    assert all(source.path.is_file() for source in found.sources)
    assert len(found.problems) == 2
    assert "gone.wav is listed and does not exist" in found.problems[0]
    assert "a001_30_60.wav holds babycry (bg_screening.csv)" in found.problems[1]
    assert screened_backgrounds(tmp_path) == {"a001_30_60.wav": ("babycry",)}
    for folder in (sources, sources.parent, sources.parent.parent):
        assert read_tut_rare_sources(folder, subset) == found


def test_sources_that_are_missing_are_said(sources, tmp_path):
    with pytest.raises(DataError, match="finished mixtures only"):
        read_tut_rare_sources(tmp_path, "evaltest")
    with pytest.raises(DataError, match=r"no cv_setup/events_devtest\.yaml"):
        read_tut_rare_sources(tmp_path, "devtest")
    for path in (sources / "bgs" / "audio").iterdir():
        path.unlink()
    with pytest.raises(
        DataError, match=r"no usable backgrounds of devtrain. The first of 4 problems"
    ):
        read_tut_rare_sources(tmp_path, "devtrain")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a mapping from class to events"),
        ("{gunshot: 3}", "gunshot: expected a list of mappings"),
        ("{gunshot: [{segment: [0, 1]}]}", r'gunshot\[0\]: "audio_filename" is None'),
        ("{gunshot: [{audio_filename: 3.wav, segment: [2, 1]}]}", r'"segment" is \[2, 1\]'),
        ("{gunshot: [{audio_filename: 3.wav}]}", '"segment" is None'),
        ("{gunshot: [", r"events_devtrain\.yaml:\d: no YAML"),
    ],
)
def test_a_malformed_set_up_is_refused(sources, content, message):
    (sources / "cv_setup" / "events_devtrain.yaml").write_text(content)
    with pytest.raises(DataError, match=message):
        read_tut_rare_sources(sources, "devtrain")


# Recipes

RECIPES = """
- annotation_string: "mixture_devtest_gunshot_000_0.wav\\t3.5\\t4.75\\tgunshot"
  bg_classname: home
  bg_path: audio/b020_90_120.wav
  ebr: -6.0
  event_class: gunshot
  event_length_seconds: 1.25
  event_path: !!python/unicode 'gunshot/3.wav'
  event_present: true
  event_start_in_mixture_seconds: 3.5
  mixture_audio_filename: !!python/str 'mixture_devtest_gunshot_000_0.wav'
  scaling_factor: 0.25
  segment_end_seconds: 2
  segment_start_seconds: 0.75
  extra: !!python/tuple [1, 2]
- annotation_string: "mixture_devtest_gunshot_001_0.wav None 0 30"
  bg_classname: beach
  bg_path: audio/a001_0_30.wav
  ebr: -.inf
  event_present: false
  mixture_audio_filename: mixture_devtest_gunshot_001_0.wav
"""


def test_recipes_are_typed(tmp_path):
    path = tmp_path / "mixture_recipes_devtest_gunshot.yaml"
    path.write_text(RECIPES)
    positive, negative = read_tut_rare_recipes(path)
    assert positive == {
        "mixture_audio_filename": "mixture_devtest_gunshot_000_0.wav",
        "bg_path": "audio/b020_90_120.wav",
        "bg_classname": "home",
        "event_present": True,
        "ebr": -6.0,
        "event_path": "gunshot/3.wav",
        "event_class": "gunshot",
        "event_start_in_mixture_seconds": 3.5,
        "event_length_seconds": 1.25,
        "segment_start_seconds": 0.75,
        "segment_end_seconds": 2.0,
        "scaling_factor": 0.25,
    }
    assert isinstance(positive["segment_end_seconds"], float)
    assert (negative["event_present"], negative["ebr"]) == (False, -math.inf)
    assert negative["event_path"] is negative["scaling_factor"] is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scaling_factor: 0.25", "scaling_factor: loud", "recipe 0: \"scaling_factor\" is 'loud'"),
        ("scaling_factor: 0.25", "other: 0.25", 'recipe 0: "scaling_factor" is None'),
        ("ebr: -6.0", "ebr: .nan", 'recipe 0: "ebr" is nan'),
        ("event_present: false", "event_present: 0", 'recipe 1: "event_present" is 0'),
        ("bg_path: audio/a001_0_30.wav", "bg_path: 7", 'recipe 1: "bg_path" is 7'),
        (
            "ebr: -6.0",
            "ebr: !!python/object/apply:os.system ['true']",
            ":5: .*no Python or NumPy objects",
        ),
        (
            "ebr: -6.0",
            "ebr: !!python/object/apply:numpy.core.multiarray.scalar [1, 2]",
            ":5: .*dump the file again with yaml.safe_dump",
        ),
        ("ebr: -6.0", "ebr: [", r":\d+: no YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_and_no_object_is_made(tmp_path, old, new, message):
    path = tmp_path / "recipes.yaml"
    path.write_text(RECIPES.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_tut_rare_recipes(path)


@pytest.mark.parametrize("content", ["", "{}", "[]", "[1]"])
def test_a_file_without_recipes_is_refused(tmp_path, content):
    path = tmp_path / "recipes.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match="expected a"):
        read_tut_rare_recipes(path)
