"""Exported graphs, run by onnxruntime, against Kaldi, the plain evaluator and the model itself."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kaldi_golden import GOLDEN, MODEL_DIRS, needs_golden
from made_models import every_network
from made_networks import cnn_tdnnf, tdnn, tdnnf, tdnnf_with_skips
from made_recipe import make_recipe
from plain_context import context
from plain_nnet3 import evaluate
from random_networks import random_inputs, random_network

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import (
    KaldiError,
    KaldiFileError,
    MissingLibrary,
    NotSupported,
    ShapeError,
)
from kaldi_bridge.export import OnnxDescription, export_onnx, onnx_file
from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import Model, read_model

WITHOUT_ONNX = 'needs onnx and onnxruntime: pip install "sedsdk[export]"'
onnx = pytest.importorskip("onnx", reason=WITHOUT_ONNX)
onnxruntime = pytest.importorskip("onnxruntime", reason=WITHOUT_ONNX)

OF_KALDI = 2e-4
OF_THE_MODEL = 2e-5  # both round to float32, each by up to 2.6e-5 of what float64 gives
OF_THE_TWIN = 1e-4
"""Largest difference over the root mean square of the reference."""
LENGTHS = (1, 2, 3, 50)
WHOLE = sorted((path.parts[-3], path.stem) for path in GOLDEN.glob("models/*/out/*.fsf*_whole.npz"))


def error(result: np.ndarray, reference: np.ndarray) -> float:
    assert result.shape == reference.shape
    size = np.sqrt(np.square(reference, dtype=float).mean())
    return float(np.abs(result - reference).max() / max(size, 1e-9))


def opened(path: Path) -> Any:
    """Returns a session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path: Path, features: Any, ivector: Any = None) -> np.ndarray:
    """Returns the activations that onnxruntime computes."""
    return run_session(opened(path), features, ivector)


def run_session(session: Any, features: Any, ivector: Any = None) -> np.ndarray:
    named = {"features": features, "ivector": ivector}
    (activations,) = session.run(
        ["activations"], {given.name: named[given.name] for given in session.get_inputs()}
    )
    return activations


def made(network: Network, **options: Any) -> AcousticModel:
    return AcousticModel(Model(None, network), **options).eval()


@cache
def golden_model(name: str) -> AcousticModel:
    model = AcousticModel(read_model(GOLDEN / "models" / name / "final.raw"))
    model.frame_subsampling_factor = 3
    return model.eval()


@cache
def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / name) as arrays:
        return dict(arrays)


def from_model(model: AcousticModel, features: Any, ivector: Any, **options: Any) -> np.ndarray:
    return (
        model(
            torch.from_numpy(features),
            ivectors=None if ivector is None else torch.from_numpy(ivector),
            frames_per_chunk=None,
            **options,
        )
        .detach()
        .numpy()
    )


def small() -> Network:
    return tdnnf(
        features=16, ivector=5, dim=24, bottleneck=6, strides=(1, 0, 3), prefinal=8, pdfs=10
    )


def small_cnn() -> Network:
    return cnn_tdnnf(
        height=8, ivector=4, convolutions=((4, 8), (6, 4)), dim=16, bottleneck=4,
        first_bottleneck=6, strides=(0, 3), prefinal=5, pdfs=7,
    )  # fmt: skip


