"""What nnet3-compute wrote for each model, from each form of the model's file; round trips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.errors import MissingFile
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.rows import Arrays, Check, Outcome, compared
from kaldi_bridge.nnet3.reading import read_nnet

NETWORK_BOUND = 2e-4
CHUNK_FRAMES = 50
"""nnet3-compute's default."""
WHOLE_FRAMES = 100_000
"""Chunks of so many frames and more are meant to be the whole recording."""
MODEL_FILES = ("*.raw", "*.mdl", "*.raw.txt.gz", "*.mdl.txt.gz", "*.raw.txt", "*.mdl.txt")
PREPARED = "_prepared"

_VARIANT = r"(?P<variant>fsf[1-9]\d*(?:_(?:whole|ectx|constivec|c[1-9]\d*))*)"
_DUMP = re.compile(rf"(?P<node>.+)\.{_VARIANT}")
_DEBUG = re.compile(rf"debug_(?P<key>.+)_all_nodes_{_VARIANT}")


@dataclass(frozen=True)
class Dump:
    """How a file of outputs was made.

    Attributes:
        path: the file.
        node: the node it holds.
        subsampling: input frames per output frame.
        chunk: frames per chunk; None for the whole recording.
        features: where the features are, as Kaldi would write it.
        ivectors: where the i-vectors are, matrices or vectors; None if nobody says.
    """

    path: Path
    node: str
    subsampling: int
    chunk: int | None
    features: str
    ivectors: str | None


def model_checks(golden: Golden, backend: str) -> Iterator[Check]:
    """Yields a check for each model file and each file of outputs, and the round trips."""
    folders = sorted({path.parent for path in golden.root.glob("models/*/final*")})
    for folder in folders:
        files = [path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern))]
        golden.understood.update(files)
        dumps = [_dump(golden, path) for path in _outputs(golden, folder)]
        for file in files:
            nodes = _nodes(file) if PREPARED in file.name else None
            for dump in dumps:
                if nodes is None or dump.node in nodes:  # the rest was merged away by preparing
                    run = partial(_computed, golden, file, dump, backend)
                    yield Check(dump.path, f"{file.name} {dump.node}", run)
            for path in _debugs(golden, folder):
                alone = file.name == "final.raw"
                run = partial(_all_nodes, golden, file, path, nodes, alone, backend)
                yield Check(path, f"{file.name} nodes {'alone' if alone else 'together'}", run)
    yield from _long_checks(golden, folders, backend)


def _outputs(golden: Golden, folder: Path) -> list[Path]:
    pattern = f"{folder.relative_to(golden.root)}/out/*"
    found = [path for path in golden.arrays_in(pattern) if _DUMP.fullmatch(path.stem)]
    return [golden.claim(path) for path in found]


def _debugs(golden: Golden, folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.glob("out/*.npz")) if _DEBUG.fullmatch(path.stem)]
    return [golden.claim(path) for path in found]


def _long_checks(golden: Golden, folders: list[Path], backend: str) -> Iterator[Check]:
    """`PREFIX.NODE.VARIANT` in long/, with the beginning of the model's name as PREFIX."""
    for path in golden.arrays_in("long/*"):
        prefix, _, name = path.stem.partition(".")
        if _DUMP.fullmatch(name):
            golden.claim(path)
            dump = _dump(golden, path, name, long=True)
            command = golden.command_for(path)
            named = re.search(r"models/[^\s\"']+/final[^\s\"']*", command.text) if command else None
            models = [folder for folder in folders if folder.name.startswith(f"{prefix}_")]
            files = [golden.root / named[0]] if named else [m / "final.raw" for m in models]
            for file in files or [golden.root / f"models/{prefix}_*/final.raw"]:
                run = partial(_computed, golden, file, dump, backend)
                yield Check(path, f"{file.parent.name}/{file.name} {dump.node}", run)


