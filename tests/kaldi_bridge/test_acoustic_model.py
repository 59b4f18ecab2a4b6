"""`AcousticModel`: from a folder and a wav file to activations, batches, options, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from kaldi_golden import GOLDEN, needs_golden
from made_extractor import make_extractor
from made_networks import tdnnf
from made_recipe import COLUMNS, make_recipe, plain_embedding, sound
from network_draft import NetworkDraft
from plain_ivectors import plain_cmvn, plain_state
from plain_nnet3 import evaluate
from random_networks import random_inputs

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import KaldiFileError, MissingFile, NotSupported, ShapeError
from kaldi_bridge.features import FeatureOptions
from kaldi_bridge.ivectors import ExtractorFiles, IvectorExtractor
from kaldi_bridge.ivectors.cmvn import CmvnOptions
from kaldi_bridge.nnet3.reading import Model

SIZES = {"features": 6, "dim": 16, "bottleneck": 4, "prefinal": 5, "pdfs": 12}
STRIDES = (1, 0, 3)
IVECTOR_DIM = 4
NETWORK = tdnnf(**SIZES, ivector=IVECTOR_DIM, strides=STRIDES)
MODEL = AcousticModel(Model(None, NETWORK), frame_subsampling_factor=3)
ORDER_BOUND = 5e-6
"""Two orders of adding up the same products, of the root mean square."""


def features_of(n_frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    features, ivectors = random_inputs(NETWORK, np.random.default_rng(seed), n_frames)
    assert ivectors is not None
    return torch.from_numpy(features), torch.from_numpy(ivectors)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    bound = ORDER_BOUND * float(expected.square().mean().sqrt())
    assert float((found - expected).abs().max()) <= bound


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recipe(tmp_path_factory.mktemp("recipe"))


def golden_cases() -> Iterator[Any]:
    for path in sorted(GOLDEN.glob("models/*/out/*.npz")):
        node, _, variant = path.stem.rpartition(".")
        if variant in ("fsf1", "fsf3", "fsf3_whole") and node.startswith("prefinal"):
            yield pytest.param(path, node, variant, id=f"{path.parents[1].name}-{path.stem}")


class TestWavToActivations:
    @pytest.mark.parametrize(("path", "node", "variant"), golden_cases())
    @needs_golden
    def test_golden(self, path: Path, node: str, variant: str) -> None:
        """Near-silent frames of utt1 hold the rounding noise of Kaldi's float32 FFT."""
        conf = GOLDEN / "conf"
        model = AcousticModel.load(
            path.parents[1],
            extractor=conf / "ivector_extractor.conf",
            feature_conf=conf / "mfcc_hires.conf",
        )
        with np.load(path) as outputs:
            for key in outputs.files:
                waveform, rate = soundfile.read(GOLDEN / f"wav/{key}.wav", dtype="float32")
                assert rate == model.sample_rate
                found = model.embed(
                    waveform,
                    node=node,
                    subsampling=int(variant[3]),
                    frames_per_chunk=None if "whole" in variant else 50,
                ).numpy()
                assert found.shape == outputs[key].shape
                error = np.abs(found - outputs[key]).max()
                rms = np.sqrt(np.square(outputs[key]).mean())
                bottleneck = node == "prefinal-l" and variant != "fsf1" and "7n" not in str(path)
                quiet = 3e-4 if bottleneck else 1e-3
                assert error <= (quiet if key == "utt1" else 2e-4) * rms, key

    @pytest.mark.parametrize("chunk", [None, 50, 150])
    @needs_golden
    def test_golden_long(self, chunk: int | None) -> None:
        conf = GOLDEN / "conf"
        model = AcousticModel.load(
            GOLDEN / "models/a_tdnnf_lda_ivec",
            extractor=conf / "ivector_extractor.conf",
            feature_conf=conf / "mfcc_hires.conf",
        )
        waveform, _ = soundfile.read(GOLDEN / "long/utt5.wav", dtype="float32")
        name = {None: "fsf3_whole", 50: "fsf3", 150: "fsf3_c150"}[chunk]
        with np.load(GOLDEN / f"long/a.prefinal-l.{name}.npz") as outputs:
            expected = outputs["utt5"]
        found = model.embed(waveform, subsampling=3, frames_per_chunk=chunk).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 2e-4 * np.sqrt(np.square(expected).mean())

    @needs_golden
    def test_model_on_normalised_features(self, tmp_path: Path) -> None:
        """The file online_cmvn asks for what apply-cmvn-online made of the golden features."""
        network = tdnnf(**{**SIZES, "features": 40}, ivector=20, strides=STRIDES)
        AcousticModel(Model(None, network)).save(tmp_path / "final.raw")
        (tmp_path / "online_cmvn").touch()
        stats = (GOLDEN / "extractor/global_cmvn.stats").read_bytes()
        (tmp_path / "global_cmvn.stats").write_bytes(stats)
        conf = GOLDEN / "conf"
        model = AcousticModel.load(
            tmp_path,
            extractor=conf / "ivector_extractor.conf",
            feature_conf=conf / "mfcc_hires.conf",
        )
        with np.load(GOLDEN / "ivectors/online_cmvn_feats.npz") as normalised:
            features = torch.from_numpy(normalised["utt2"])
        with np.load(GOLDEN / "ivectors/ivector_online.npz") as vectors:
            ivectors = torch.from_numpy(vectors["utt2"])
        expected = model(features, None, ivectors, node="prefinal-l")
        waveform, _ = soundfile.read(GOLDEN / "wav/utt2.wav", dtype="float32")
        found = model.embed(waveform)
        stream = model.stream()
        rows = [stream.push(part) for part in np.array_split(waveform, 7)]
        assert torch.equal(torch.cat([*rows, stream.finish()]), found)
        error = float((found - expected).abs().max())
        assert error <= 2e-4 * float(expected.square().mean().sqrt())
        plain = model(model.features(waveform), None, ivectors, node="prefinal-l")
        assert float((plain - expected).abs().max()) > 0.1, "normalising makes a difference here"

    @pytest.mark.parametrize(
        ("files", "options"),
        [
            ({"online_cmvn": ""}, CmvnOptions()),
            (
                {"online_cmvn": "", "cmvn_opts": "--norm-means=false --norm-vars=false"},
                CmvnOptions(norm_means=False),
            ),
            (
                {
                    "online_cmvn": "",
                    "cmvn_opts": "--norm-vars=true --config=conf/online_cmvn.conf",
                    "../../../conf/online_cmvn.conf": "--cmn-window=40\n--global-frames=30",
                },
                CmvnOptions(cmn_window=40, global_frames=30, norm_vars=True),
            ),
            (
                {
                    "conf/online.conf": "--cmvn-config=/gone/tdnn/conf/online_cmvn.conf\n"
                    "--global-cmvn-stats=/gone/tdnn/global_cmvn.stats",
                    "conf/online_cmvn.conf": "--cmn-window=60\n--skip-dims=0:3",
                },
                CmvnOptions(cmn_window=60, skip_dims=(0, 3)),
            ),
            ({"cmvn_opts": "--norm-means=true", "conf/online.conf": "# none"}, None),
        ],
    )
    def test_normalised_as_the_folder_says(
        self, tmp_path: Path, files: dict[str, str], options: CmvnOptions | None
    ) -> None:
        folder = make_recipe(tmp_path)
        stats = tmp_path / "exp/nnet3/extractor/global_cmvn.stats"
        (folder / "global_cmvn.stats").write_bytes(stats.read_bytes())
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{text}\n")
        model = AcousticModel.load(folder)
        waveform = sound(1.3)
        features = model.features(waveform)
        ivectors = model.ivectors(features)
        if options is not None:
            extractor = ExtractorFiles.load(tmp_path / "exp/nnet3/extractor")
            nobody = plain_state(extractor)
            rows = plain_cmvn(features.double().numpy(), options, extractor.global_sums, nobody)
            features = torch.from_numpy(rows).float()
        expected = model(features, None, ivectors, node="prefinal-l")
        found = model.embed(waveform)
        assert_close(found, expected)
        stream = model.stream()
        parts = [stream.push(part) for part in np.array_split(waveform, 7)]
        assert torch.equal(torch.cat([*parts, stream.finish()]), found)

    def test_statistics_of_other_features(self, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path)
        (folder / "online_cmvn").touch()
        (folder / "global_cmvn.stats").write_text(" [\n 1 2 9\n 3 4 0 ]\n")
        with pytest.raises(ShapeError, match=f"features of 2 values, the network takes {COLUMNS}"):
            AcousticModel.load(folder).embed(sound(0.3))

    def test_plain_twins(self, recipe: Path) -> None:
        model = AcousticModel.load(recipe)
        for options in (
            {"frames_per_chunk": 50},
            {"frames_per_chunk": None, "subsampling": 1},
            {"frames_per_chunk": 10, "subsampling": 2, "node": "tdnnf3.noop"},
        ):
            waveform = sound(1.1)
            expected = plain_embedding(recipe, waveform, **options)
            found = model.embed(waveform, **options).numpy()
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 2e-4 * np.sqrt(np.square(expected).mean())

    def test_tensors_and_other_floats(self, recipe: Path) -> None:
        model = AcousticModel.load(recipe)
        waveform = sound(0.4)
        expected = model.embed(waveform)
        assert torch.equal(model.embed(torch.from_numpy(waveform)), expected)
        assert torch.equal(model.embed(waveform.astype(np.float64)), expected)

    def test_too_short_for_a_frame(self, recipe: Path) -> None:
        rows = AcousticModel.load(recipe).embed(np.zeros(399, np.float32))
        assert rows.shape == (0, 8)


