"""What can be judged: models in Kaldi's format, and functions of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_tdnnf import made_tdnnf

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import MissingFile, ShapeError
from kaldi_bridge.features import FeatureOptions, compute_features
from kaldi_bridge.nnet3 import building as make
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.training.inventory import CLASS_OF, CLASSES
from kaldi_bridge.training.judging.classifiers import (
    OfFeatures,
    OfModel,
    first_centre_seconds,
    resampled,
)
from kaldi_bridge.training.model.exporting import transitions, write_model_folder

OPTIONS = FeatureOptions(
    kind="mfcc", num_mel_bins=40, num_ceps=40, low_freq=20, high_freq=-400, use_energy=False
).without_dither()
PHONES = ["SPN", "AH1", "AH0", "SIL", "dx", "tcl"]
"""In another order than CLASSES, with stresses, a flap and a closure."""
WEIGHTS = np.random.default_rng(1).normal(size=(6, 40)) / 30
BIAS = np.random.default_rng(2).normal(size=6)


def noise(seconds: float, rate: int) -> np.ndarray:
    samples = np.random.default_rng(0).normal(size=round(seconds * rate))
    return (0.1 * samples).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A linear model of six phones, with priors."""
    lines = """
    input-node name=input dim=40
    component-node name=affine component=affine input=input
    component-node name=log-softmax component=log-softmax input=affine
    output-node name=output input=log-softmax
    """
    affine = make.affine("affine", WEIGHTS, BIAS)
    network = make.network(lines, [affine, make.log_softmax("log-softmax", 6)])
    priors = np.array([0.1, 0.2, 0.1, 0.3, 0.1, 0.2], np.float32)
    write_model(Model(transitions(PHONES), network, priors), tmp_path / "final.mdl")
    table = "".join(f"{name} {number}\n" for number, name in enumerate(["<eps>", *PHONES]))
    (tmp_path / "phones.txt").write_text(table)
    (tmp_path / "frame_subsampling_factor").write_text("3\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mfcc_hires.conf").write_text(
        "--use-energy=false\n--num-mel-bins=40\n--num-ceps=40\n--low-freq=20\n--high-freq=-400\n"
    )
    return tmp_path


def test_phones_of_a_model_are_folded_into_the_classes(folder: Path) -> None:
    samples = noise(0.4, 16000)
    rows, hop, first_centre = OfModel(folder).posteriors(samples, 16000)
    assert (hop, first_centre) == (pytest.approx(0.03), pytest.approx(0.0125))
    logits = compute_features(samples, OPTIONS)[::3] @ WEIGHTS.T + BIAS
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = np.zeros((len(shares), 41))
    wanted[:, CLASS_OF["SPN"]] = shares[:, 0]
    wanted[:, CLASS_OF["AH"]] = shares[:, 1] + shares[:, 2]
    wanted[:, CLASS_OF["SIL"]] = shares[:, 3] + shares[:, 5]
    wanted[:, CLASS_OF["T"]] = shares[:, 4]
    assert rows == pytest.approx(wanted, abs=1e-4)


def test_priors_of_a_model_are_folded_too(folder: Path) -> None:
    priors = OfModel(folder).priors
    assert priors is not None
    assert priors[[CLASS_OF[name] for name in ("SPN", "AH", "SIL", "T")]] == pytest.approx(
        [0.1, 0.3, 0.5, 0.1]
    )
    assert priors.sum() == pytest.approx(1.0)


def test_full_rate_and_other_sample_rates(folder: Path) -> None:
    model = OfModel(AcousticModel.load(folder), subsampling=1, name="full")
    rows, hop, _ = model.posteriors(noise(0.5, 16000), 16000)
    assert (hop, len(rows)) == (pytest.approx(0.01), 48)
    slow, _, _ = model.posteriors(noise(0.5, 8000), 8000)
    assert len(slow) == 48
    assert model.name == "full"
    short, _, _ = model.posteriors(noise(0.01, 8000), 8000)
    assert short.shape == (0, 41)


def test_an_exported_network_is_heard_as_the_module_hears(tmp_path: Path) -> None:
    module = made_tdnnf(features=40, classes=41)
    write_model_folder(module, tmp_path, priors=np.full(41, 1 / 41), card="made")
    samples = noise(0.7, 16000)
    rows, hop, first_centre = OfModel(tmp_path).posteriors(samples, 16000)

    def log_posteriors(features: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            batch = module.padded(torch.from_numpy(features)[None])
            return module(batch)[0].numpy()

    direct = OfFeatures("module", log_posteriors, OPTIONS, subsampling=3)
    wanted, same_hop, same_centre = direct.posteriors(samples, 16000)
    assert (hop, first_centre) == (same_hop, same_centre)
    assert rows == pytest.approx(wanted, abs=2e-4)


def test_a_model_without_phones_is_refused(folder: Path) -> None:
    (folder / "phones.txt").unlink()
    with pytest.raises(MissingFile, match=r"phones\.txt: no such table"):
        OfModel(folder)
    network = AcousticModel.load(folder).network
    with pytest.raises(ShapeError, match="phones come from a model folder"):
        OfModel(AcousticModel(Model(None, network)))


def test_resampling_keeps_tones_and_invents_none() -> None:
    time = np.arange(8000) / 8000
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    moved = resampled(tone, 8000, 16000)
    assert moved.shape == (16000,)
    middle = moved[2000:14000]
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2000, 14000) / 16000)
    assert middle == pytest.approx(wanted, abs=1e-3)
    loud = resampled(np.sign(tone), 8000, 16000)
    assert np.abs(loud).max() <= 1.0
    assert resampled(tone, 8000, 8000) is tone


def test_centre_of_the_first_frame() -> None:
    assert first_centre_seconds(OPTIONS) == pytest.approx(0.0125)
    centred = FeatureOptions(kind="mfcc", snip_edges=False)
    assert first_centre_seconds(centred) == pytest.approx(0.005)


def test_functions_of_features_give_probabilities() -> None:
    logs = np.log(np.full(len(CLASSES), 1 / len(CLASSES)))
    even = OfFeatures("even", lambda features: np.tile(logs, (len(features), 1)), OPTIONS)
    rows, _, _ = even.posteriors(noise(0.3, 44100), 44100)
    assert rows.shape == (28, 41)
    assert rows == pytest.approx(1 / 41)
    assert even.posteriors(noise(0.02, 16000), 16000)[0].shape == (0, 41)
