"""A recipe's folders with a small model in them, and its embeddings the slow and obvious way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from made_extractor import make_extractor
from made_networks import tdnnf
from plain_features import features
from plain_ivectors import plain_ivectors
from plain_nnet3 import evaluate

from kaldi_bridge.ivectors import ExtractorFiles
from kaldi_bridge.nnet3.reading import read_nnet
from kaldi_bridge.nnet3.writing import write_model

SAMPLE_RATE = 16000
COLUMNS = 16
MFCC = {"num_mel_bins": 20, "num_ceps": COLUMNS, "use_energy": False, "high_freq": -400.0}
SUBSAMPLING = 3
NODE_DIM = 8


def make_recipe(
    root: Path,
    *,
    ivector_dim: int = 6,
    strides: Sequence[int] = (1, 0, 3),
    pdfs: int = 10,
    seed: int = 0,
    snip_edges: bool = True,
) -> Path:
    """Writes exp/chain/tdnn, exp/nnet3/extractor and conf/mfcc_hires.conf; returns the first."""
    model_dir = root / "exp" / "chain" / "tdnn"
    model_dir.mkdir(parents=True)
    network = tdnnf(
        features=COLUMNS,
        ivector=ivector_dim,
        dim=24,
        bottleneck=6,
        strides=strides,
        prefinal=NODE_DIM,
        pdfs=pdfs,
        seed=seed,
    )
    write_model(network, model_dir / "final.raw")
    (model_dir / "frame_subsampling_factor").write_text(f"{SUBSAMPLING}\n")
    options = {**MFCC, "snip_edges": snip_edges}
    lines = [f"--{key.replace('_', '-')}={str(value).lower()}" for key, value in options.items()]
    (root / "conf").mkdir()
    (root / "conf" / "mfcc_hires.conf").write_text("\n".join([*lines, "--dither=0"]) + "\n")
    if ivector_dim:
        folder = root / "exp" / "nnet3" / "extractor"
        sizes = {"feature_dim": COLUMNS, "lda_dim": 10, "gaussians": 8, "ivector_dim": ivector_dim}
        make_extractor(folder, **sizes)
    return model_dir


def plain_embedding(
    model_dir: Path,
    waveform: np.ndarray,
    *,
    node: str = "prefinal-l",
    subsampling: int = SUBSAMPLING,
    frames_per_chunk: int | None = 150,
    snip_edges: bool = True,
) -> np.ndarray:
    """Returns float64 [T, D] of samples [N], by the plain twins of every stage."""
    rows = features(waveform, snip_edges=snip_edges, **MFCC)
    extractor = model_dir.parents[1] / "nnet3" / "extractor"
    ivectors = None
    if extractor.is_dir():
        ivectors, _ = plain_ivectors(rows, ExtractorFiles.load(extractor))
    return evaluate(
        read_nnet(model_dir / "final.raw"),
        rows,
        ivectors,
        node=node,
        subsampling=subsampling,
        frames_per_chunk=frames_per_chunk,
    )


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Returns float32 noise whose level and colour change, so that features do."""
    random = np.random.default_rng(seed)
    n = round(seconds * SAMPLE_RATE)
    noise = np.convolve(random.standard_normal(n + 8), random.standard_normal(9), "valid")
    level = np.interp(np.arange(n), np.linspace(0, max(n, 2), 12), random.uniform(0.01, 0.1, 12))
    return (level * noise).clip(-1, 1).astype(np.float32)
