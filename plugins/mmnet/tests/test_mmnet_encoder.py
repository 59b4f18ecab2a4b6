"""The encoders against plain NumPy, their sizes, grids, lengths and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmnet_twin import array, encoded, pooled, randomised
from sedsdk_mmnet.encoder import MmnetConfig, MmnetConvnet, MmnetResnet
from sedsdk_mmnet.stages import Upsampling
from sedsdk_mmnet.time_layers import TimeConv, max_pooled

from sedsdk import (
    AudioError,
    ConfigError,
    Encoder,
    FrameGrid,
    Pipeline,
    StreamSpec,
    compose,
    default_host,
    part,
)
from sedsdk.runtime.blocks import shortest_clip
from sedsdk.runtime.detector import Detector
from sedsdk.types import Encoded, Features, Inputs

GRID = FrameGrid(0.01, 0.005)
PAPER_GRID = FrameGrid(492 / 44100)
NETS = (MmnetConvnet, MmnetResnet)
BANDS = 5
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"pyramid": True},
    {"pyramid": True, "pooling": (2, 3)},
    {"pyramid": True, "pooling": (1, 1)},
    {"channels": (3, 4, 5), "pooling": (4,), "pyramid": True},
]


def net(made: type[Any], seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    config = MmnetConfig(**{"channels": (3, 4, 6, 5), **options})
    return made(config, {"main": StreamSpec(BANDS, GRID)})


def batch(*lengths: int, padding: float = float("nan"), extra: int = 3) -> tuple[list[Any], Inputs]:
    """Clips [T, F], and the same beside each other with something in the padding."""
    random = np.random.default_rng(3)
    clips = [random.normal(size=(length, BANDS)) for length in lengths]
    values = torch.full((len(lengths), max(lengths) + extra, BANDS), padding, dtype=torch.float64)
    for row, clip in enumerate(clips):
        values[row, : len(clip)] = torch.from_numpy(clip)
    return clips, Inputs({"main": Features(values, torch.tensor(lengths), GRID)})


@torch.no_grad()
def run(encoder: Encoder, inputs: Inputs) -> Encoded:
    found: Encoded = encoder(inputs)
    return found


# The equations


@pytest.mark.parametrize("made", NETS)
@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_feature_maps_are_those_of_plain_numpy(made: Any, options: dict[str, Any]) -> None:
    encoder = randomised(net(made, **options), seed=1)
    clips, inputs = batch(33, 16, 47, 20)
    found = run(encoder, inputs)
    maps = [found.frames, *found.scales]
    for row, clip in enumerate(clips):
        wanted = encoded(clip, encoder)
        assert len(wanted) == len(maps)
        for mine, other in zip(maps, wanted, strict=True):
            length = int(mine.lengths[row])
            assert length == len(other)
            np.testing.assert_allclose(array(mine.values[row, :length]), other, atol=1e-9)
            assert not mine.values[row, length:].any()


@pytest.mark.parametrize("made", NETS)
def test_in_training_a_full_batch_is_normalised_as_torch_does(made: Any) -> None:
    """The same network of torch's own layers, layer by layer, and its running statistics."""
    encoder = net(made, pooling=(2, 2)).double().train()
    theirs = torch_network(encoder)
    _, inputs = batch(24, 24, 24, extra=0)
    found = encoder(inputs).frames.values
    wanted, norms = theirs(inputs.main.values.transpose(1, 2))
    torch.testing.assert_close(found, wanted.transpose(1, 2))
    ours = [m for name, m in encoder.named_modules() if name.split(".")[-1] == "norm"]
    used = [m for m in ours if hasattr(m, "running_mean")]
    assert len(norms) == len(used)
    means = [
        sorted(float(layer.running_mean.sum()) for layer in layers) for layers in (used, norms)
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-12)


