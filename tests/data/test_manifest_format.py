"""Manifests on disk: every format, round trips, and errors with file and line."""

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sedsdk.data import Clip, Manifest
from sedsdk.errors import DataError
from sedsdk.types import Event


@pytest.fixture
def read(tmp_path):
    def read_text(text, name="list.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Manifest.read(path, **options)

    return read_text


WEAK = 'filename,event_labels\na.wav,"dog,cat"\nb.wav,cat;hen\nc.wav,\nd.wav,dog\n'
STRONG = (
    "filename\tonset\toffset\tevent_label\n"
    "a.wav\t0.5\t1.25\tdog\n"
    "b.wav\t\t\t\n"
    "a.wav\t2\t3\tAir horn, truck horn\n"
)


def test_weak_labels(read, tmp_path):
    manifest = read(WEAK)
    assert [c.tags for c in manifest] == [("dog", "cat"), ("cat", "hen"), (), ("dog",)]
    assert all(c.events is None for c in manifest)
    assert manifest.labels == ("cat", "dog", "hen")
    assert manifest["a.wav"].path == tmp_path / "a.wav"


@pytest.mark.parametrize("name", ["list.tsv", "list.csv", "list.txt"])
def test_strong_labels_merge_rows_by_file(read, name):
    manifest = read(STRONG, name)
    assert manifest["a.wav"].events == (
        Event(0.5, 1.25, "dog"),
        Event(2.0, 3.0, "Air horn, truck horn"),
    )
    assert manifest["b.wav"].events == ()
    assert all(c.tags is None for c in manifest)


def test_byte_order_mark_line_ends_blanks_and_case_do_not_matter(read):
    plain = read(STRONG, "list.tsv")
    disguised = (
        "\ufeff" + STRONG.replace("filename", " Filename ").replace("\n", "\r\n") + "\r\n\r\n"
    )
    assert read(disguised, "list.tsv") == plain


def test_unlabelled_clips_are_unknown_not_empty(read):
    manifest = read("filename\na.wav\nb.wav\n")
    assert [(c.tags, c.events) for c in manifest] == [(None, None)] * 2


def test_weak_and_strong_together(read):
    manifest = read(
        "filename,event_labels,onset,offset,event_label\n"
        "strong.wav,,1,2,dog\n"
        "both.wav,dog,1,2,dog\n"
        "weak.wav,dog,,,\n"
        "none.wav,,,,\n"
        "unknown.wav,?,,,?\n"
    )
    assert [(c.tags, None if c.events is None else len(c.events)) for c in manifest] == [
        (None, 1),
        (("dog",), 1),
        (("dog",), None),
        ((), 0),
        (None, None),
    ]


def test_clips_inside_a_long_file(read):
    manifest = read(
        "filename,start,end,onset,offset,event_label,group,split\n"
        "day.wav,0,10,1,2,dog,site 1,train\n"
        "day.wav,10,20.0,1,2,dog,site 1,dev\n"
        "day.wav,10.0,20,3,4,dog,site 1,dev\n"
    )
    first, second = manifest
    assert (first.start, first.end, first.group, first.split) == (0.0, 10.0, "site 1", "train")
    assert (second.start, second.end, len(second.events)) == (10.0, 20.0, 2)
    assert first.id != second.id


def test_list_without_header(read):
    text = "b.wav\na.wav\t0.5\t1.5\tdog\na.wav\t3\t4\tcat\nb2.wav\t\t\t\n"
    for name in ("list.txt", "list.csv", "list.ann"):
        manifest = read(text, name)
        assert [len(c.events) for c in manifest] == [0, 2, 0]
        assert manifest.labels == ("cat", "dog")


def test_labels_with_commas_are_kept_whole_where_the_set_is_known(read):
    labels = ("Air horn, truck horn", "Train", "Train horn")
    text = (
        "filename,tags\n"
        'a.wav,"Train horn,Train,Air horn, truck horn"\n'
        'b.wav,"Air horn, truck horn"\n'
    )
    manifest = read(text, labels=labels)
    assert manifest["a.wav"].tags == ("Train horn", "Train", "Air horn, truck horn")
    assert manifest["b.wav"].tags == ("Air horn, truck horn",)
    assert manifest.labels == labels


def test_audio_root(read, tmp_path):
    manifest = read(WEAK, audio_root=tmp_path / "audio")
    assert manifest["a.wav"].path == tmp_path / "audio" / "a.wav"
    assert read("filename\n/data/a.wav\n").clips[0].path == Path("/data/a.wav")


def test_json_lines(read):
    manifest = read(
        '{"labels": ["dog", "cat"]}\n'
        '{"filename": "a.wav", "events": [{"onset": 1, "offset": 2, "label": "cat"}]}\n'
        "\n"
        '{"filename": "b.wav", "tags": [], "id": "second", "start": 1.5, "end": null}\n',
        "list.jsonl",
    )
    assert manifest.labels == ("dog", "cat")
    assert manifest["a.wav"].events == (Event(1.0, 2.0, "cat"),)
    assert (manifest["second"].tags, manifest["second"].start) == ((), 1.5)


E = "filename,onset,offset,event_label\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (E + "a.wav,1,2,dog\nb.wav,2,1,dog\n", 3, "offset 1 s before onset 2 s"),
        (E + "a.wav,-1,2,dog\n", 2, "negative onset"),
        (E + "a.wav,one,2,dog\n", 2, 'onset "one" is no number'),
        (E + 'a.wav,1,"2,5",dog\n', 2, 'offset "2,5" is no number'),
        (E + "a.wav,1,nan,dog\n", 2, 'offset "nan" is no number'),
        (E + "a.wav,1,2,cow\n", 2, 'label "cow" is not in the set'),
        (E + "a.wav,1,2,dgo\n", 2, 'Did you mean "dog"'),
        (E + "a.wav,1,,dog\n", 2, "offset is empty"),
        (E + "a.wav,1,2,\n", 2, "event_label is empty"),
        (E + ",1,2,dog\n", 2, "file name is empty"),
        (E + "a.wav,1,2,dog\na.wav,,,\n", 3, "another row"),
        (E + "a.wav,,,\na.wav,1,2,dog\n", 3, "none at"),
        (E + "a.wav,1,2,dog,more\n", 2, "5 cells under 4 columns"),
        (E + 'a.wav,1,2,"dog\n', 2, "Close the quotation mark"),
        ("filename,tags\na.wav,dog\na.wav,dog\n", 3, 'clip "a.wav" is already at'),
        ("filename,tags\na.wav,dgo\n", 2, 'Did you mean "dog"'),
        ("filenam,tags\na.wav,dog\n", 1, 'no column "filename". Did you mean "filenam"'),
        ("filename,onset,event_label\na.wav,1,dog\n", 1, 'no column "offset"'),
        ("filename,start,start\na.wav,1,2\n", 1, 'column "start" is there twice'),
        ("filename,start,end\na.wav,5,4\n", 2, "end 4 s is not after its start 5 s"),
        ("filename,start\na.wav,x\n", 2, 'start "x" is no number'),
        ("filename,id,group\na.wav,1,x\nb.wav,1,x\n", 3, 'clip "1" is already at'),
        (
            "filename,onset,offset,event_label,split\na.wav,1,2,dog,train\na.wav,3,4,dog,dev\n",
            3,
            "split",
        ),
        ("a.wav\t1\t2\tdog\nb.wav\t1\t2\n", 2, "3 cells. A list without header"),
        ("", 1, "the file is empty"),
    ],
)
def test_every_wrong_row_is_named_with_its_line(read, tmp_path, text, line, message):
    with pytest.raises(DataError) as caught:
        read(text, labels=("dog", "cat"))
    assert str(caught.value).startswith(f"{tmp_path / 'list.csv'}:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "list in place of an object"),
        ('{"filename": ""}', '"filename" is'),
        ('{"filename": "a", "tag": []}', 'unknown key "tag". Did you mean "tags"'),
        ('{"filename": "a", "tags": "dog"}', "list of texts"),
        ('{"filename": "a", "events": {}}', "list of objects"),
        ('{"filename": "a", "events": [1]}', "no object"),
        ('{"filename": "a", "events": [{"onset": 0, "offset": 1}]}', '"label" is None'),
        (
            '{"filename": "a", "events": [{"onset": "0", "offset": 1, "label": "dog"}]}',
            '"onset" is',
        ),
        (
            '{"filename": "a", "events": [{"onset": 2, "offset": 1, "label": "dog"}]}',
            "before onset",
        ),
        ('{"filename": "a", "tags": ["cow"]}', "not in the set"),
        ('{"filename": "ok.wav"}', "already at"),
        ('{"filename": "a", "start": true}', '"start" is True'),
    ],
)
def test_every_wrong_json_line_is_named(read, tmp_path, line, message):
    with pytest.raises(DataError) as caught:
        read('{"filename": "ok.wav"}\n' + line + "\n", "list.jsonl", labels=("dog",))
    assert str(caught.value).startswith(f"{tmp_path / 'list.jsonl'}:2: ")
    assert message in str(caught.value)


