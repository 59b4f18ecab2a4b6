"""The trained network in Kaldi's format: same numbers, a whole folder, a strict round trip."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_models import as_bytes, assert_same, read_bytes
from made_recipe import sound
from made_tdnnf import SMALL, made_tdnnf, moving_features
from plain_context import context as plain_context
from plain_nnet3 import evaluate
from typer.testing import CliRunner

from kaldi_bridge import AcousticModel, FeatureOptions, compute_features, find_model, plugin
from kaldi_bridge.directory.feature_confs import HIRES_MFCC
from kaldi_bridge.errors import KaldiError, KaldiFileError, ShapeError
from kaldi_bridge.network_module import NetworkModule
from kaldi_bridge.nnet3.reading import Model, read_model, read_nnet
from kaldi_bridge.nnet3.writing import write_model
from kaldi_bridge.phones import PhoneMap, phone_posteriors, read_phone_table
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.model.exporting import (
    LIBRISPEECH_FEATURES,
    feature_lines,
    to_nnet3,
    transitions,
    write_model_folder,
)
from kaldi_bridge.training.model.network import Tdnnf, TdnnfConfig
from sedsdk import host as host_module

RELATIVE = 1e-5
PRIORS = np.linspace(1, 3, 41) / np.linspace(1, 3, 41).sum()
SIZES = [
    {},
    {"mean_window": 9},
    {"strides": (1, 1, 0, 3, 3), "mean_window": 27},
    {"strides": (1, 2), "bypass": 0.0},
    {"strides": (), "dropout": 0.3},
]


def close(one, other):
    """Whether rows agree, relative to their root mean square."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    assert one.shape == other.shape
    return np.abs(one - other).max() < RELATIVE * np.sqrt(np.mean(other**2))


@pytest.fixture(scope="module")
def whole():
    """A network of the default sizes that takes the features of recordings."""
    return made_tdnnf(features=40, dim=320, bottleneck=80, prefinal=128, classes=41)


