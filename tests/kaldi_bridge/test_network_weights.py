"""A network's numbers as a torch module: learning, saving, moving, copying."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from kaldi_golden import MODEL_FILES, needs_golden, short_name
from made_models import assert_same, every_model
from made_networks import cnn_tdnnf, tdnnf
from network_draft import NetworkDraft
from plain_nnet3 import evaluate
from random_networks import random_inputs
from safetensors.torch import load_file, save_file

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import ShapeError
from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import Network
from kaldi_bridge.nnet3.reading import Model, read_model, read_nnet

BINARY_FILES = [path for path in MODEL_FILES if path.suffix != ".gz"]
TDNNF = tdnnf(
    features=6, ivector=4, dim=16, bottleneck=4, strides=(1, 0, 3), prefinal=5, pdfs=12, seed=1
)


def every_kind() -> Network:
    """A network with every component that learns."""
    draft = NetworkDraft(np.random.default_rng(0))
    draft.input("ivector", 3)
    draft.input("input", 6)
    fixed = draft.fixed_affine("fixed", "Append(input, ReplaceIndex(ivector, t, 0))")
    last = draft.affine("affine", fixed, 8)
    weights = draft.weights(8, 16, last)
    last = draft.add(building.tdnn("tdnn", weights, draft.bias(8), [-1, 2]), last, size=1.0)
    last = draft.batchnorm("norm", draft.relu("relu", last))
    last = draft.linear("linear", last, 6)
    scales, offsets = 1 + draft.bias(3), draft.bias(3)
    last = draft.add(building.scale_and_offset("scaled", scales, offsets, dim=6), last)
    last = draft.add(building.per_element_scale("stretched", 1 + draft.bias(6)), last)
    last = draft.add(building.per_element_offset("moved", draft.bias(6)), last)
    offsets2 = [(time, height) for time in (-1, 0) for height in (-1, 0, 1)]
    weights = draft.weights(2, 12, last)
    convolution = building.convolution(
        "conv", weights, draft.bias(2), offsets=offsets2, height_in=3, height_out=3
    )
    last = draft.relu("relu2", draft.add(convolution, last, size=1.0))
    blocks = draft.weights(6, 3, last)
    last = draft.add(building.block_affine("blocks", blocks, draft.bias(6), 2), last, size=1.0)
    last = draft.add(building.fixed_scale("fixed-scale", 1 + draft.bias(6)), last)
    draft.output("output", draft.add(building.fixed_bias("fixed-bias", draft.bias(6)), last))
    return draft.network()


LEARNING = {
    *("affine/LinearParams", "affine/BiasParams", "tdnn/LinearParams", "tdnn/BiasParams"),
    *("linear/Params", "scaled/Scales", "scaled/Offsets", "stretched/Params", "moved/Offsets"),
    *("conv/LinearParams", "conv/BiasParams", "blocks/LinearParams", "blocks/BiasParams"),
}
FIXED = {
    *("fixed/LinearParams", "fixed/BiasParams", "norm/StatsMean", "norm/StatsVar"),
    *("fixed-scale/Scales", "fixed-bias/Bias"),
}


def model_of(network: Network) -> AcousticModel:
    return AcousticModel(Model(None, network))


def inputs(network: Network, n_frames: int = 20) -> tuple[torch.Tensor, None, torch.Tensor]:
    features, ivectors = random_inputs(network, np.random.default_rng(2), n_frames)
    assert ivectors is not None
    return torch.from_numpy(features), None, torch.from_numpy(ivectors)


def assert_follows(model: AcousticModel) -> None:
    """Asserts that it computes what the plain evaluator makes of the weights it has now."""
    features, _, ivectors = inputs(model.network)
    network = model.weights.written_into(model.network)
    expected = evaluate(network, features.numpy(), ivectors.numpy())
    with torch.no_grad():
        found = model(features, None, ivectors)
    assert np.abs(found.numpy() - expected).max() < 1e-4 * np.sqrt(np.square(expected).mean())


class TestLearning:
    def test_what_kaldi_trains_are_parameters_and_the_rest_buffers(self) -> None:
        model = model_of(every_kind())
        parameters = {name.removeprefix("weights.") for name, _ in model.named_parameters()}
        assert parameters == LEARNING
        assert {name.removeprefix("weights.") for name in model.state_dict()} == LEARNING | FIXED

    def test_frozen_to_begin_with(self) -> None:
        model = model_of(TDNNF)
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert not model(*inputs(TDNNF)).requires_grad

    def test_unfreezing_by_layer_and_by_name(self) -> None:
        model = model_of(TDNNF)
        found = model.unfreeze(["tdnnf3", "prefinal-l"])
        learning = {name for name, value in model.named_parameters() if value.requires_grad}
        assert learning == {
            "weights.tdnnf3:linear/LinearParams",
            "weights.tdnnf3:linear/BiasParams",
            "weights.tdnnf3:affine/LinearParams",
            "weights.tdnnf3:affine/BiasParams",
            "weights.prefinal-l/Params",
        }
        assert {id(parameter) for parameter in found} == {
            id(parameter) for parameter in model.parameters() if parameter.requires_grad
        }
        assert len(model.unfreeze(["tdnnf2.affine"])) == 2

    @pytest.mark.parametrize("name", ["tdnn", "tdnnf3.relu", "lda", "nothing", ""])
    def test_nothing_to_unfreeze(self, name: str) -> None:
        model = model_of(TDNNF)
        with pytest.raises(ShapeError, match="no component with parameters"):
            model.unfreeze(["tdnnf3", name])
        assert not any(parameter.requires_grad for parameter in model.parameters())

    @pytest.mark.parametrize("subsampling", [1, 3])
    def test_gradients_of_every_kind_of_parameter(self, subsampling: int) -> None:
        """Against central differences of the streamed computation, along a random direction."""
        network = every_kind()
        model = model_of(network).double()
        model.requires_grad_()
        features, _, ivectors = inputs(network)
        features, ivectors = features.double(), ivectors.double()
        options = {"subsampling": subsampling, "frames_per_chunk": 9}
        weights = torch.randn(model(features, None, ivectors, **options).shape).double()

        def loss() -> torch.Tensor:
            return (model(features, None, ivectors, **options) * weights).sum()

        features.requires_grad_()
        ivectors.requires_grad_()
        loss().backward()
        leaves = {"features": features, "ivectors": ivectors, **dict(model.named_parameters())}
        step = 1e-6
        for name, leaf in leaves.items():
            assert leaf.grad is not None, name
            direction = torch.randn_like(leaf)
            expected = float((leaf.grad * direction).sum())
            losses = []
            with torch.no_grad():
                for sign in (1, -2, 1):
                    leaf += sign * step * direction
                    losses.append(float(loss()))
            slope = (losses[0] - losses[1]) / (2 * step)
            assert expected == pytest.approx(slope, rel=1e-5, abs=1e-6), name
            assert abs(expected) > 1e-4, name

    def test_some_layers_alone_get_gradients(self) -> None:
        model = model_of(TDNNF)
        model.unfreeze(["tdnnf3.affine"])
        model(*inputs(TDNNF), subsampling=3).square().sum().backward()
        graded = {name for name, value in model.named_parameters() if value.grad is not None}
        assert graded == {"weights.tdnnf3:affine/LinearParams", "weights.tdnnf3:affine/BiasParams"}

    def test_training_lowers_the_loss(self) -> None:
        model = model_of(TDNNF)
        model.unfreeze(["prefinal-l", "tdnnf4"])
        batch = torch.stack([inputs(TDNNF)[0], inputs(TDNNF)[0].flip(0)])
        vectors = inputs(TDNNF)[2][:1].expand(2, -1)
        targets = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.01)
        losses = []
        for _ in range(15):
            rows = model(batch, None, vectors, node="prefinal-l", subsampling=3)
            loss = (rows - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.7 * losses[0]
        assert_follows(model)

    def test_half_precision_learns_too(self) -> None:
        model = model_of(TDNNF).bfloat16()
        model.unfreeze(["prefinal-l"])
        model(*inputs(TDNNF), node="prefinal-l").float().sum().backward()
        (parameter,) = model.unfreeze(["prefinal-l"])
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.bfloat16


def _step(model: AcousticModel) -> None:
    model.requires_grad_()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(*inputs(TDNNF)).square().mean().backward()
    optimizer.step()
    model.requires_grad_(False)


def _in_place(model: AcousticModel) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.25)


def _data(model: AcousticModel) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.25


def _data_twice(model: AcousticModel) -> None:
    """The second copy may come to lie where the first weights lay."""
    _data(model)
    _data(model)


def _loaded(model: AcousticModel) -> None:
    model.load_state_dict({name: 1.25 * value for name, value in model.state_dict().items()})


def _assigned(model: AcousticModel) -> None:
    changed = {name: 1.25 * value for name, value in model.state_dict().items()}
    model.load_state_dict(changed, assign=True)


def _statistics(model: AcousticModel) -> None:
    for buffer in model.buffers():
        buffer.mul_(1.25)


def _to_and_back(model: AcousticModel) -> None:
    _in_place(model.double())
    model(*inputs(TDNNF))
    model.float()


@pytest.mark.parametrize(
    "change", [_step, _in_place, _data, _data_twice, _loaded, _assigned, _statistics, _to_and_back]
)
def test_a_changed_weight_is_seen(change: Callable[[AcousticModel], None]) -> None:
    model = model_of(TDNNF)
    assert_follows(model)
    before = model(*inputs(TDNNF)).detach()
    change(model)
    assert_follows(model)
    assert not torch.allclose(model(*inputs(TDNNF)), before, rtol=1e-3)


def test_models_of_one_network_share_no_weights() -> None:
    model, other = model_of(TDNNF), model_of(TDNNF)
    before = other(*inputs(TDNNF))
    _in_place(model)
    assert torch.equal(other(*inputs(TDNNF)), before)
    assert torch.equal(model_of(TDNNF)(*inputs(TDNNF)), before)


class TestTypes:
    """What half the digits cost; the plain evaluator is exact to 1e-15."""

    @pytest.mark.parametrize(
        ("dtype", "most"),
        [
            (torch.float64, 1e-12),
            (torch.float32, 2e-5),
            (torch.float16, 2e-2),
            (torch.bfloat16, 1e-1),
        ],
    )
    def test_error(self, dtype: torch.dtype, most: float) -> None:
        network = tdnnf(
            features=20, ivector=10, dim=128, bottleneck=32, strides=(1, 1, 0, 3, 3), pdfs=50
        )
        features, _, ivectors = inputs(network, 60)
        options = {"node": "prefinal-l", "subsampling": 3}
        expected = evaluate(network, features.numpy(), ivectors.numpy(), **options)
        model = model_of(network).to(dtype)
        found = model(features, None, ivectors, **options)
        assert found.dtype == model.dtype == dtype
        error = np.abs(found.double().numpy() - expected).max()
        assert error < most * np.sqrt(np.square(expected).mean())

    def test_convolutions_in_half_precision(self) -> None:
        network = cnn_tdnnf(
            height=8,
            ivector=4,
            convolutions=((8, 8), (8, 4)),
            dim=32,
            bottleneck=8,
            first_bottleneck=8,
            strides=(0, 3),
            prefinal=8,
            pdfs=12,
        )
        expected = model_of(network)(*inputs(network))
        for dtype, most in ((torch.float16, 2e-2), (torch.bfloat16, 2e-1)):
            found = model_of(network).to(dtype)(*inputs(network))
            assert (found.float() - expected).abs().max() < most * expected.square().mean().sqrt()


class TestCopies:
    def test_state_dict_through_safetensors(self, tmp_path: Path) -> None:
        model, other = model_of(TDNNF), model_of(tdnnf_of_seed(2))
        save_file(model.state_dict(), tmp_path / "weights.safetensors")
        assert not torch.allclose(other(*inputs(TDNNF)), model(*inputs(TDNNF)))
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(other(*inputs(TDNNF)), model(*inputs(TDNNF)))

    @pytest.mark.parametrize("used", [False, True])
    @pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
    def test_of_the_whole_module(self, how: str, used: bool) -> None:
        model = model_of(TDNNF)
        expected = model_of(TDNNF)(*inputs(TDNNF))
        if used:
            model(*inputs(TDNNF))
        if how == "deepcopy":
            other = copy.deepcopy(model)
        elif how == "pickle":
            other = pickle.loads(pickle.dumps(model))
        else:
            file = io.BytesIO()
            torch.save(model, file)
            file.seek(0)
            other = torch.load(file, weights_only=False)
        assert torch.equal(other(*inputs(TDNNF)), expected)
        _in_place(model)
        assert torch.equal(other(*inputs(TDNNF)), expected)

    def test_module_made_in_inference_mode(self) -> None:
        expected = model_of(TDNNF)(*inputs(TDNNF))
        with torch.inference_mode():
            model = model_of(TDNNF)
            inside = model(*inputs(TDNNF))
            wide = model_of(TDNNF).double()
            assert torch.allclose(wide(*inputs(TDNNF)).float(), expected, atol=1e-4)
        assert torch.equal(inside, expected)
        assert torch.equal(model(*inputs(TDNNF)), expected)
        assert torch.allclose(wide(*inputs(TDNNF)).float(), expected, atol=1e-4)


def tdnnf_of_seed(seed: int) -> Network:
    sizes = {"features": 6, "ivector": 4, "dim": 16, "bottleneck": 4, "prefinal": 5, "pdfs": 12}
    return tdnnf(**sizes, strides=(1, 0, 3), seed=seed)


class TestSaved:
    @pytest.mark.parametrize("binary", [True, False])
    @pytest.mark.parametrize("name", ["final.mdl", "final.raw"])
    def test_every_component_comes_back(self, name: str, binary: bool, tmp_path: Path) -> None:
        model = every_model()
        AcousticModel(model).save(tmp_path / name, binary=binary)
        found = read_model(tmp_path / name)
        wanted = model if name.endswith(".mdl") else Model(None, model.network)
        assert (found.transitions is None) == (wanted.transitions is None)
        assert_same(Model(None, found.network), Model(None, model.network), 0 if binary else 1e-6)

    @pytest.mark.parametrize("path", BINARY_FILES, ids=short_name)
    @needs_golden
    def test_byte_for_byte_what_kaldi_wrote(self, path: Path, tmp_path: Path) -> None:
        AcousticModel.load(path).save(tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()

    def test_what_was_learned_is_written(self, tmp_path: Path) -> None:
        model = model_of(TDNNF)
        _step(model)
        model.save(tmp_path / "final.raw")
        network = read_nnet(tmp_path / "final.raw")
        assert torch.equal(model_of(network)(*inputs(TDNNF)), model(*inputs(TDNNF)))
        before = TDNNF.components["prefinal-l"].array("Params")
        assert not np.array_equal(network.components["prefinal-l"].array("Params"), before)

    def test_float64_is_rounded_once(self, tmp_path: Path) -> None:
        model_of(TDNNF).double().save(tmp_path / "final.raw")
        model_of(TDNNF).save(tmp_path / "other.raw")
        written = [(tmp_path / name).read_bytes() for name in ("final.raw", "other.raw")]
        assert written[0] == written[1]


def test_threads() -> None:
    """Two ask for more plans than are kept while neither waits for the other."""
    model = model_of(TDNNF)
    cases = [
        (node, factor) for node in ("output", "prefinal-l", "tdnnf3.noop") for factor in (1, 3)
    ]
    given = inputs(TDNNF, 50)
    expected = {case: model(*given, node=case[0], subsampling=case[1]) for case in cases}
    wrong: list[object] = []
    start = Barrier(3)

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        start.wait()
        try:
            for _ in range(40):
                node, factor = case = cases[random.integers(len(cases))]
                if not torch.equal(model(*given, node=node, subsampling=factor), expected[case]):
                    wrong.append(case)
        except Exception as problem:
            wrong.append(problem)

    threads = [Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
