"""A saved detector: what comes back, what may be edited, and what is refused in words."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_parts
from safetensors.torch import load_file, save_file
from toy_parts import MakePipeline

import sedsdk
from sedsdk import BundleError, Host, MissingPlugin, Pipeline, part
from sedsdk.runtime.bundle import (
    ModelCard,
    load_bundle,
    read_bundle_config,
    save_bundle,
)
from sedsdk.runtime.weights import file_digest

RATE = 8000
LOUD_HALF = np.concatenate([np.zeros(RATE), np.full(RATE, 0.3)]).astype(np.float32)

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def saved(make_pipeline: MakePipeline, tmp_path: Path) -> Path:
    card = ModelCard(
        name="Loudness",
        data="closed form",
        scores={"event_based": {"error_rate": 0.25}},
        weights_licence="CC0-1.0",
        shortest_clip_seconds=0.2,
    )
    return save_bundle(make_pipeline(), tmp_path / "loudness", card)


def edit(folder: Path, change: Edit) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Rewrites the weights, and the digest that would tell."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit(folder, lambda values: values.update(weights_sha256=file_digest(path)))


# What comes back


def test_a_detector_comes_back_as_it_was_saved(make_pipeline, saved, host) -> None:
    before = sedsdk.Detector(make_pipeline()).predict(LOUD_HALF, RATE)
    detector = sedsdk.load(saved, host=host)
    after = detector.predict(LOUD_HALF, RATE)
    np.testing.assert_array_equal(after.frames, before.frames)
    assert after.events == before.events
    assert detector.shortest_clip_seconds == 0.2
    assert not detector.pipeline.training


def test_the_config_names_every_part_in_full_with_all_defaults(saved, host) -> None:
    config = read_bundle_config(saved)
    assert config.pipeline == load_bundle(saved, host).config
    assert config.pipeline.frontends["main"].part == "toy_parts/level"
    assert config.pipeline.frontends["main"].options == {
        "sample_rate": 8000,
        "hop_samples": 80,
        "window_samples": 80,
    }
    assert config.plugins["builtin"].distribution == "sedsdk"
    assert set(config.plugins) == {"builtin", "toy_parts"}
    assert config.card.scores == {"event_based": {"error_rate": 0.25}}


def test_the_card_tells_people_what_they_need(saved) -> None:
    text = (saved / "README.md").read_text()
    for piece in (
        "# Loudness",
        "closed form",
        "| event_based.error_rate | 0.25 |",
        "Code: Apache-2.0. Weights: CC0-1.0.",
        "Shortest useful clip: 0.2 s",
        'detector = sedsdk.load("path/to/this/folder")',
        "0. loud",
    ):
        assert piece in text


def test_the_shortest_clip_is_filled_in(make_pipeline, tmp_path) -> None:
    pipeline = make_pipeline(
        part("level", hop_samples=160, window_samples=400), part("smooth", join=4)
    )
    config = read_bundle_config(save_bundle(pipeline, tmp_path / "model"))
    assert config.card.shortest_clip_seconds == pytest.approx((400 + 3 * 160) / 8000)


def test_saving_a_loaded_detector_again_gives_the_same_folder(saved, host, tmp_path) -> None:
    card = read_bundle_config(saved).card
    again = save_bundle(load_bundle(saved, host), tmp_path / "again", card)
    for name in ("config.json", "README.md"):
        assert (again / name).read_text() == (saved / name).read_text()
    assert (
        load_file(again / "model.safetensors").keys()
        == load_file(saved / "model.safetensors").keys()
    )


def test_loading_leaves_the_global_random_state_alone(saved, host) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_bundle(saved, host)
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_threshold_may_be_edited_by_hand(saved, host) -> None:
    assert len(sedsdk.load(saved, host=host)(LOUD_HALF, RATE)) == 1
    edit(saved, lambda v: v["pipeline"]["postprocessors"][0].update(value={"loud": 0.999}))
    assert sedsdk.load(saved, host=host)(LOUD_HALF, RATE) == []


# What is refused: the folder and its config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format_version=7), "format version 7"),
        (lambda v: v.pop("format_version"), 'no "format_version"'),
        (lambda v: v.pop("pipeline"), 'the field "pipeline" is missing'),
        (lambda v: v["pipeline"].update(labels=["quiet"]), "labels .quiet. are not those"),
        (lambda v: v["pipeline"]["encoder"].update(frames="many"), "frames = 'many'"),
        (lambda v: v["pipeline"]["encoder"].update(part="os.path:join"), "is no part name"),
        (lambda v: v["pipeline"]["encoder"].update(part="smoth"), 'Did you mean "smooth"'),
        (lambda v: v["pipeline"]["postprocessors"][0].update(value=1.5), "value"),
    ],
)
def test_a_config_that_says_something_wrong_is_refused(saved, host, change, message) -> None:
    edit(saved, change)
    with pytest.raises(BundleError, match=message) as refusal:
        load_bundle(saved, host)
    assert "config.json" in str(refusal.value)


def test_a_folder_that_is_no_detector_is_refused(saved, host, tmp_path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        load_bundle(tmp_path / "nowhere", host)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"holds no config\.json"):
        load_bundle(tmp_path / "empty", host)
    with pytest.raises(BundleError, match="is a file"):
        load_bundle(saved / "config.json", host)
    (saved / "config.json").write_text("{")
    with pytest.raises(BundleError, match="is no JSON"):
        load_bundle(saved, host)
    (saved / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="is no JSON"):
        load_bundle(saved, host)


def test_a_device_that_is_not_there_is_refused(saved, host) -> None:
    for device in ("cuda:77", "abacus"):
        with pytest.raises(BundleError, match=device):
            load_bundle(saved, host, device)


# What is refused: plugins


def test_a_plugin_that_was_handed_over_has_to_be_handed_over_again(saved) -> None:
    with pytest.raises(MissingPlugin, match=r"toy_parts.*handed to the host"):
        load_bundle(saved, Host(discover=False))


def test_a_missing_plugin_is_named_with_the_package_to_install(saved, host) -> None:
    need = {"distribution": "sedsdk-mtfa", "version": "0.3.0", "api": [1, 1]}
    edit(saved, lambda v: v["plugins"].update(mtfa=need))
    with pytest.raises(MissingPlugin, match=r'pip install "sedsdk-mtfa>=0.3.0"'):
        load_bundle(saved, host)


def test_a_plugin_older_than_the_saved_one_is_refused(saved, host) -> None:
    edit(saved, lambda v: v["plugins"]["builtin"].update(version="99.0"))
    with pytest.raises(MissingPlugin, match=r"saved with.* sedsdk 99.0; installed is .* --upgrade"):
        load_bundle(saved, host)


def test_a_detector_of_another_plugin_api_is_refused(saved, host) -> None:
    edit(saved, lambda v: v.update(api_version=9))
    with pytest.raises(MissingPlugin, match=r"saved with plugin API 9.*supports 1 to 1"):
        load_bundle(saved, host)


def test_a_plugin_that_failed_says_why(saved) -> None:
    class TooNew:
        SEDSDK_API = (8, 9)

    with pytest.raises(MissingPlugin, match="made for plugin API 8 to 9"):
        load_bundle(saved, Host(plugins=[("toy_parts", TooNew)], discover=False))


# What is refused: weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({"head.output.0.weight": torch.zeros(2, 1)}),
            r"head\.output\.0\.weight has shape \[2, 1\].*expects \[1, 1\]",
        ),
        (lambda t: t.pop("head.output.0.bias"), r"1 tensor is missing: head\.output\.0\.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 tensor is not expected: extra"),
        (
            lambda t: t.update({"head.output.0.bias": torch.zeros(1, dtype=torch.int64)}),
            "is int64, this pipeline expects float32",
        ),
        (
            lambda t: t.update({"head.output.0.bias": torch.full((1,), torch.nan)}),
            r"head\.output\.0\.bias holds 1 values that are not finite",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(saved, host, change, message) -> None:
    change_weights(saved, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(saved, host)


def test_weights_of_half_precision_are_read(saved, host) -> None:
    change_weights(saved, lambda t: t.update({name: value.half() for name, value in t.items()}))
    assert load_bundle(saved, host).head.output[0].weight.dtype == torch.float32


def test_weights_of_another_detector_are_refused(saved, host, make_pipeline, tmp_path) -> None:
    other = make_pipeline()
    with torch.no_grad():
        other.head.output[0].bias.add_(1.0)
    save_bundle(other, tmp_path / "other")
    (saved / "model.safetensors").write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    with pytest.raises(BundleError, match="SHA-256 differ"):
        load_bundle(saved, host)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_weights_are_refused(saved, host, kept) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleError, match=r"model\.safetensors is (no safetensors|truncated)"):
        load_bundle(saved, host)


def test_missing_weights_are_refused(saved, host) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"holds no model\.safetensors"):
        load_bundle(saved, host)


class Trap:
    """Pickled, it makes a file when it is read back."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "pytorch_model.bin", "a.ckpt"])
