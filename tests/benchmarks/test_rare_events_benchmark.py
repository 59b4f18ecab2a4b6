"""The rare-event benchmark: its counts against closed forms, its clock, and one tiny run of all."""

from __future__ import annotations

import json

import cnn14
import pytest
import rare_events
import torch
from clip_memory import clip_megabytes
from interleaved import Setting, Timing, interleaved
from multiply_accumulates import gru_multiply_accumulates, multiply_accumulates
from rare_event_measures import make_subject, measure_inference, measure_size, measure_training
from rare_event_models import CONFIGURATIONS, host_with_cnn14

from sedsdk import Features, Host, Inputs, Pipeline, compose, part
from sedsdk.training.recipe import load_recipe

ONE_THREAD = Setting("1 thread", threads=1)
HAS_PLUGIN = {
    name: any(entry.name == name for entry in host_with_cnn14().parts("encoder"))
    for name in ("mtfa", "multires_gru")
}
needs_mtfa = pytest.mark.skipif(
    not HAS_PLUGIN["mtfa"], reason="plugin mtfa: pip install plugins/mtfa"
)
needs_multires = pytest.mark.skipif(
    not HAS_PLUGIN["multires_gru"], reason="plugin multires-rnn: pip install plugins/multires_rnn"
)


@pytest.fixture
def narrow_cnn14(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves CNN14 its depth, and few of its 80 million parameters."""
    monkeypatch.setattr(cnn14, "CHANNELS", (2, 4, 4, 4, 4, 8))
    monkeypatch.setattr(cnn14, "EMBEDDING", 16)


def quiet(line: str) -> None:
    """Takes a progress line and drops it."""


def counted_per_second(name: str) -> float:
    subject = make_subject(name, host_with_cnn14(), clip_seconds=1.0, batch_clips=1)
    measure_size(subject)
    return subject.figures["multiply_accumulates_per_second"]


# Counting


def test_cnn14_has_the_published_parameters_and_multiply_adds() -> None:
    """Table XII of the paper: 80,753,615 parameters, 42.220 · 10⁹ for 10 s at 32 kHz.

    The table counts a multiplication and an addition each, and the spectrogram, which its authors
    compute as a convolution: 1001 frames, window 1024, 2 · 513 outputs, and 513 × 64 mel weights.
    """
    frontend = part("log_mel", sample_rate=32000, window_seconds=0.032, hop_seconds=0.01, n_mels=64)
    labels = [f"class {number}" for number in range(527)]
    pipeline = compose(
        labels, frontend, "cnn14", "cnn14_tags", host=Host([("panns", cnn14)], discover=False)
    ).eval()
    assert sum(p.numel() for p in pipeline.parameters()) == 80_753_615

    grid = pipeline.streams["main"].grid
    features = Features(torch.zeros(1, 1001, 64), torch.tensor([1001]), grid)
    count = multiply_accumulates(pipeline, lambda: pipeline(Inputs({"main": features})))
    spectrogram = 1001 * (1024 * 2 * 513 + 513 * 64)
    assert 2 * (count + spectrogram) == pytest.approx(42.220e9, rel=2e-3)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_gru_is_counted_by_its_matrices(bidirectional: bool) -> None:
    ways = 2 if bidirectional else 1
    gru = torch.nn.GRU(10, 7, 2, batch_first=True, bidirectional=bidirectional)
    model = torch.nn.Sequential()
    model.append(torch.nn.Linear(5, 10)).append(gru)
    x = torch.zeros(3, 50, 5)
    first, second = 3 * 7 * (10 + 7), 3 * 7 * (7 * ways + 7)
    recurrent = 3 * 50 * ways * (first + second)
    assert gru_multiply_accumulates(gru, torch.zeros(3, 50, 10)) == recurrent
    assert multiply_accumulates(model, lambda: model(x)) == 3 * 50 * 5 * 10 + recurrent


def test_a_strided_convolution_is_counted_by_its_output() -> None:
    layer = torch.nn.Conv2d(2, 6, (3, 5), stride=(1, 2), padding=(1, 2), bias=False)
    x = torch.zeros(4, 2, 9, 16)  # output [4, 6, 9, 8]
    assert multiply_accumulates(layer, lambda: layer(x)) == 4 * 6 * 9 * 8 * (2 * 3 * 5)


@needs_mtfa
@pytest.mark.parametrize("mask", ["hourglass", "resnet", "none"])
def test_mtfa_is_counted_as_on_paper(mask: str) -> None:
    """One second: 51 frames, 56 for the hourglass; 128 bands, 64 channels, 8 bins, 64 units."""
    frames, pixels = 51, 51 * 128
    if mask == "hourglass":
        pixels = 56 * 128
    block, one_by_one = 2 * 9 * 64 * 64, 64 * 64
    count = pixels * (9 * 64 + 2 * block)  # stem and feature branch
    if mask == "hourglass":
        down, skip, maps = 4, 3, 4
        count += sum(pixels * block // 4**scale for scale in range(down))
        count += sum(pixels * block // 4**scale for scale in range(skip))
        count += sum(pixels * one_by_one // 4**scale for scale in range(maps))
    elif mask == "resnet":
        count += pixels * (2 * block + one_by_one)
    count += frames * 2 * 3 * 64 * ((64 * 8 + 64) + (128 + 64))  # two layers, both ways
    count += frames * 128  # one class
    assert counted_per_second(f"mtfa-{mask}") == count


@needs_multires
@pytest.mark.parametrize(
    ("name", "ways", "frames"),
    [
        ("multires-uni", 1, (44, 44, 44)),
        ("multires-bi", 2, (44, 44, 44)),
        ("multires-3", 2, (44, 22, 11)),
        ("multires-4", 2, (44, 22, 11, 6)),
    ],
)
def test_multires_is_counted_as_on_paper(name: str, ways: int, frames: tuple[int, ...]) -> None:
    """One second is 44 frames of 64 bands; every layer has 256 units in each direction."""
    sizes = [64, *[256 * ways] * (len(frames) - 1)]
    layers = [n * ways * 3 * 256 * (size + 256) for n, size in zip(frames, sizes, strict=True)]
    assert counted_per_second(name) == sum(layers) + 44 * 256 * ways


# What is measured


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("mtfa-hourglass", (1501, 128), marks=needs_mtfa),
        pytest.param("multires-4", (1305, 64), marks=needs_multires),
        ("cnn14-128", (1501, 128)),
        ("cnn14-64", (1305, 64)),
    ],
)
@pytest.mark.usefixtures("narrow_cnn14")
def test_thirty_seconds_have_the_papers_shape(name: str, shape: tuple[int, int]) -> None:
    pipeline = CONFIGURATIONS[name].build(host_with_cnn14())
    frontend = pipeline.frontends["main"]
    samples = 30 * pipeline.sample_rates[0]
    assert (frontend.frame_count(samples), frontend.spec.size) == shape


@pytest.mark.parametrize(
    ("name", "recipe_name"),
    [
        pytest.param("mtfa-hourglass", "mtfa/babycry", marks=needs_mtfa),
        pytest.param("multires-3", "multires-rnn/babycry-5k", marks=needs_multires),
        pytest.param("multires-4", "multires-rnn/babycry-15k", marks=needs_multires),
        ("crnn", "rare/recordings"),
    ],
)
def test_a_model_and_its_batch_are_those_of_its_recipe(name: str, recipe_name: str) -> None:
    recipe = load_recipe(recipe_name)
    asked = Pipeline(recipe.pipeline)
    configuration = CONFIGURATIONS[name]
    built = configuration.build(host_with_cnn14())
    assert built.encoder.config == asked.encoder.config
    assert built.head.config == asked.head.config
    assert built.streams == asked.streams
    assert [type(p) for p in built.postprocessors] == [type(p) for p in asked.postprocessors]
    whole_clip = recipe.data.mixing.clip_seconds if name == "crnn" else 30.0
    assert configuration.batch_clips == recipe.training.batch_size
    assert configuration.batch_seconds == (recipe.training.chunk_seconds or whole_clip)


@pytest.mark.usefixtures("narrow_cnn14")
def test_cnn14_frames_repeat_the_clip_and_dropout_is_off_in_evaluation() -> None:
    subject = make_subject("cnn14-64", host_with_cnn14(), clip_seconds=3.0, batch_clips=1)
    with torch.inference_mode():
        first, second = (subject.pipeline(subject.inputs) for _ in range(2))
    assert first.frames.shape == (1, 131 // 32, 527)  # ⌊30 s · 44100 / 1014⌋ + 1 = 131 frames
    assert torch.equal(first.frames[0, 0], first.clip[0])
    assert torch.equal(first.clip, second.clip)


@pytest.mark.parametrize(
    "name",
    [
        "crnn",
        "cnn14-64",
        pytest.param("mtfa-none", marks=needs_mtfa),
        pytest.param("multires-3", marks=needs_multires),
    ],
)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.usefixtures("narrow_cnn14")
def test_a_training_step_learns_and_bfloat16_runs(name: str, half: bool) -> None:
    subject = make_subject(name, host_with_cnn14(), clip_seconds=1.0, batch_clips=2)
    setting = Setting("bf16" if half else "fp32", threads=1, half=half)
    before = {key: value.clone() for key, value in subject.pipeline.named_parameters()}
    measure_inference([subject], [setting], 1, quiet)
    assert all(torch.equal(before[k], p) for k, p in subject.pipeline.named_parameters())
    measure_training([subject], [setting], 1, quiet)
    unmoved = [k for k, p in subject.pipeline.named_parameters() if torch.equal(before[k], p)]
    assert unmoved == []
    assert all(p.isfinite().all() for p in subject.pipeline.parameters())
    assert {what: list(times) for what, times in subject.times.items()} == {
        what: [setting.name] for what in ("model", "audio to events", "training")
    }


# The clock


def test_calls_are_interleaved_and_the_first_round_only_warms_up() -> None:
    called: list[tuple[str, int]] = []
    calls = {
        name: lambda name=name: called.append((name, torch.get_num_threads())) for name in "abc"
    }
    threads = torch.get_num_threads()
    settings = [Setting("one", threads=1), Setting("three", threads=3)]
    progress: list[tuple[int, int]] = []
    taken = interleaved(calls, settings, 2, lambda done, total: progress.append((done, total)))
    orders = ["abc", "bca", "cab"]
    assert called == [(name, n) for order in orders for n in (1, 3) for name in order]
    assert torch.get_num_threads() == threads
    assert {key: len(seconds) for key, seconds in taken.items()} == {
        (name, setting): 2 for name in "abc" for setting in ("one", "three")
    }
    assert progress[0] == (1, 18)
    assert progress[-1] == (18, 18)


def test_bfloat16_is_what_a_half_setting_computes_in() -> None:
    found = []
    a = torch.ones(2, 2)
    for half in (False, True):
        Setting("any", half=half).seconds(lambda: found.append((a @ a).dtype))
    assert found == [torch.float32, torch.bfloat16]


def test_timing_gives_best_and_median() -> None:
    timing = Timing([3.0, 1.5, 6.0], 30.0)
    assert timing.real_time_factors == (0.05, 0.1)
    assert timing.speeds == (20.0, 10.0)


@needs_mtfa
def test_memory_of_a_clip_holds_at_least_two_maps_of_mtfa() -> None:
    """A convolution reads one map and writes another: [64, 501, 128] in float32 for 10 s."""
    megabytes = clip_megabytes("mtfa-none", 10.0)
    if megabytes is None:
        pytest.skip("tells a process's peak on Linux only")
    one_map = 64 * 501 * 128 * 4 / 1e6
    assert 2 * one_map < megabytes < 20 * one_map


# The command


@pytest.mark.usefixtures("narrow_cnn14")
def test_a_tiny_run_prints_tables_and_writes_every_round(tmp_path, capsys) -> None:
    names = ["crnn", "cnn14-64"]
    path = tmp_path / "figures.json"
    options = ["--seconds", "1", "--clips", "2", "--steps", "1", "--batch", "1", "--threads", "1"]
    assert rare_events.main([*options, "--no-memory", "--json", str(path), "--only", *names]) == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["models"]) == names
    for model in written["models"].values():
        assert {what: len(s["1 thread"]) for what, s in model["seconds"].items()} == {
            "model": 2,
            "audio to events": 2,
            "training": 1,
        }
    assert written["models"]["crnn"]["input"] == [26, 64]
    assert written["models"]["crnn"]["parameters"] == 431_507  # as in benchmarks/RESULTS.md

    printed = capsys.readouterr().out
    best = min(written["models"]["crnn"]["seconds"]["model"]["1 thread"])
    row = next(line for line in printed.splitlines() if line.startswith("| crnn | 0"))
    assert float(row.split("|")[2].split()[0]) == pytest.approx(best, abs=5.1e-5)
    assert "| crnn | 26 × 64 | 26 × 3 | 431,507 |" in printed


def test_a_missing_plugin_is_left_out_with_its_cure(monkeypatch, capsys) -> None:
    bare = Host([("panns", cnn14)], discover=False)
    monkeypatch.setattr(rare_events, "host_with_cnn14", lambda: bare)
    options = ["--seconds", "1", "--clips", "1", "--steps", "0", "--threads", "1", "--no-memory"]
    assert rare_events.main([*options, "--only", "mtfa-none", "multires-uni", "crnn"]) == 0
    printed = capsys.readouterr().out
    assert "mtfa-none is left out" in printed
    assert "pip install plugins/mtfa" in printed
    assert "pip install plugins/multires_rnn" in printed
    assert "| crnn |" in printed
    assert "training" not in printed.split("Real-time factor")[1].splitlines()[2]
    assert rare_events.main([*options, "--only", "mtfa-none"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threads", "0"], "whole numbers as in 1,2"),
        (["--threads", "1;2"], "whole numbers as in 1,2"),
        (["--seconds", "0.1"], "give at least 1.0"),
        (["--only", "resnet50"], "mtfa-hourglass"),
    ],
)
def test_a_wrong_option_is_refused_in_words(options, said, capsys) -> None:
    with pytest.raises(SystemExit):
        rare_events.main(options)
    assert said in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tiny_run_on_a_gpu(tmp_path) -> None:
    path = tmp_path / "figures.json"
    options = ["--seconds", "1", "--clips", "1", "--steps", "1", "--batch", "1"]
    assert rare_events.main([*options, "--device", "cuda", "--json", str(path)]) == 0
    for model in json.loads(path.read_text(encoding="utf-8"))["models"].values():
        assert model["clip_megabytes"] > 0
        assert set(model["seconds"]["training"]) == {"fp32", "bf16"}
