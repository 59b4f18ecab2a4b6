"""Networks of the recipes' layouts in any size, with random weights, made on the spot.

`random_network` of random_networks.py makes networks that no recipe has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from network_draft import NetworkDraft, spliced

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.network import Network

IVECTOR = "ReplaceIndex(ivector, t, 0)"
LIBRISPEECH_STRIDES = (1, 1, 1, 0, *(12 * [3]))


def tdnnf(
    *,
    features: int = 40,
    ivector: int = 100,
    front: str = "lda",
    dim: int = 1536,
    bottleneck: int = 160,
    strides: Sequence[int] = LIBRISPEECH_STRIDES,
    bypass: float = 0.66,
    dropout: bool = True,
    prefinal: int = 256,
    pdfs: int = 6024,
    seed: int = 0,
) -> Network:
    """Makes a TDNN-F as LibriSpeech's run_tdnn_1d has it; the defaults are its sizes.

    Args:
        features: dimension of "input".
        ivector: dimension of "ivector"; 0 for none.
        front: "lda" (three frames and the i-vector) or "delta" (inverse DCT, batch norm,
            spec-augment, deltas, then 0.4 × the i-vector), as in mini_librispeech.
        dim: of the layers.
        bottleneck: of the factored layers.
        strides: time stride of each factored layer, "tdnnf2" and so on.
        bypass: scale of the layer below in each sum; 0 for no sums.
        dropout: whether layers have GeneralDropout.
        prefinal: dimension of "prefinal-l".
        pdfs: dimension of the outputs.
        seed: of the weights.
    """
    draft = NetworkDraft(np.random.default_rng(seed))
    if ivector:
        draft.input("ivector", ivector)
    draft.input("input", features)
    last = _delta_front(draft, bool(ivector)) if front == "delta" else _lda(draft, bool(ivector))
    last = draft.relu_layer("tdnn1", last, dim, dropout=dropout)
    for number, stride in enumerate(strides, 2):
        name = f"tdnnf{number}"
        last = draft.tdnnf_layer(
            name, last, dim, bottleneck, stride, bypass=bypass, dropout=dropout
        )
    draft.outputs(draft.linear("prefinal-l", last, prefinal), dim, prefinal, pdfs)
    return draft.network()


def cnn_tdnnf(
    *,
    height: int = 40,
    ivector: int = 100,
    ivector_filters: int = 5,
    convolutions: Sequence[tuple[int, int]] = (
        (64, 40),
        (64, 40),
        (128, 20),
        (128, 20),
        (256, 10),
        (256, 10),
    ),
    dim: int = 1536,
    bottleneck: int = 160,
    first_bottleneck: int = 256,
    strides: Sequence[int] = (0, *(11 * [3])),
    bypass: float = 0.66,
    prefinal: int = 256,
    pdfs: int = 6024,
    seed: int = 0,
) -> Network:
    """Makes a CNN-TDNN-F in the way of LibriSpeech's run_cnn_tdnn_1a.

    Args:
        height: dimension of "input", rows of the first convolution.
        ivector: dimension of "ivector"; 0 for none.
        ivector_filters: maps that the i-vector becomes.
        convolutions: filters and height of the output of each; heights divide one another.
        dim: of the factored layers.
        bottleneck: of the factored layers.
        first_bottleneck: of the first of them, which has no bypass.
        strides: time stride of each factored layer.
        bypass: scale of the layer below.
        prefinal: dimension of "prefinal-l".
        pdfs: dimension of the outputs.
        seed: of the weights.
    """
    draft = NetworkDraft(np.random.default_rng(seed))
    if ivector:
        draft.input("ivector", ivector)
    draft.input("input", height)
    last = draft.fixed_affine("idct", "input")
    if ivector:
        maps = draft.linear("ivector-linear", IVECTOR, ivector_filters * height)
        maps = draft.batchnorm("ivector-batchnorm", maps, target_rms=0.025)
    last = draft.batchnorm("idct-batchnorm", last)
    if ivector:
        combined = f"Append({last}, {maps})"
        last = draft.combine_feature_maps("combine_inputs", combined, height, 1, ivector_filters)
    for number, (filters, after) in enumerate(convolutions, 1):
        last = draft.conv_layer(f"cnn{number}", last, (height, after), filters)
        height = after
    for number, stride in enumerate(strides):
        name = f"tdnnf{len(convolutions) + 1 + number}"
        width, scale = (bottleneck, bypass) if number else (first_bottleneck, 0.0)
        last = draft.tdnnf_layer(name, last, dim, width, stride, bypass=scale)
    draft.outputs(draft.linear("prefinal-l", last, prefinal), dim, prefinal, pdfs)
    return draft.network()


def tdnn(
    *,
    features: int = 40,
    ivector: int = 100,
    norm: str = "renorm",
    dim: int = 64,
    splices: Sequence[Sequence[int]] = ((0,), (-1, 0, 1, 2), (-3, 0, 3), (-3, 0, 3), (-6, -3, 0)),
    pdfs: int = 42,
    seed: int = 0,
) -> Network:
    """Makes a plain TDNN.

    Args:
        features: dimension of "input".
        ivector: dimension of "ivector"; 0 for none.
        norm: "renorm" or "batchnorm".
        dim: of the layers.
        splices: frames that each layer reads of the one below.
        pdfs: dimension of the outputs.
        seed: of the weights.
    """
    draft = NetworkDraft(np.random.default_rng(seed))
    if ivector:
        draft.input("ivector", ivector)
    draft.input("input", features)
    last = _lda(draft, bool(ivector))
    for number, splice in enumerate(splices, 1):
        last = draft.relu_layer(f"tdnn{number}", spliced(last, splice), dim, norm=norm)
    draft.outputs(last, dim, 0, pdfs, norm=norm)
    return draft.network()


def tdnn_renorm(**options: Any) -> Network:
    """Makes a plain TDNN with NormalizeComponents; options as of `tdnn`."""
    return tdnn(norm="renorm", **options)


def tdnnf_with_skips(
    *,
    features: int = 40,
    ivector: int = 100,
    dim: int = 64,
    bottleneck: int = 16,
    layers: Sequence[tuple[int, Sequence[int]]] = (
        (1, ()),
        (0, ()),
        (1, ()),
        (3, (3,)),
        (3, (5, 2)),
    ),
    prefinal: int = 24,
    pdfs: int = 42,
    seed: int = 0,
) -> Network:
    """Makes an older factored TDNN, in the way of Switchboard's run_tdnn_7n.

    Args:
        features: dimension of "input".
        ivector: dimension of "ivector"; 0 for none.
        dim: of the layers.
        bottleneck: of the linear part of each layer, "tdnn2l" and so on.
        layers: for each from "tdnn2" on, its time stride and the numbers of the layers whose
            linear parts it reads besides its own.
        prefinal: dimension of "prefinal-l".
        pdfs: dimension of the outputs.
        seed: of the weights.
    """
    draft = NetworkDraft(np.random.default_rng(seed))
    if ivector:
        draft.input("ivector", ivector)
    draft.input("input", features)
    last = draft.relu_layer("tdnn1", _lda(draft, bool(ivector)), dim)
    for number, (stride, skips) in enumerate(layers, 2):
        before, after = ((-stride, 0), (0, stride)) if stride else ((0,), (0,))
        new = draft.linear(f"tdnn{number}l", spliced(last, before), bottleneck)
        read = spliced(new, after, *(f"tdnn{skip}l" for skip in skips))
        last = draft.relu_layer(f"tdnn{number}", read, dim)
    draft.outputs(draft.linear("prefinal-l", last, prefinal), dim, 0, pdfs, norm="batchnorm")
    return draft.network()


def _lda(draft: NetworkDraft, ivector: bool) -> str:
    return draft.fixed_affine("lda", spliced("input", (-1, 0, 1), *([IVECTOR] * ivector)))


def _delta_front(draft: NetworkDraft, ivector: bool) -> str:
    last = draft.batchnorm("batchnorm0", draft.fixed_affine("idct", "input"))
    last = draft.delta_layer("delta", draft.spec_augment_layer("spec-augment", last))
    if not ivector:
        return last
    combined = f"Append({last}, ReplaceIndex(Scale(0.4, ivector), t, 0))"
    return draft.add(building.noop("input2", draft.dim(combined)), combined)