@pytest.mark.parametrize("write", ["torch", "torch-legacy", "pickle"])
def test_a_pickle_is_refused_and_never_read(saved, host, tmp_path, name, write) -> None:
    (saved / "model.safetensors").unlink()
    trap = Trap(tmp_path / "sprung")
    if write == "pickle":
        (saved / name).write_bytes(pickle.dumps(trap))
    else:
        torch.save(trap, saved / name, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(BundleError, match=rf"{name} is a pickle"):
        load_bundle(saved, host)
    if name != "model.safetensors":
        with pytest.raises(BundleError, match="is a pickle"):
            load_bundle(saved / name, host)
    assert not (tmp_path / "sprung").exists()


# What is refused when saving


def test_weights_that_are_not_finite_are_not_saved(make_pipeline, tmp_path) -> None:
    pipeline = make_pipeline()
    with torch.no_grad():
        pipeline.head.output[0].bias.fill_(torch.inf)
    with pytest.raises(BundleError, match=r"head\.output\.0\.bias holds 1 values"):
        save_bundle(pipeline, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_frontend_that_was_not_fitted_is_not_saved(
    make_pipeline, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_parts.Level, "needs_fit", True)
    with pytest.raises(BundleError, match='stream "main" has not been fitted'):
        save_bundle(make_pipeline(), tmp_path / "model")


def test_numbers_that_json_cannot_hold_become_null(make_pipeline, tmp_path) -> None:
    scores = {"f1": {"a": float("nan"), "b": [float("inf"), 0.5]}}
    folder = save_bundle(make_pipeline(), tmp_path / "model", ModelCard(scores=scores))
    saved_scores = json.loads((folder / "config.json").read_text())["card"]["scores"]
    assert saved_scores == {"f1": {"a": None, "b": [None, 0.5]}}


def test_many_scores_are_folded_or_replaced_by_a_page_of_their_own() -> None:
    scores = {f"score {index}": index / 100 for index in range(40)}
    folded = ModelCard(scores=scores).markdown(("a",), ())
    assert "<summary>40 entries</summary>" in folded
    own = ModelCard(scores=scores, scores_page="ER 0.25, F1 88 %").markdown(("a",), ())
    assert "## Scores\n\nER 0.25, F1 88 %\n" in own
    assert "score 1" not in own


def test_spaces_and_signs_in_a_folders_name_are_fine(make_pipeline, host, tmp_path) -> None:
    folder = tmp_path / "my [best] model*, größer"
    for _ in range(2):
        save_bundle(make_pipeline(), folder)
    assert isinstance(load_bundle(folder, host), Pipeline)
