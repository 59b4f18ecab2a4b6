"""A small folder of the layout of Kaldi's golden files, made on the spot.

Features and outputs come from the plain float64 twins; only the i-vectors are this package's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plain_features
import plain_nnet3
import soundfile
from made_extractor import make_extractor
from made_networks import tdnnf

from kaldi_bridge.archives import write_archive
from kaldi_bridge.ivectors import IvectorExtractor
from kaldi_bridge.nnet3.writing import write_model

RECORDINGS = {"news-07": 9000, "x": 5200}
HIRES = {"use_energy": False, "num_mel_bins": 30, "num_ceps": 20, "high_freq": -400.0}


def put_arrays(path: Path, arrays, scp: bool = True) -> None:
    """Writes .ark, .npz and, unless told not to, .scp with paths from the root on, as Kaldi's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    script = path.with_suffix(".scp")
    write_archive(path, arrays, scp=script if scp else None)
    if scp:
        root = f"{path.parents[1]}/"
        script.write_text(script.read_text().replace(root, ""))
    np.savez(path.with_suffix(".npz"), **arrays)


def make_golden(root: Path) -> Path:
    """Writes the folder; returns it."""
    random = np.random.default_rng(3)
    (root / "wav").mkdir(parents=True)
    waves = {}
    for key, size in RECORDINGS.items():
        samples = np.round(random.normal(size=size) * 3000).astype(np.int16)
        soundfile.write(root / f"wav/{key}.wav", samples, 16000, subtype="PCM_16")
        waves[key] = samples / 32768
    (root / "wav.scp").write_text("".join(f"{key} wav/{key}.wav\n" for key in waves))

    (root / "conf").mkdir()
    lines = [f"--{key.replace('_', '-')}={str(value).lower()}" for key, value in HIRES.items()]
    (root / "conf/mfcc_hires.conf").write_text("\n".join([*lines, "--dither=0"]))
    hires = {key: plain_features.features(wave, **HIRES) for key, wave in waves.items()}
    put_arrays(root / "feats/mfcc_hires.ark", hires)
    fbank = {k: plain_features.features(w, "fbank", num_mel_bins=23) for k, w in waves.items()}
    put_arrays(root / "feats/fbank23.ark", fbank)

    make_extractor(root / "extractor", feature_dim=20, lda_dim=12, gaussians=8, ivector_dim=6)
    named = {
        "ivector-extractor": "final.ie",
        "diag-ubm": "final.dubm",
        "lda-matrix": "final.mat",
        "global-cmvn-stats": "global_cmvn.stats",
        "cmvn-config": "online_cmvn.conf",
        "splice-config": "splice_opts",
    }
    conf = "".join(f"--{key}=extractor/{name}\n" for key, name in named.items())
    (root / "conf/ivector_extractor.conf").write_text(conf)
    extractor = IvectorExtractor.load(root / "conf/ivector_extractor.conf")
    ivectors = {key: extractor.extract(np.float32(rows))[0] for key, rows in hires.items()}
    put_arrays(root / "ivectors/ivector_online.ark", ivectors)

    network = tdnnf(
        features=20, ivector=6, dim=24, bottleneck=8, strides=(1, 0, 3), prefinal=10, pdfs=14
    )
    model = root / "models/q_small"
    model.mkdir(parents=True)
    write_model(network, model / "final.raw")
    for node, variant, options in (
        ("output", "fsf3", {"subsampling": 3}),
        ("prefinal-l", "fsf1_whole", {"frames_per_chunk": None}),
    ):
        found = {
            key: plain_nnet3.evaluate(network, hires[key], ivectors[key], node=node, **options)
            for key in waves
        }
        put_arrays(model / f"out/{node}.{variant}.ark", found, scp=False)
    (root / "MANIFEST.md").write_text("# Made on the spot\n")
    return root
