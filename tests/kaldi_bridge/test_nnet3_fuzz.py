"""Damaged models end in a model or in one error with file and place, soon and in little memory."""

from __future__ import annotations

import contextlib
import gzip
import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kaldi_golden import MODEL_DIRS, needs_golden
from made_models import as_bytes, chain_transitions, every_model, every_network

from kaldi_bridge import fuzz
from kaldi_bridge.errors import KaldiFileError, NotSupported, ShapeError
from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.reading import Model, read_model

FORMS = {
    "mdl": as_bytes(every_model(), binary=True),
    "mdl text": as_bytes(every_model(), binary=False),
    "raw": as_bytes(every_network(), binary=True),
    "raw text": as_bytes(every_network(), binary=False),
}
MANY = settings(
    derandomize=True,
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mutation", fuzz.MUTATIONS, ids=lambda mutation: mutation.__name__)
@MANY
@given(seed=st.integers(0, 2**63))
def test_one_error_or_a_model(form, mutation, seed):
    damaged = mutation(FORMS[form], random.Random(seed))
    outcome = fuzz.try_reading(damaged, "made", measure_memory=seed % 16 == 0)
    assert not outcome.wrong
    assert outcome.kind in {"Model", "KaldiFileError", "NotSupported", "ShapeError"}


@pytest.mark.parametrize("form", FORMS)
def test_cut_off_anywhere_is_an_error(form):
    data = FORMS[form].rstrip()
    for end in range(0, len(data) - 1, 13):
        assert fuzz.try_reading(data[:end], "made", measure_memory=False).kind == "KaldiFileError"
    assert fuzz.try_reading(data, "made").kind == "Model"


@pytest.mark.parametrize("binary", [True, False])
def test_cut_off_at_every_byte_is_an_error(binary):
    head = "input-node name=input dim=2\ncomponent-node name=a component=a input=input\n"
    tdnn = make.tdnn("a", [[1, 2, 3, 4]] * 4, [0.5] * 4, [-1, 1])
    network = make.network(head + "output-node name=output input=a\n", [tdnn])
    data = as_bytes(Model(chain_transitions(), network), binary).rstrip()
    for end in range(len(data) - 1):
        assert fuzz.try_reading(data[:end], "made", measure_memory=False).kind == "KaldiFileError"
    assert fuzz.try_reading(data, "made").kind == "Model"


@needs_golden
@pytest.mark.parametrize("name", ["final.raw", "final.raw.txt.gz"])
def test_damaged_golden_models(name):
    folder = next(folder for folder in MODEL_DIRS if folder.name.startswith("g_"))
    report = fuzz.fuzz([folder / name], cases=60, seed=1)
    assert not report.wrong
    assert report.cases == 60
    assert report.kinds["KaldiFileError"] > 30


@pytest.mark.parametrize("depth", [100, 100_000])
def test_descriptors_within_descriptors(depth):
    head = b"input=" + b"Offset(" * depth + b"input" + b", 1)" * depth + b" "
    data = FORMS["raw"].replace(b"input=", head, 1)
    outcome = fuzz.try_reading(data, "made")
    assert (outcome.kind, outcome.wrong) == ("KaldiFileError", "")


def test_a_damaged_gzip_file_is_one_error(tmp_path):
    packed = gzip.compress(FORMS["raw"])
    chance = random.Random(5)
    path = tmp_path / "model.gz"
    for number in range(300):
        path.write_bytes(fuzz.MUTATIONS[number % 5](packed, chance))
        with contextlib.suppress(KaldiFileError, NotSupported, ShapeError):
            read_model(path)
    path.write_bytes(packed)
    assert read_model(path).transitions is None


def test_what_must_not_happen_is_noticed(monkeypatch):
    def leaking(source):
        raise ValueError("leaked")

    monkeypatch.setattr(fuzz, "model_from", leaking)
    assert fuzz.try_reading(b"", "made").wrong == "ValueError: leaked"

    def without_place(source):
        raise KaldiFileError("elsewhere", "somewhere", "bad.")

    monkeypatch.setattr(fuzz, "model_from", without_place)
    assert "without file or place" in fuzz.try_reading(b"", "made").wrong

    def greedy(source):
        bytearray(5_000_000)
        raise KaldiFileError("made", "byte 0", "bad.")

    monkeypatch.setattr(fuzz, "model_from", greedy)
    assert "of memory for a file of 3" in fuzz.try_reading(b"abc", "made").wrong
    assert not tracemalloc.is_tracing()


def test_the_command(tmp_path, capsys):
    path = tmp_path / "final.mdl"
    path.write_bytes(FORMS["mdl"])
    assert fuzz.main([str(path), "--cases", "45", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "cases               45" in said
    assert "KaldiFileError" in said
    assert "worst extra memory" in said
    assert "must not happen     0" in said
    assert fuzz.main([str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err