def _dump(golden: Golden, path: Path, name: str = "", long: bool = False) -> Dump:
    """Reads how a file was made from its command, or else from its name."""
    match = _DUMP.fullmatch(name or path.stem)
    assert match is not None
    parts = match["variant"].removeprefix("fsf").split("_")
    own = str(path.parent.relative_to(golden.root))
    features = f"scp:{own}/mfcc_hires.scp" if long else "scp:feats/mfcc_hires.scp"
    ivectors: str | None = (
        f"ark:{own}/ivector_online.ark" if long else "scp:ivectors/ivector_online.scp"
    )
    chunk: int | None = CHUNK_FRAMES
    for part in parts[1:]:
        if part == "whole":
            chunk = None
        elif part == "constivec":
            ivectors = "ark:ivectors/ivector_const.ark"
        elif part != "ectx":  # more context around the input changes nothing in these networks
            chunk = int(part.removeprefix("c"))
    subsampling = int(parts[0])
    command = golden.command_for(path)
    if command is not None and command.program == "nnet3-compute":
        subsampling = command.number("frame-subsampling-factor", 1)
        frames = command.number("frames-per-chunk", CHUNK_FRAMES)
        chunk = frames if frames < WHOLE_FRAMES else None
        ivectors = command.option("online-ivectors") or command.option("ivectors")
        written = re.search(r"\s(scp:\S+)\s+ark", command.text)
        features = written[1] if written else features
    return Dump(path, match["node"], subsampling, chunk, features, ivectors)


@lru_cache(maxsize=1)
def _model(file: Path, backend: str) -> AcousticModel:
    if not file.is_file():
        raise MissingFile(f"{file}: no such model.")
    return AcousticModel.load(file, backend="pykaldi" if backend == "pykaldi" else "native")


def _nodes(file: Path) -> frozenset[str] | None:
    """Names in a prepared network; None if it cannot be read, which its checks will then say."""
    try:
        return frozenset(read_nnet(file).nodes)
    except Exception:
        return None


def _computed(golden: Golden, file: Path, dump: Dump, backend: str) -> Outcome:
    expected = golden.reference(dump.path)
    model = _model(file, backend)
    features = golden.table(dump.features)
    ivectors = golden.table(dump.ivectors) if model.ivector_dim and dump.ivectors else None
    found = {}
    for key in expected:
        vectors = ivectors[key] if ivectors else None
        found[key] = activations(model, features[key], vectors, dump, (dump.node,))[dump.node]
    return compared(found, expected, NETWORK_BOUND)


def activations(
    model: AcousticModel,
    features: NDArray[Any],
    ivectors: NDArray[Any] | None,
    dump: Dump,
    nodes: tuple[str, ...],
) -> dict[str, NDArray[np.float32]]:
    """Returns what nnet3-compute would write of some nodes for one recording, [ceil(T / f), D]."""
    with torch.inference_mode():
        rows = model(
            torch.from_numpy(np.array(features, np.float32)),
            ivectors=None if ivectors is None else torch.from_numpy(np.array(ivectors, np.float32)),
            node=nodes,
            subsampling=dump.subsampling,
            frames_per_chunk=dump.chunk,
        )
    return {node: np.asarray(rows[node].cpu().numpy(), np.float32) for node in nodes}


def _all_nodes(
    golden: Golden,
    file: Path,
    path: Path,
    nodes: frozenset[str] | None,
    alone: bool,
    backend: str,
) -> Outcome:
    match = _DEBUG.fullmatch(path.stem)
    assert match is not None
    expected: Arrays = golden.reference(path)
    gone = [] if nodes is None else [node for node in expected if node not in nodes]
    expected = {node: array for node, array in expected.items() if node not in gone}
    note = f"merged away by preparing: {', '.join(gone)}" if gone else ""
    model = _model(file, backend)
    dump = _dump(golden, path, f"all.{match['variant']}")
    features = golden.table(dump.features)[match["key"]]
    wanted = model.ivector_dim and dump.ivectors
    ivectors = golden.table(str(dump.ivectors))[match["key"]] if wanted else None
    groups = [(node,) for node in expected] if alone else [tuple(expected)]
    found: dict[str, NDArray[Any]] = {}
    for group in groups:
        found |= activations(model, features, ivectors, dump, group)
    return compared(found, expected, NETWORK_BOUND, note=note)