def test_files_that_are_no_manifest(read, tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        read("filename\nä.wav\n".encode("latin-1"))
    with pytest.raises(DataError, match="does not exist"):
        Manifest.read(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r'no manifest format ".xlsx"'):
        read("", "list.xlsx")
    with pytest.raises(DataError, match="lists no clip"):
        read("filename\n")


# Round trips

NAMES = st.text(string.ascii_letters + string.digits + " _-äé'\"", min_size=1, max_size=8).map(
    str.strip
)
NAMES = NAMES.filter(bool)
LABELS = ("dog", "cat", "Air horn, truck horn", "Ünder ground")
TIMES = st.floats(0, 1e4, allow_nan=False)


@st.composite
def clips(draw, clip_id):
    label = st.sampled_from(LABELS)
    start = draw(TIMES)
    end = draw(st.none() | st.floats(start + 20, start + 1e4))
    events = draw(
        st.none()
        | st.lists(
            st.builds(
                lambda onset, length, name, score: Event(onset, onset + length, name, score),
                st.floats(0, 10),
                st.floats(0, 9),
                label,
                st.just(1.0) | st.floats(0, 1),
            ),
            max_size=3,
        ).map(tuple)
    )
    from_events = {event.label for event in events or ()}
    tags = draw(st.none() | st.lists(label, unique=True).map(tuple))
    if tags is not None and events is not None:
        tags = tuple(sorted(from_events.union(tags))) if events else ()
    folder = draw(st.sampled_from(["audio", "/data/audio", "."]))
    return Clip(
        clip_id,
        Path(folder) / f"{draw(NAMES)}.wav",
        draw(st.sampled_from([0.0, start])),
        end,
        tags,
        events,
        draw(st.just("") | NAMES),
        draw(st.just("") | NAMES),
    )


@st.composite
def manifests(draw):
    ids = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return Manifest(tuple(draw(clips(clip_id)) for clip_id in ids), LABELS)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(manifest=manifests())
def test_what_is_written_is_read_again(tmp_path, suffix, manifest):
    rooted = Manifest(
        tuple(
            Clip(c.id, tmp_path / c.path, c.start, c.end, c.tags, c.events, c.group, c.split)
            for c in manifest
        ),
        LABELS,
    )
    path = tmp_path / f"list{suffix}"
    rooted.write(path)
    again = Manifest.read(path, LABELS)
    assert again == rooted
    assert again.digest == rooted.digest
    assert not list(tmp_path.glob(".*"))


def test_a_moved_folder_reads_the_same(tmp_path):
    (tmp_path / "one").mkdir()
    manifest = Manifest((Clip("a", tmp_path / "one" / "audio" / "a.wav", tags=("dog",)),))
    manifest.write(tmp_path / "one" / "list.csv")
    (tmp_path / "one").rename(tmp_path / "two")
    moved = Manifest.read(tmp_path / "two" / "list.csv")
    assert moved["a"].path == tmp_path / "two" / "audio" / "a.wav"
    assert moved.digest == manifest.digest


def test_what_a_table_cannot_hold_is_refused(tmp_path):
    manifest = Manifest((Clip("a", Path("a.wav"), tags=("one;two",)),))
    with pytest.raises(DataError, match=r"Use \.jsonl"):
        manifest.write(tmp_path / "list.csv")
    manifest.write(tmp_path / "list.jsonl")
    assert Manifest.read(tmp_path / "list.jsonl").labels == ("one;two",)
    with pytest.raises(DataError, match="not written as"):
        manifest.write(tmp_path / "list.xlsx")