class TestAgainstKaldi:
    """One chunk for the whole recording, whose i-vector is that of its middle."""

    @needs_golden
    @pytest.mark.parametrize(("model", "stem"), WHOLE)
    def test_every_stored_output(self, model: str, stem: str, tmp_path: Path) -> None:
        node, variant = stem.rsplit(".", 1)
        factor = int(variant[3])
        loaded = golden_model(model)
        loaded.export_onnx(tmp_path / "x.onnx", node=node, subsampling=factor)
        for utterance, reference in stored(f"models/{model}/out/{stem}.npz").items():
            features = stored("feats/mfcc_hires.npz")[utterance]
            ivector = None
            if loaded.ivector_dim:
                online = stored("ivectors/ivector_online.npz")[utterance]
                middle = (len(reference) - 1) * factor // 2
                ivector = online[min(middle // 10, len(online) - 1)]
            result = run(tmp_path / "x.onnx", features, ivector)
            assert error(result, reference) <= OF_KALDI

    @needs_golden
    @pytest.mark.parametrize("subsampling", [1, 3])
    @pytest.mark.parametrize("model", [path.name for path in MODEL_DIRS])
    def test_nodes_and_lengths(self, model: str, subsampling: int, tmp_path: Path) -> None:
        loaded = golden_model(model)
        nodes = {"output", "prefinal-l", "prefinal-chain.batchnorm2", *loaded.nodes[::17]}
        for node in sorted(nodes & set(loaded.nodes)):
            path = tmp_path / "x.onnx"
            loaded.export_onnx(path, node=node, subsampling=subsampling)
            onnx.checker.check_model(str(path), full_check=True)
            session = opened(path)
            for length in LENGTHS:
                features = stored("feats/mfcc_hires.npz")["utt2"][20 : 20 + length]
                ivector = stored("ivectors/ivector_const.npz")["utt2"]
                ivector = ivector if loaded.needs_ivectors(node) else None
                result = run_session(session, features, ivector)
                assert result.shape == (-(-length // subsampling), loaded.node_dim(node))
                reference = from_model(
                    loaded, features, ivector, node=node, subsampling=subsampling
                )
                assert error(result, reference) <= OF_THE_MODEL, (node, length)


class TestAgainstThePlainEvaluator:
    @pytest.mark.parametrize("first", range(0, 100, 20))
    def test_random_networks(self, first: int, tmp_path: Path) -> None:
        for seed in range(first, first + 20):
            random = np.random.default_rng(seed)
            network = random_network(random, 1 + seed % 14)
            node = str(random.choice(made(network).nodes))
            factor, n_frames = int(random.integers(1, 4)), int(random.integers(1, 40))
            features, ivectors = random_inputs(network, random, n_frames)
            ivector = None if ivectors is None else ivectors[0]
            path = tmp_path / "x.onnx"
            made(network).export_onnx(path, node=node, subsampling=factor)
            onnx.checker.check_model(str(path), full_check=True)
            result = run(path, features, ivector)
            reference = evaluate(
                network, features, ivector, node=node, subsampling=factor, frames_per_chunk=None
            )
            assert error(result, reference) <= OF_THE_TWIN, seed

    @pytest.mark.parametrize("batched", [False, True])
    @pytest.mark.parametrize(
        "network",
        [
            small(),
            small_cnn(),
            tdnn(dim=16, ivector=0, pdfs=6),
            tdnnf_with_skips(dim=16, bottleneck=4, ivector=3, pdfs=6),
        ],
        ids=["tdnnf", "cnn_tdnnf", "renorm", "skips"],
    )
    def test_layouts_of_the_recipes(self, network: Network, batched: bool, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        for node in ("output", "output-xent"):
            path = tmp_path / f"{node}.onnx"
            said = made(network).export_onnx(path, node=node, subsampling=3, batched=batched)
            clips = [random_inputs(network, random, 17) for _ in range(2)]
            references = [
                evaluate(
                    network,
                    features,
                    None if ivectors is None else ivectors[0],
                    node=node,
                    subsampling=3,
                    frames_per_chunk=None,
                )
                for features, ivectors in clips
            ]
            features = [features for features, _ in clips]
            ivector = [rows[0] for _, rows in clips if rows is not None]
            if batched:
                vectors = np.stack(ivector) if said.ivector_dim else None
                result = run(path, np.stack(features), vectors)
            else:
                vector = ivector[0] if said.ivector_dim else None
                result, references = run(path, features[0], vector)[None], references[:1]
            assert error(result, np.stack(references)) <= OF_THE_TWIN

    @pytest.mark.parametrize("batched", [False, True])
    @pytest.mark.parametrize(
        ("descriptor", "expected"),
        [
            ("Const(0.5, 1)", [0.5] * 7),
            ("ReplaceIndex(ivector, t, 0)", [3] * 7),
            ("Switch(input, ReplaceIndex(ivector, t, 0))", [0, 3, 4, 3, 16, 3, 36]),
            ("Sum(Round(input, 3), ReplaceIndex(ivector, t, 0))", [3, 3, 3, 12, 12, 12, 39]),
        ],
    )
    def test_rows_that_no_frame_tells_apart(
        self, descriptor: str, expected: list[float], batched: bool, tmp_path: Path
    ) -> None:
        network = building.network(
            "input-node name=input dim=1\ninput-node name=ivector dim=1\n"
            f"component-node name=y component=y input={descriptor}\n"
            "output-node name=output input=y",
            [building.noop("y", 1)],
        )
        path = tmp_path / "x.onnx"
        made(network).export_onnx(path, node="output", subsampling=1, batched=batched)
        features = np.arange(7, dtype=np.float32)[:, None] ** 2
        ivector = np.array([3], np.float32)
        if batched:
            features, ivector = np.stack([features] * 2), np.stack([ivector] * 2)
        result = run(path, features, ivector)
        np.testing.assert_array_equal(result[..., 0], [expected] * 2 if batched else expected)


class TestTheFile:
    def test_is_described(self, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path, ivector_dim=6)
        model = AcousticModel.load(folder)
        said = model.export_onnx(tmp_path / "x.onnx")
        network = model.network
        assert said == OnnxDescription(
            path=tmp_path / "x.onnx",
            model="tdnn/final.raw",
            node="prefinal-l",
            subsampling=3,
            feature_dim=16,
            ivector_dim=6,
            node_dim=8,
            context=context(network, "prefinal-l"),
            batched=False,
            sample_rate=16000,
            frame_shift_seconds=0.01,
            weights_sha256=said.weights_sha256,
            opset=17,
            n_bytes=(tmp_path / "x.onnx").stat().st_size,
        )
        message = onnx.load(tmp_path / "x.onnx")
        assert {each.key: each.value for each in message.metadata_props} == {
            "model": "tdnn/final.raw",
            "node": "prefinal-l",
            "subsampling": "3",
            "left_context": str(said.context[0]),
            "right_context": str(said.context[1]),
            "sample_rate": "16000",
            "frame_shift_seconds": "0.01",
            "weights_sha256": said.weights_sha256,
        }
        shapes = {
            each.name: [dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim]
            for each in [*message.graph.input, *message.graph.output]
        }
        assert shapes == {
            "features": ["frames", 16],
            "ivector": [6],
            "activations": ["rows", 8],
        }
        assert message.opset_import[0].version == 17
        assert message.ir_version == 8

    def test_holds_no_array_twice_and_no_layer_that_is_not_read(self, tmp_path: Path) -> None:
        """Three phases of a layer share its weights; its columns count as the recipe has them."""
        made(small()).export_onnx(tmp_path / "x.onnx", node="tdnnf4.noop", subsampling=3)
        message = onnx.load(tmp_path / "x.onnx")
        arrays = [onnx.numpy_helper.to_array(each) for each in message.graph.initializer]
        contents = [(each.dtype.str, each.shape, each.tobytes()) for each in arrays]
        assert len(set(contents)) == len(contents)
        matrices = sum(each.size for each in arrays if each.ndim == 2 and len(each) > 1)
        first = 24 * (3 * 16 + 5)  # lda and tdnn1 in one
        assert matrices == first + 2 * (2 * 24 * 6 + 6 * 2 * 24) + 24 * 6 + 6 * 24
        names = {node.name for node in message.graph.node}
        assert any(name.startswith("tdnnf2.linear") for name in names)
        assert not any("prefinal" in name for name in names)

    def test_digest_is_that_of_the_weights(self, tmp_path: Path) -> None:
        model = made(small())
        first = model.export_onnx(tmp_path / "a.onnx", subsampling=1).weights_sha256
        assert model.export_onnx(tmp_path / "b.onnx", node="output").weights_sha256 == first
        model.unfreeze(["tdnnf3"])[0].data[0, 0] += 1e-3
        assert model.export_onnx(tmp_path / "c.onnx").weights_sha256 != first

    @pytest.mark.parametrize("opset", [13, 15, 18, 20])
    def test_opsets(self, opset: int, tmp_path: Path) -> None:
        """Networks with all operators, of which some changed from opset to opset."""
        networks = [random_network(np.random.default_rng(seed), 10) for seed in range(3)]
        networks += [tdnn(dim=16, ivector=4, pdfs=6), small_cnn()]
        for network in networks:
            random = np.random.default_rng(1)
            features, ivectors = random_inputs(network, random, 11)
            ivector = None if ivectors is None else ivectors[0]
            model = made(network)
            said = export_onnx(model, tmp_path / "x.onnx", node="output", opset=opset)
            assert onnx.load(tmp_path / "x.onnx").opset_import[0].version == said.opset == opset
            result = run(tmp_path / "x.onnx", features, ivector)
            reference = evaluate(network, features, ivector, frames_per_chunk=None)
            assert error(result, reference) <= OF_THE_TWIN

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_weights_of_another_type_become_float32(
        self, dtype: torch.dtype, tmp_path: Path
    ) -> None:
        """The weights are rounded as the type does it, the arithmetic is that of float32."""
        model = made(small()).to(dtype)
        model.export_onnx(tmp_path / "x.onnx", subsampling=3)
        random = np.random.default_rng(0)
        features, ivectors = random_inputs(small(), random, 10)
        rounded = model.weights.written_into(small())
        reference = evaluate(
            rounded, features, ivectors[0], node="prefinal-l", subsampling=3, frames_per_chunk=None
        )
        result = run(tmp_path / "x.onnx", features, ivectors[0])
        assert result.dtype == np.float32
        assert error(result, reference) <= OF_THE_TWIN

    def test_a_learning_model_gives_the_weights_it_has(self, tmp_path: Path) -> None:
        model = made(small())
        for parameter in model.unfreeze(["tdnnf3"]):
            parameter.data *= 1.5
        features, ivectors = random_inputs(small(), np.random.default_rng(0), 10)
        model.export_onnx(tmp_path / "x.onnx")
        reference = evaluate(
            model.weights.written_into(small()),
            features,
            ivectors[0],
            node="prefinal-l",
            frames_per_chunk=None,
        )
        assert error(run(tmp_path / "x.onnx", features, ivectors[0]), reference) <= OF_THE_TWIN
        assert all(parameter.grad is None for parameter in model.parameters())


class TestWrongUse:
    def test_unknown_node(self, tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match=r'no node "prefinal".*prefinal-l'):
            made(small()).export_onnx(tmp_path / "x.onnx", node="prefinal")

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(KaldiFileError, match=r"there is no folder .*/models.*make it first"):
            made(small()).export_onnx(tmp_path / "models" / "x.onnx")

    @pytest.mark.parametrize("subsampling", [0, -3])
    def test_subsampling(self, subsampling: int, tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match=f"subsampling is {subsampling}"):
            made(small()).export_onnx(tmp_path / "x.onnx", subsampling=subsampling)

    @pytest.mark.parametrize("opset", [12, 1000])
    def test_opset(self, opset: int, tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match=f"opset is {opset}; .* writes 13 to"):
            export_onnx(made(small()), tmp_path / "x.onnx", opset=opset)

    def test_what_is_not_computed(self, tmp_path: Path) -> None:
        with pytest.raises(NotSupported, match="Failover"):
            made(every_network()).export_onnx(tmp_path / "x.onnx", node="output")

    def test_another_input(self, tmp_path: Path) -> None:
        network = building.network(
            "input-node name=input dim=1\ninput-node name=speaker dim=1\n"
            "component-node name=y component=y input=Sum(input, ReplaceIndex(speaker, t, 0))\n"
            "output-node name=output input=y",
            [building.noop("y", 1)],
        )
        with pytest.raises(NotSupported, match='input "speaker"'):
            made(network).export_onnx(tmp_path / "x.onnx", node="output")

    def test_weights_that_are_not_finite(self, tmp_path: Path) -> None:
        model = made(small())
        model.unfreeze(["tdnnf3.affine"])[0].data[0, 0] = float("nan")
        with pytest.raises(KaldiError, match=r'behind "tdnnf3.* NaN or infinity'):
            model.export_onnx(tmp_path / "x.onnx")
        assert list(tmp_path.iterdir()) == []

    def test_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnx_file, "LARGEST_BYTES", 4000)
        with pytest.raises(KaldiFileError, match="holds 4000, and weights in files beside it"):
            made(small()).export_onnx(tmp_path / "x.onnx")
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_write_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "x.onnx").write_text("before")

        def full(source: object, target: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.replace", full)
        with pytest.raises(KaldiFileError, match="No space left"):
            made(small()).export_onnx(tmp_path / "x.onnx")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]

    def test_without_onnx(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingLibrary, match=r'pip install "sedsdk\[export\]"'):
            made(small()).export_onnx(tmp_path / "x.onnx")


class TestCommand:
    @pytest.fixture
    def call(self):
        from typer.testing import CliRunner

        from kaldi_bridge.plugin.commands import app

        return lambda *arguments: CliRunner().invoke(app, ["export", *map(str, arguments)])

    def test_writes_what_the_model_writes(self, call: Any, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path)
        out = tmp_path / "model.onnx"
        result = call(folder, "--out", out, "--node", "tdnnf3.noop", "--subsampling", 1)
        assert result.exit_code == 0, result.output
        assert result.stdout == (
            f"{out}: {out.stat().st_size / 1e6:.2f} MB, features [T, 16] and ivector [6] → "
            "activations [T, 24]\n"
        )
        model = AcousticModel.load(folder)
        model.export_onnx(tmp_path / "same.onnx", node="tdnnf3.noop", subsampling=1)
        assert out.read_bytes() == (tmp_path / "same.onnx").read_bytes()

    def test_replaces_only_when_told(self, call: Any, tmp_path: Path) -> None:
        folder = make_recipe(tmp_path, ivector_dim=0)
        out = tmp_path / "model.onnx"
        out.write_text("before")
        result = call(folder, "--out", out)
        assert "already there. Give --overwrite" in str(result.exception)
        assert out.read_text() == "before"
        result = call(folder, "--out", out, "--overwrite", "--batched")
        assert result.stdout.endswith("features [B, T, 16] → activations [B, ⌈T / 3⌉, 8]\n")

    def test_an_error_is_a_sentence(self, call: Any, tmp_path: Path) -> None:
        from sedsdk.errors import DataError

        result = call(make_recipe(tmp_path), "--out", tmp_path / "x.onnx", "--node", "tdnnf9")
        assert isinstance(result.exception, DataError)
        assert 'no node "tdnnf9"' in str(result.exception)