class TestFolder:
    def test_what_it_says_of_itself(self, recipe: Path) -> None:
        model = AcousticModel.load(recipe)
        assert model.frame_subsampling_factor == 3
        assert model.sample_rate == 16000
        assert model.frame_shift_seconds == pytest.approx(0.01)
        assert (model.feature_dim, model.ivector_dim) == (COLUMNS, 6)
        assert model.extractor is not None
        assert model.extractor.ivector_dim == 6
        assert model.node_dim("prefinal-l") == 8
        assert model.node_dim("output") == 10
        assert "ivector" not in model.nodes
        assert "input" not in model.nodes
        assert {"output", "output-xent", "prefinal-l", "tdnnf2.linear"} <= set(model.nodes)
        assert model.context("prefinal-l") == (5, 5), "1 + 1 + 0 + 3, by hand"
        assert not model.training

    def test_one_file_alone(self, recipe: Path) -> None:
        model = AcousticModel.load(recipe / "final.raw")
        assert model.frame_subsampling_factor == 3

    def test_extractor_of_another_dimension(self, recipe: Path, tmp_path: Path) -> None:
        sizes = {"feature_dim": COLUMNS, "lda_dim": 10, "gaussians": 8, "ivector_dim": 5}
        other = make_extractor(tmp_path / "other", **sizes)
        model = AcousticModel.load(recipe, extractor=other)
        with pytest.raises(ShapeError, match=r"other gives i-vectors of 5.*takes 6"):
            model.embed(sound(0.3))

    def test_features_of_another_dimension(self, recipe: Path, tmp_path: Path) -> None:
        conf = tmp_path / "mfcc.conf"
        conf.write_text("--num-mel-bins=20\n--num-ceps=13\n--use-energy=false\n")
        with pytest.raises(ShapeError, match=r"mfcc\.conf makes .* 13 values.*network takes 16"):
            AcousticModel.load(recipe, feature_conf=conf)
        model = AcousticModel(Model(None, NETWORK), feature_options=FeatureOptions.read(conf))
        with pytest.raises(ShapeError, match="13 values per frame, the network takes 6"):
            model.features(sound(0.3))

    def test_no_extractor(self, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path)
        for path in sorted((folder.parents[1] / "nnet3" / "extractor").iterdir()):
            path.unlink()
        model = AcousticModel.load(folder)
        with pytest.raises(MissingFile, match="extractor="):
            model.embed(sound(0.3))

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFile):
            AcousticModel.load(tmp_path / "exp")

    def test_damaged(self, recipe: Path, tmp_path: Path) -> None:
        data = (recipe / "final.raw").read_bytes()
        (tmp_path / "final.raw").write_bytes(data[: len(data) // 2])
        with pytest.raises(KaldiFileError, match=r"final\.raw, byte"):
            AcousticModel.load(tmp_path / "final.raw")

    def test_made_in_python(self) -> None:
        for part in ("feature_options", "extractor"):
            with pytest.raises(ShapeError, match="made without"):
                getattr(MODEL, part)

    def test_parts_given_in_python(self, recipe: Path) -> None:
        loaded = AcousticModel.load(recipe)
        model = AcousticModel(
            Model(None, loaded.network),
            frame_subsampling_factor=3,
            feature_options=FeatureOptions.read(recipe.parents[2] / "conf" / "mfcc_hires.conf"),
            extractor=IvectorExtractor.load(recipe.parents[1] / "nnet3" / "extractor"),
        )
        assert torch.equal(model.embed(sound(0.5)), loaded.embed(sound(0.5)))

    def test_backends(self) -> None:
        with pytest.raises(ShapeError, match='"native" or "pykaldi"'):
            AcousticModel(Model(None, NETWORK), backend="kaldi")  # type: ignore[arg-type]

    def test_period_is_the_extractors_before_and_after_it_is_loaded(self, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path)
        extractor = folder.parents[1] / "nnet3" / "extractor"
        files = {
            "ivector-extractor": "final.ie",
            "diag-ubm": "final.dubm",
            "lda-matrix": "final.mat",
            "global-cmvn-stats": "global_cmvn.stats",
            "cmvn-config": "online_cmvn.conf",
            "splice-config": "splice_opts",
        }
        lines = [f"--{key}={extractor / name}" for key, name in files.items()]
        conf = extractor / "ivector_extractor.conf"
        conf.write_text("\n".join([*lines, "--ivector-period=5"]) + "\n")
        features = torch.randn(60, COLUMNS)
        ivectors = torch.randn(12, 6)
        model = AcousticModel.load(folder, extractor=conf)
        before = model(features, None, ivectors, frames_per_chunk=6)
        assert model.extractor is not None
        assert model.extractor.period == 5
        assert torch.equal(model(features, None, ivectors, frames_per_chunk=6), before)
        expected = evaluate(
            model.network,
            features.numpy(),
            ivectors.numpy(),
            subsampling=3,
            frames_per_chunk=6,
            period=5,
        )
        assert np.abs(before.numpy() - expected).max() < 1e-4


class TestBatches:
    LENGTHS = (40, 1, 0, 25, 39)

    def test_each_clip_as_if_alone(self) -> None:
        """Whatever stands behind a clip's length, and beside it; exactly zero behind its rows."""
        random = np.random.default_rng(0)
        clips = torch.from_numpy(random.standard_normal((5, 40, 6)).astype(np.float32))
        vectors = torch.from_numpy(random.standard_normal((5, 4, 4)).astype(np.float32))
        for clip, length in zip(clips, self.LENGTHS, strict=True):
            clip[length:] = float("nan")
        lengths = torch.tensor(self.LENGTHS)
        for options in ({}, {"subsampling": 1, "frames_per_chunk": 7}, {"node": "tdnnf2.noop"}):
            found = MODEL(clips, lengths, vectors, **options)
            factor = options.get("subsampling", 3)
            counts = MODEL.output_lengths(lengths, factor)
            assert counts.tolist() == [-(-length // factor) for length in self.LENGTHS]
            assert found.shape[:2] == (5, -(-40 // factor))
            for number, count in enumerate(counts.tolist()):
                assert torch.equal(found[number, count:], torch.zeros_like(found[number, count:]))
                if count:
                    clip = clips[number, : self.LENGTHS[number]]
                    alone = MODEL(clip, None, vectors[number], **options)
                    assert_close(found[number, :count], alone)

    def test_batches_with_gradients(self) -> None:
        clips = torch.randn(3, 20, 6)
        lengths, vectors = torch.tensor([20, 7, 0]), torch.randn(3, 2, 4)
        expected = MODEL(clips, lengths, vectors, frames_per_chunk=7)
        clips.requires_grad_()
        found = MODEL(clips, lengths, vectors, frames_per_chunk=7)
        assert_close(found.detach(), expected)
        found.square().sum().backward()
        assert clips.grad is not None
        assert bool((clips.grad[1, 7:] == 0).all())
        assert bool((clips.grad[2] == 0).all())
        assert bool((clips.grad[0] != 0).all())

    def test_several_nodes_as_one_by_one(self) -> None:
        features, ivectors = features_of(33)
        nodes = ("output", "prefinal-l", "tdnnf2.linear", "tdnn1.affine")
        together = MODEL(features, None, ivectors, node=nodes)
        assert list(together) == list(nodes)
        for node in nodes:
            assert_close(together[node], MODEL(features, None, ivectors, node=node))

    def test_several_nodes_that_kaldi_would_cut_differently(self) -> None:
        """Chunks are whole multiples of what Round and Switch repeat after."""
        draft = NetworkDraft(np.random.default_rng(0))
        draft.input("ivector", 4)
        draft.input("input", 6)
        plain = draft.affine("plain", "Append(input, ReplaceIndex(ivector, t, 0))", 5)
        draft.output("output", draft.affine("rounded", f"Round({plain}, 4)", 3))
        network = draft.network()
        model = AcousticModel(Model(None, network))
        features, ivectors = features_of(33)
        together = model(features, None, ivectors, node=("plain", "output"), frames_per_chunk=7)
        for node in ("plain", "output"):
            options = {"node": node, "frames_per_chunk": 7}
            expected = evaluate(network, features.numpy(), ivectors.numpy(), **options)
            assert np.abs(together[node].numpy() - expected).max() < 1e-5
            assert torch.equal(together[node], model(features, None, ivectors, **options))

    def test_integers_and_doubles_come_in(self) -> None:
        features, ivectors = features_of(20)
        whole = features.round()
        expected = MODEL(whole, None, ivectors)
        assert torch.equal(MODEL(whole.int(), None, ivectors), expected)
        assert torch.equal(MODEL(whole.double(), None, ivectors.double()), expected)

    def test_inference_mode_and_memory_that_is_not_contiguous(self) -> None:
        features, ivectors = features_of(20)
        expected = MODEL(features, None, ivectors)
        with torch.inference_mode():
            assert torch.equal(MODEL(features, None, ivectors), expected)
        spread = torch.zeros(6, 40).t()[::2]
        spread.copy_(features)
        assert torch.equal(MODEL(spread, None, ivectors.t().contiguous().t()), expected)

    def test_arguments_are_not_written_to(self) -> None:
        features, ivectors = features_of(900)
        copies = features.clone(), ivectors.clone()
        MODEL(features, None, ivectors, subsampling=1)
        assert torch.equal(features, copies[0])
        assert torch.equal(ivectors, copies[1])


class TestIvectors:
    """What the shapes mean, also where two of them could be meant."""

    def one(self, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        expected = evaluate(NETWORK, features.numpy(), vectors.numpy(), subsampling=3)
        return torch.from_numpy(expected).float()

    @pytest.mark.parametrize("n_clips", [1, 4, IVECTOR_DIM + 1])
    def test_batches(self, n_clips: int) -> None:
        """Four clips of four rows of four columns leave all to the number of axes."""
        random = torch.Generator().manual_seed(0)
        clips = torch.randn(n_clips, 31, 6, generator=random)
        online = torch.randn(n_clips, 4, IVECTOR_DIM, generator=random)
        for vectors in (online[0, 0], online[:, 1], online):
            found = MODEL(clips, None, vectors)
            for number in range(n_clips):
                own = vectors if vectors.dim() == 1 else vectors[number]
                error = (found[number] - self.one(clips[number], own)).abs().max()
                assert float(error) < 1e-4, (vectors.shape, number)

    def test_one_clip(self) -> None:
        features, ivectors = features_of(31)
        assert ivectors.shape == (4, IVECTOR_DIM)
        for vectors in (ivectors[2], ivectors):
            error = (MODEL(features, None, vectors) - self.one(features, vectors)).abs().max()
            assert float(error) < 1e-4

    @pytest.mark.parametrize(
        ("clips", "vectors"),
        [
            ((31, 6), (3,)),
            ((31, 6), (4, 5)),
            ((31, 6), (1, 4, 4)),
            ((31, 6), ()),
            ((2, 31, 6), (3, 4)),
            ((2, 31, 6), (4, 4)),
            ((2, 31, 6), (3, 4, 4)),
            ((2, 31, 6), (2, 4, 3)),
            ((2, 31, 6), (2, 1, 4, 4)),
        ],
    )
    def test_other_shapes(self, clips: tuple[int, ...], vectors: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=r"i-vectors of shape \[.*expected \[4\]"):
            MODEL(torch.zeros(clips), None, torch.zeros(vectors))

    def test_none(self) -> None:
        features, _ = features_of(10)
        with pytest.raises(ShapeError, match=r"model\.ivectors\(features\)"):
            MODEL(features)
        assert not MODEL.needs_ivectors("input")
        assert MODEL.needs_ivectors("tdnn1.affine")

    def test_a_network_without_them_ignores_them(self) -> None:
        network = tdnnf(**SIZES, ivector=0, strides=STRIDES)
        model = AcousticModel(Model(None, network))
        features, ivectors = features_of(10)
        assert torch.equal(model(features, None, ivectors), model(features))
        assert model.extractor is None
        with pytest.raises(ShapeError, match="takes no i-vectors"):
            model.ivectors(features)

    def test_rows_that_end_too_early(self) -> None:
        """Kaldi puts up with fifty frames."""
        features, _ = features_of(140)
        rows = torch.randn(9, IVECTOR_DIM)
        assert MODEL(features, None, rows).shape == (47, 12)
        with pytest.raises(ShapeError, match=r"8 i-vectors, one for every 10 frames.*frame 1\d\d"):
            MODEL(features, None, rows[:8], frames_per_chunk=1)
        with pytest.raises(ShapeError, match="0 i-vectors"):
            MODEL(features, None, rows[:0])


class TestRefused:
    FEATURES, IVECTORS = features_of(20)

    @pytest.mark.parametrize("shape", [(20, 5), (2, 20, 5), (20,), (1, 2, 20, 6), (0, 20, 6)])
    def test_features(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=r"takes \[T, 6\] or \[B, T, 6\]"):
            MODEL(torch.zeros(shape), None, self.IVECTORS[0])

    @pytest.mark.parametrize(
        "lengths",
        [
            torch.tensor([20]),
            torch.tensor([20, 21]),
            torch.tensor([-1, 20]),
            torch.tensor([0.5, 1.0]),
            torch.tensor(20),
            torch.tensor([[20, 20]]),
        ],
    )
    def test_lengths(self, lengths: torch.Tensor) -> None:
        with pytest.raises(ShapeError, match="lengths"):
            MODEL(torch.zeros(2, 20, 6), lengths, self.IVECTORS[0])

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"node": "prefinal"}, r'no node "prefinal"\. It has: .*prefinal-l'),
            ({"node": ("output", "x")}, 'no node "x"'),
            ({"node": ()}, "no node is asked for"),
            ({"subsampling": 0}, "subsampling is 0"),
            ({"subsampling": -3}, "subsampling is -3"),
            ({"frames_per_chunk": 0}, "frames_per_chunk is 0"),
            ({"ivector_period": 0}, "ivector_period is 0"),
        ],
    )
    def test_options(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ShapeError, match=words):
            MODEL(self.FEATURES, None, self.IVECTORS, **options)

    def test_names_everywhere(self) -> None:
        for call in (MODEL.node_dim, MODEL.context, MODEL.needs_ivectors):
            with pytest.raises(ShapeError, match='no node "x"'):
                call("x")
        with pytest.raises(ShapeError, match="subsampling is 0"):
            MODEL.output_lengths(torch.tensor([3]), 0)

    def test_nothing_in_gives_nothing_out(self) -> None:
        vector = self.IVECTORS[0]
        assert MODEL(self.FEATURES[:0], None, vector).shape == (0, 12)
        assert MODEL(torch.zeros(2, 0, 6), None, vector).shape == (2, 0, 12)
        zero = MODEL(torch.zeros(2, 5, 6), torch.tensor([0, 0]), vector)
        assert torch.equal(zero, torch.zeros(2, 2, 12))

    @pytest.mark.parametrize("kind", ["LstmNonlinearityComponent"])
    def test_component_that_is_not_computed(self, kind: str, tmp_path: Path) -> None:
        (tmp_path / "final.raw").write_text(
            "<Nnet3> \ninput-node name=input dim=3\n"
            "component-node name=a component=a input=input\n"
            "output-node name=output input=a\n\n"
            f"<NumComponents> 1\n<ComponentName> a <{kind}> </{kind}>\n</Nnet3> "
        )
        with pytest.raises(NotSupported, match=kind):
            AcousticModel.load(tmp_path / "final.raw")