def torch_network(encoder: Any) -> Any:
    """Conv1d, BatchNorm1d and max_pool1d, with copies of the encoder's weights."""
    norms: list[torch.nn.BatchNorm1d] = []

    def norm(x: torch.Tensor) -> torch.Tensor:
        norms.append(torch.nn.BatchNorm1d(x.shape[1]).double().train())
        return norms[-1](x)

    def conv(x: torch.Tensor, layer: TimeConv) -> torch.Tensor:
        weight = layer.conv.weight.detach().clone()[:, :, 0]
        return F.conv1d(x, weight, padding=1)

    def stage(x: torch.Tensor, layers: Any) -> torch.Tensor:
        if isinstance(encoder, MmnetConvnet):
            for layer in layers.convolutions:
                x = torch.relu(norm(conv(x, layer.conv)))
            return x
        y = conv(torch.relu(norm(x)), layers.first.conv)
        shortcut = F.conv1d(x, layers.shortcut.weight.detach()[:, :, None])
        return conv(torch.relu(norm(y)), layers.second) + shortcut

    def network(x: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
        x = norm(x)
        residual = isinstance(encoder, MmnetResnet)
        x = conv(x, encoder.stem) if residual else stage(x, encoder.stem)
        for layers, factor in zip(encoder.stages, (*encoder.config.pooling, 1), strict=True):
            x = F.max_pool1d(stage(x, layers), factor)
        return (torch.relu(norm(x)) if residual else x), norms

    return network


def test_upsampling_is_torchs_transposed_convolution() -> None:
    torch.manual_seed(0)
    layer = randomised(Upsampling(6, 5, 4))
    x = torch.randn(3, 7, 6, dtype=torch.float64)
    got, lengths = layer(x, torch.tensor([7, 7, 7]))
    weight = layer.dense.weight.view(4, 5, 6).permute(2, 1, 0)  # [before, channels, kernel]
    y = F.conv_transpose1d(x.transpose(1, 2), weight, stride=4)
    y = F.batch_norm(
        y, layer.norm.running_mean, layer.norm.running_var, layer.norm.weight, layer.norm.bias
    )
    torch.testing.assert_close(got, torch.relu(y).transpose(1, 2))
    assert lengths.tolist() == [28, 28, 28]


def test_no_pooling_window_reaches_into_padding() -> None:
    """Negative frames before zeros: a window across the end would be largest at the padding."""
    x = -1 - torch.rand(3, 11, 2)
    lengths = torch.tensor([11, 7, 3])
    x[1, 7:], x[2, 3:] = 0, 0
    got, shorter = max_pooled(x, lengths, 4)
    assert shorter.tolist() == [2, 1, 0]
    assert got.shape == (3, 2, 2)
    for row in range(3):
        length = int(shorter[row])
        want = pooled(array(x[row, : int(lengths[row])]), 4)
        np.testing.assert_allclose(array(got[row, :length]), want)
        assert not got[row, length:].any()


# Initial weights


def test_initial_weights_have_the_deviation_of_he_et_al() -> None:
    """√(2 / fan-in): 3 · 128 inputs to the first convolution, 256 to a shortcut."""
    torch.manual_seed(0)
    encoder = MmnetResnet(MmnetConfig(), {"main": StreamSpec(128, PAPER_GRID)})
    block = encoder.stages[1]
    for weight, fan_in in (
        (encoder.stem.conv.weight, 3 * 128),
        (block.first.conv.conv.weight, 3 * 256),
        (block.second.conv.weight, 3 * 384),
        (block.shortcut.weight, 256),
    ):
        deviation = float(weight.detach().std())
        assert deviation == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


# Size

TABLE_1 = [
    ("mmnet_convnet", {}, "macro", {"units": 512}, 1.54),
    ("mmnet_resnet", {}, "macro", {"pooling": "max"}, 3.70),
    ("mmnet_resnet", {}, "macro", {}, 3.70),
    ("mmnet_resnet", {}, "wlat", {}, 3.70),
    ("mmnet_resnet", {}, "slat", {}, 3.70),
    ("mmnet_resnet", {}, "plat", {}, 3.72),
    ("mmnet_resnet", {}, "att", {}, 4.14),
    ("mmnet_resnet", {}, "spda", {}, 6.84),
    ("mmnet_resnet", {}, "macro_micro", {}, 4.16),
    ("mmnet_resnet", {}, "macro_micro", {"ensemble_prediction": False}, 4.16),
]


def millions(
    encoder: str, encoder_options: dict[str, Any], head: str, options: dict[str, Any], classes: int
) -> float:
    host = default_host()
    encoder_class, head_class = host.load("encoder", encoder), host.load("head", head)
    config = encoder_class.Config(**encoder_options)
    made = encoder_class(config, {"main": StreamSpec(128, PAPER_GRID)})
    top = head_class(head_class.Config(**options), made.spec, classes)
    return sum(p.numel() for module in (made, top) for p in module.parameters()) / 1e6


@pytest.mark.parametrize(("encoder", "encoder_options", "head", "options", "printed"), TABLE_1)
def test_sizes_are_those_of_table_1(
    encoder: str,
    encoder_options: dict[str, Any],
    head: str,
    options: dict[str, Any],
    printed: float,
) -> None:
    found = millions(encoder, encoder_options, head, options, classes=17)
    assert found == pytest.approx(printed, rel=0.03)


def test_the_differences_between_rows_are_those_of_table_1() -> None:
    """f_det adds 0.02 M (3.72 − 3.70), f_att 0.44 M (4.14 − 3.70), each of them to M&mnet."""
    macro, plat, att, both = (
        millions("mmnet_resnet", {}, head, {}, 17)
        for head in ("macro", "plat", "att", "macro_micro")
    )
    assert round(plat - macro, 2) == 0.02
    assert round(att - macro, 2) == 0.44
    assert both - macro == pytest.approx(plat - macro + att - macro, abs=1e-9)


def test_the_multi_scale_net_has_the_eight_million_of_table_4() -> None:
    found = millions("mmnet_resnet", {"pyramid": True}, "macro_micro_ms", {}, 527)
    assert found == pytest.approx(8, abs=0.5)


def test_the_resnet_by_the_layer_table() -> None:
    def block(before: int, after: int) -> int:
        return 2 * before + 3 * before * after + 2 * after + 3 * after * after + before * after

    wanted = 2 * 128 + 3 * 128 * 128 + block(128, 256) + block(256, 384) + block(384, 384) + 2 * 384
    made = MmnetResnet(MmnetConfig(), {"main": StreamSpec(128, PAPER_GRID)})
    assert sum(p.numel() for p in made.parameters()) == wanted == 2_249_216


# Grids and lengths


def test_a_segment_of_the_paper_is_sixteen_frames_of_the_ten_second_clip() -> None:
    """Section 3: 0.18 s; 896 frames of 492 samples make 56 segments, the first centred on 7.5."""
    made = MmnetResnet(MmnetConfig(), {"main": StreamSpec(128, PAPER_GRID)})
    hop = 492 / 44100
    grid = made.spec.frames.grid
    assert made.time_reduction == 16
    assert grid.hop_seconds == pytest.approx(16 * hop)
    assert round(grid.hop_seconds, 2) == 0.18
    times = grid.times(56)
    np.testing.assert_allclose(times, hop * (7.5 + 16 * np.arange(56)), atol=1e-12)
    values = torch.zeros(1, 896, 128)
    found = run(made, Inputs({"main": Features(values, torch.tensor([896]), PAPER_GRID)}))
    assert found.frames.values.shape == (1, 56, 384)


@pytest.mark.parametrize("made", NETS)
def test_the_pyramid_has_five_maps_on_their_own_grids(made: Any) -> None:
    encoder = net(made, pooling=(4, 3), pyramid=True, channels=(3, 4, 6, 5)).double().eval()
    _, inputs = batch(50, 12)
    found = run(encoder, inputs)
    # X, then the earlier maps, then X upsampled: hop, centre of the first frame, channels, lengths
    wanted = [
        (0.12, 0.06, 5, [4, 1]),
        (0.01, 0.005, 4, [50, 12]),
        (0.04, 0.02, 6, [12, 3]),
        (0.04, 0.02, 3, [12, 3]),
        (0.01, 0.005, 2, [48, 12]),
    ]
    specs = (encoder.spec.frames, *encoder.spec.scales)
    for mine, spec, want in zip((found.frames, *found.scales), specs, wanted, strict=True):
        hop, first, size, lengths = want
        assert (spec.grid.hop_seconds, spec.grid.first_seconds) == pytest.approx((hop, first))
        assert mine.grid == spec.grid
        assert mine.values.shape[2] == spec.size == size
        assert mine.lengths.tolist() == lengths


@pytest.mark.parametrize("made", NETS)
def test_every_length_from_one_segment_on_alone_and_in_a_batch(made: Any) -> None:
    encoder = randomised(net(made, pooling=(2, 2), pyramid=True))
    clips, inputs = batch(*range(4, 30), padding=30.0)
    together = run(encoder, inputs)
    for row, clip in enumerate(clips):
        values = torch.from_numpy(clip)[None]
        alone = run(encoder, Inputs({"main": Features(values, torch.tensor([len(clip)]), GRID)}))
        assert alone.frames.values.shape[1] == len(clip) // 4
        pairs = zip((alone.frames, *alone.scales), (together.frames, *together.scales), strict=True)
        for one, many in pairs:
            length = int(one.lengths[0])
            assert int(many.lengths[row]) == length
            torch.testing.assert_close(many.values[row, :length], one.values[0, :length])


# Short clips


def test_a_clip_below_one_segment_is_refused_in_words() -> None:
    encoder = net(MmnetResnet, pooling=(4, 4)).double().eval()
    _, inputs = batch(40, 15, 20)
    with pytest.raises(AudioError) as caught:
        run(encoder, inputs)
    said = str(caught.value)
    for words in ("clip 1 of the batch has 15 frames (0.150 s)", "16 frames (0.160 s)", "Pad it"):
        assert words in said
    _, fits = batch(40, 16, 20)
    assert run(encoder, fits).frames.lengths.tolist() == [2, 1, 1]


def tagger(
    pooling: tuple[int, ...] = (4, 4), head: str = "macro_micro", **options: Any
) -> Pipeline:
    return compose(
        ["car", "siren"],
        part("log_mel", sample_rate=8000, n_mels=BANDS, n_fft=512, hop_seconds=0.01),
        part("mmnet_resnet", channels=(4, 4, 6, 6), pooling=pooling, **options),
        part(head, units=8),
        postprocessors=["threshold", "to_events"],
        seed=0,
    )


def test_a_detector_pads_what_is_shorter_than_a_segment() -> None:
    """16 centred frames of 80 samples need 15 hops; a segment spans 0.16 s."""
    pipeline = tagger()
    assert shortest_clip(pipeline) == pytest.approx(0.16)
    detector = Detector(pipeline)
    click = np.random.default_rng(0).normal(size=100).astype(np.float32) * 0.1
    with pytest.raises(AudioError, match="16 frames"):
        pipeline.predict([click], 8000)
    found = detector.frames(click, 8000)
    assert found.probabilities.shape == (1, 2)
    padded = np.pad(click, (0, 1280 - len(click)))
    assert detector.tags(click, 8000) == pytest.approx(detector.tags(padded, 8000), abs=1e-6)


def test_a_long_recording_is_heard_in_blocks() -> None:
    """Past what the net sees around a segment, the joined segments are those of the whole."""
    pipeline = tagger(pooling=(2, 2), head="macro_micro_ms", pyramid=True)
    noise = np.random.default_rng(1).normal(size=8000 * 6).astype(np.float32) * 0.1
    whole = Detector(pipeline).frames(noise, 8000)
    pieces = Detector(pipeline, block_seconds=1.0, context_seconds=0.5).frames(noise, 8000)
    assert pieces.probabilities.shape == whole.probabilities.shape
    np.testing.assert_allclose(pieces.probabilities, whole.probabilities, atol=1e-5)


# Refusals


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pooling": (4,)}, "give 2"),
        ({"channels": (8,)}, "at least 2"),
        ({"pooling": (4, 0)}, "at least 1"),
        ({"channels": (4, 4), "pooling": (), "pyramid": True}, "two stages"),
        ({"dropout": 1.0}, "less than 1"),
        ({"chanels": (1, 2)}, 'Did you mean "channels"'),
        ({"stream": "asr"}, 'reads stream "asr"'),
    ],
)
@pytest.mark.parametrize("name", ["mmnet_convnet", "mmnet_resnet"])
def test_a_wrong_option_is_refused_with_what_is_allowed(
    name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        compose(["car"], "log_mel", part(name, **options), "macro")


def test_another_stream_has_to_lie_on_the_labels_grid() -> None:
    fine, coarse = part("log_mel", hop_seconds=0.01), part("log_mel", hop_seconds=0.02)
    streams = {"main": fine, "other": coarse}
    with pytest.raises(ConfigError, match="labels lie on"):
        compose(["car"], streams, part("mmnet_resnet", stream="other"), "macro")
    made = compose(
        ["car"], {"main": fine, "other": fine}, part("mmnet_resnet", stream="other"), "macro"
    )
    assert isinstance(made.encoder, MmnetResnet)