@pytest.fixture(scope="module")
def folder(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    write_model_folder(whole, folder, priors=PRIORS, card="# A card\n\nMade of “speech”.\n")
    return folder


class TestNumbers:
    @pytest.mark.parametrize("sizes", SIZES)
    @torch.no_grad()
    def test_torch_bridge_and_plain_twin_agree(self, sizes):
        module = made_tdnnf(**sizes)
        network = to_nnet3(module)
        bridge = NetworkModule(Model(None, network), frame_subsampling_factor=3)
        features = moving_features(1, 47, 10, seed=5)
        padded = module.padded(features)
        pairs = {"output": module(padded)[0], "prefinal-l": module.embed(padded)[0]}
        for node, rows in pairs.items():
            plain = evaluate(network, features[0].numpy(), node=node, subsampling=3)
            assert close(rows, plain)
            assert close(bridge(features[0], node=node), plain)
        plain = evaluate(network, features[0].numpy())
        assert close(module(padded, None)[0], plain)
        assert close(bridge(features[0], subsampling=1), plain)

    @pytest.mark.parametrize("sizes", SIZES)
    def test_context_is_the_same(self, sizes):
        module = made_tdnnf(**sizes)
        network = to_nnet3(module)
        assert module.context == plain_context(network, "output")
        assert module.context == NetworkModule(Model(None, network)).context("output")
        assert module.context == plain_context(network, "prefinal-l")

    @torch.no_grad()
    def test_on_a_recording_with_the_whole_model(self, whole, folder):
        model = AcousticModel.load(folder)
        samples = sound(2.0)
        features = torch.tensor(compute_features(samples, LIBRISPEECH_FEATURES.without_dither()))
        padded = whole.padded(features[None])
        assert close(model.embed(samples), whole.embed(padded)[0])
        assert close(model.embed(samples, node="output"), whole(padded)[0])
        network = read_nnet(folder / "final.mdl")
        plain = evaluate(network, features.numpy(), node="prefinal-l", subsampling=3)
        assert close(model.embed(samples), plain)

    def test_of_a_module_that_trains_in_double_precision(self):
        module = made_tdnnf()
        want = to_nnet3(module)
        assert_same(Model(None, to_nnet3(module.double().train())), Model(None, want))

    def test_a_stream_gives_the_same_with_a_mean_window(self):
        module = made_tdnnf(mean_window=81, features=40, classes=41)
        model = AcousticModel(
            Model(None, to_nnet3(module)),
            frame_subsampling_factor=3,
            feature_options=LIBRISPEECH_FEATURES.without_dither(),
        )
        samples = sound(3.0)
        stream = model.stream(node="prefinal-l")
        rows = [stream.push(samples[at : at + 1600]) for at in range(0, len(samples), 1600)]
        assert close(torch.cat([*rows, stream.finish()]), model.embed(samples))


class TestLayout:
    def test_nodes_are_those_of_the_recipe(self):
        network = to_nnet3(made_tdnnf(strides=(1, 0), mean_window=9))
        tdnnf = ["linear", "affine", "relu", "batchnorm", "noop"]
        assert list(network.nodes) == [
            "input",
            *("mean1", "mean2", "cmn", "lda"),
            *("tdnn1.affine", "tdnn1.relu", "tdnn1.batchnorm"),
            *(f"tdnnf2.{part}" for part in tdnnf),
            *(f"tdnnf3.{part}" for part in tdnnf),
            "prefinal-l",
            *(f"prefinal-xent.{x}" for x in ("affine", "relu", "batchnorm1", "linear")),
            "prefinal-xent.batchnorm2",
            *("output.affine", "output.log-softmax", "output"),
        ]
        kinds = {name: made.kind for name, made in network.components.items()}
        assert kinds["lda"] == "FixedAffineComponent"
        assert kinds["tdnnf2.linear"] == kinds["tdnnf2.affine"] == "TdnnComponent"
        assert kinds["prefinal-l"] == kinds["prefinal-xent.linear"] == "LinearComponent"
        assert kinds["output.affine"] == "NaturalGradientAffineComponent"
        offsets = {
            name: made.integers("TimeOffsets").tolist()
            for name, made in network.components.items()
            if made.has("TimeOffsets")
        }
        assert offsets["tdnnf2.linear"] == [-1, 0]
        assert offsets["tdnnf2.affine"] == [0, 1]
        assert offsets["tdnnf3.linear"] == offsets["tdnnf3.affine"] == [0]

    def test_factors_stay_marked_for_kaldi(self):
        network = to_nnet3(made_tdnnf())
        marked = {
            name
            for name, made in network.components.items()
            if made.has("OrthonormalConstraint") and made.number("OrthonormalConstraint") == -1
        }
        factored = {f"tdnnf{number}.linear" for number in range(2, 10)}
        assert marked == {*factored, "prefinal-l", "prefinal-xent.linear"}

    def test_default_sizes(self, whole, folder):
        """Counted by hand: affine maps with bias, linear ones without, 4 bytes a number."""
        lda = 120 * 120 + 120
        tdnn1 = 120 * 320 + 320
        strided = 2 * 320 * 80 + 2 * 80 * 320 + 320
        prefinal = 320 * 128 + (128 * 320 + 320) + 320 * 128
        learnt = tdnn1 + 8 * strided + prefinal + (128 * 41 + 41)
        assert learnt == 988_969
        assert sum(value.numel() for value in whole.parameters()) == learnt
        statistics = 2 * (10 * 320 + 128)
        size = (folder / "final.mdl").stat().st_size
        assert 4 * (lda + learnt + statistics) < size < 4_300_000

    def test_numbers_that_are_not_finite_are_refused(self, tmp_path):
        for spoil in ("output.weight", "tdnn1.batchnorm.running_mean"):
            module = made_tdnnf(features=40, classes=41)
            module.state_dict()[spoil].view(-1)[0] = float("nan")
            with pytest.raises(ShapeError, match="not finite"):
                write_model_folder(module, tmp_path / "model", priors=PRIORS, card="")
            assert not (tmp_path / "model").exists()


class TestRoundTrip:
    def test_binary_comes_back_byte_for_byte(self, folder, tmp_path):
        data = (folder / "final.mdl").read_bytes()
        model = read_bytes(data)
        assert as_bytes(model, binary=True) == data
        AcousticModel.load(folder).save(tmp_path / "again.mdl")
        assert (tmp_path / "again.mdl").read_bytes() == data

    def test_text_comes_back_with_the_same_outputs(self, folder, tmp_path):
        model = read_model(folder / "final.mdl")
        text = as_bytes(model, binary=False)
        again = read_bytes(text)
        assert_same(model, again)
        assert as_bytes(again, binary=True) == (folder / "final.mdl").read_bytes()
        write_model(model, tmp_path / "final.mdl.txt", binary=False)
        (tmp_path / "frame_subsampling_factor").write_text("3\n")
        features = moving_features(1, 40, 40)[0]
        one, other = AcousticModel.load(folder), AcousticModel.load(tmp_path)
        assert torch.equal(one(features), other(features))

    def test_a_module_made_of_the_file_goes_on_learning(self, folder):
        """NetworkModule takes what was trained here like any model of a recipe."""
        model = AcousticModel.load(folder)
        (parameter, *_) = model.unfreeze(["output.affine"])
        model(moving_features(1, 40, 40)).sum().backward()
        assert parameter.grad is not None


class TestFolder:
    def test_holds_what_is_looked_for(self, folder):
        files = find_model(folder)
        assert files.model == folder / "final.mdl"
        assert files.frame_subsampling_factor == 3
        assert files.phones == folder / "phones.txt"
        assert files.feature_conf == folder / "conf" / "mfcc_hires.conf"
        assert files.input_dims == {"input": 40}
        assert files.notes == ()
        assert not files.online_cmvn
        assert (
            (folder / "README.md").read_text(encoding="utf-8").startswith("# A card\n\nMade of “")
        )
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        assert names == [
            *("README.md", "conf/mfcc_hires.conf", "final.mdl", "frame_subsampling_factor"),
            "phones.txt",
        ]

    def test_phones_are_the_classes(self, folder):
        table = read_phone_table(folder / "phones.txt")
        assert table == dict(enumerate(["<eps>", *CLASSES]))
        model = AcousticModel.load(folder)
        assert model.transitions is not None
        phones = PhoneMap.of(model.transitions, folder / "phones.txt")
        assert phones.names == CLASSES
        assert np.array_equal(phones.weights, np.eye(41))
        scores = model(moving_features(1, 20, 40)[0]).numpy()
        assert np.allclose(phone_posteriors(scores, phones), np.exp(scores), atol=1e-6)

    def test_model_file_has_priors_and_contexts(self, folder):
        model = read_model(folder / "final.mdl")
        assert np.allclose(model.priors, PRIORS, rtol=1e-6)
        assert (model.left_context, model.right_context) == (21, 21)

    def test_described_by_the_command(self, folder, monkeypatch):
        from sedsdk.cli.application import application

        host = host_module.Host([("kaldi", plugin)], discover=False, strict=True)
        monkeypatch.setattr(host_module, "default_host", lambda: host)
        monkeypatch.setattr(application.info.cls, "_plugins_are_asked", False, raising=False)
        result = CliRunner().invoke(application, ["kaldi", "info", str(folder), "--json"])
        assert result.exit_code == 0, result.output
        known = json.loads(result.stdout)
        assert known["frame_subsampling_factor"] == 3
        result = CliRunner().invoke(application, ["kaldi", "info", str(folder)])
        assert result.exit_code == 0, result.output
        for word in ("tdnnf9", "prefinal-xent", "mfcc_hires.conf"):
            assert word in result.output

    def test_written_over_an_older_one(self, folder, tmp_path):
        module = made_tdnnf(features=40, classes=41)
        for card in ("old", "new"):
            write_model_folder(module, tmp_path, priors=PRIORS, card=card)
        assert (tmp_path / "README.md").read_text() == "new"
        assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"priors": PRIORS[:40]}, r"priors of shape \[40\]: give \[41\]"),
            ({"priors": PRIORS * 2}, "sum to 1"),
            ({"priors": np.eye(41)[0]}, "above 0"),
            ({"classes": CLASSES[:5]}, "5 classes for a network with 41 outputs"),
            ({"classes": (*CLASSES[:40], "a b")}, 'class "a b"'),
            ({"classes": (*CLASSES[:40], "SIL")}, 'class "SIL"'),
            (
                {"feature_conf": replace(LIBRISPEECH_FEATURES, num_ceps=13)},
                "13 values per frame, the network takes 40",
            ),
            ({"feature_conf": FeatureOptions(kind="fbank", num_mel_bins=40)}, 'trained on "mfcc"'),
        ],
    )
    def test_what_does_not_fit_is_refused_before_anything_is_written(
        self, tmp_path, changed, message
    ):
        module = made_tdnnf(features=40, classes=41)
        with pytest.raises(ShapeError, match=message):
            write_model_folder(
                module, tmp_path / "model", **{"priors": PRIORS, "card": "", **changed}
            )
        assert not (tmp_path / "model").exists()

    def test_a_place_that_cannot_be_written_to(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(KaldiFileError, match="cannot be made"):
            write_model_folder(
                made_tdnnf(features=40, classes=41), tmp_path / "file", priors=PRIORS, card=""
            )


class TestFeatureConf:
    def test_is_librispeechs(self, folder):
        text = (folder / "conf" / "mfcc_hires.conf").read_text()
        settings = dict(line.removeprefix("--").split("=") for line in text.splitlines())
        assert settings == {**HIRES_MFCC}
        assert FeatureOptions.read(folder / "conf" / "mfcc_hires.conf") == LIBRISPEECH_FEATURES

    @pytest.mark.parametrize(
        "changes",
        [
            {"high_freq": 7600.0, "low_freq": 60.5},
            {"sample_frequency": 8000.0, "high_freq": -200.0, "low_freq": 40.0},
            {"snip_edges": False, "window_type": "hamming", "cepstral_lifter": 0.1 + 0.2},
            {"num_mel_bins": 80, "use_energy": True, "energy_floor": 1234567.875},
        ],
    )
    def test_other_options_come_back(self, changes, tmp_path):
        options = replace(LIBRISPEECH_FEATURES, **changes)
        conf = tmp_path / "mfcc_hires.conf"
        conf.write_text(feature_lines(options))
        assert FeatureOptions.read(conf) == options

    def test_a_model_of_another_range_is_used_with_it(self, tmp_path):
        options = replace(LIBRISPEECH_FEATURES, high_freq=7000.0)
        module = made_tdnnf(features=40, classes=41)
        write_model_folder(module, tmp_path, priors=PRIORS, card="", feature_conf=options)
        loaded = AcousticModel.load(tmp_path)
        assert loaded.feature_options == options.without_dither()


class TestTransitions:
    @pytest.mark.parametrize("self_loop", [0.5, 2 / 3, 0.9])
    def test_one_state_a_phone(self, self_loop):
        model = transitions(["SIL", "AA", "B"], self_loop)
        assert model.phones == (1, 2, 3)
        assert model.pdf_to_phone().tolist() == [1, 2, 3]
        assert model.pdf_to_phones() == ((1,), (2,), (3,))
        for phone in model.phones:
            emitting, final = model.topology.states(phone)
            assert emitting.transitions == ((0, self_loop), (1, pytest.approx(1 - self_loop)))
            assert final.transitions == ()
        assert np.exp(model.log_probs[1:]).reshape(3, 2).sum(1) == pytest.approx([1, 1, 1])
        assert np.exp(model.log_probs[1::2]) == pytest.approx([self_loop] * 3)

    def test_survives_both_forms_of_the_file(self):
        module = Tdnnf(TdnnfConfig(**{**SMALL, "classes": 41}))
        model = Model(transitions(CLASSES), to_nnet3(module), PRIORS.astype(np.float32), 21, 21)
        for binary in (True, False):
            read = read_bytes(as_bytes(model, binary)).transitions
            assert read is not None
            assert np.array_equal(read.tuples, model.transitions.tuples)
            assert np.allclose(read.log_probs, model.transitions.log_probs)
            assert not read.with_self_loop

    @pytest.mark.parametrize(("classes", "self_loop"), [([], 0.5), (["A"], 0.0), (["A"], 1.0)])
    def test_impossible_ones(self, classes, self_loop):
        with pytest.raises(KaldiError, match="between 0 and 1"):
            transitions(classes, self_loop)
