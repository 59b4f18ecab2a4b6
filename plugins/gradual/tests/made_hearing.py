"""A Kaldi model whose phones are known by construction: each is the loudest of four mel bands.

A tone at a band's centre is that band's phone, so a sound made of tones has phones that one can
read off. The bands' centres are those of four triangles on Kaldi's mel scale, 1127 ln(1 + f / 700).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kaldi_bridge.nnet3 import building
from kaldi_bridge.nnet3.reading import Model
from kaldi_bridge.nnet3.transitions import State, Topology, TransitionModel
from kaldi_bridge.nnet3.writing import write_model

RATE = 16000
BANDS = 4
LOWEST, HIGHEST = 20.0, 8000.0
PHONES = ("SIL", "EH1_B", "N", "S")
"""Of the bands from low to high. EH1_B is a name as it stands: EH1_E, _I and _S do not exist."""
HOP = 0.03


def mel(hertz: float) -> float:
    return float(1127 * np.log1p(hertz / 700))


def centre(band: int) -> float:
    """Hertz of the middle of a band."""
    low, high = mel(LOWEST), mel(HIGHEST)
    return float(700 * np.expm1((low + (band + 1) * (high - low) / (BANDS + 1)) / 1127))


def tone(phone: str, seconds: float, rate: int = RATE) -> np.ndarray:
    """float32 [N] that is heard as `phone`."""
    n = round(seconds * rate)
    phase = 2 * np.pi * centre(PHONES.index(phone)) * np.arange(n) / rate
    return (0.3 * np.sin(phase)).astype(np.float32)


def transition_model(tuples: list[tuple[int, int, int, int]]) -> TransitionModel:
    """A chain model: one state per phone, given as phone, state, forward pdf, self-loop pdf."""
    phones = tuple(sorted({row[0] for row in tuples}))
    states = (State(0, 1, ((0, 0.5), (1, 0.5))), State(-1, -1, ()))
    entry_of = tuple(0 if number in phones else -1 for number in range(max(phones) + 1))
    topology = Topology(phones, entry_of, (states,), True)
    return TransitionModel(
        topology, np.array(tuples, np.int32), True, np.zeros(1 + 2 * len(tuples), np.float32)
    )


def write_hearing(folder: Path, *, subsampling: int = 3) -> Path:
    """Writes final.mdl, phones.txt, conf/fbank.conf, frame_subsampling_factor."""
    bands = building.affine("bands", np.eye(BANDS), np.zeros(BANDS))
    lines = (
        f"input-node name=input dim={BANDS}",
        "component-node name=bands component=bands input=input",
        "output-node name=output input=bands objective=linear",
    )
    network = building.network("\n".join(lines), [bands])
    transitions = transition_model([(1 + band, 0, band, band) for band in range(BANDS)])
    (folder / "conf").mkdir(parents=True)
    write_model(Model(transitions, network), folder / "final.mdl")
    write_model(network, folder / "final.raw")
    table = "".join(f"{name} {number}\n" for number, name in enumerate(("<eps>", *PHONES)))
    (folder / "phones.txt").write_text(table, encoding="utf-8")
    (folder / "conf" / "fbank.conf").write_text(
        f"--num-mel-bins={BANDS}\n--low-freq={LOWEST:g}\n--dither=0\n--snip-edges=false\n"
    )
    (folder / "frame_subsampling_factor").write_text(f"{subsampling}\n")
    return folder
