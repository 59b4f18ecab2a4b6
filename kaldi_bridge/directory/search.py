"""One search for what belongs to a model: where it has looked, what it found and assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from kaldi_bridge import vosk
from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.errors import KaldiError, MissingFile
from kaldi_bridge.opening import file_bytes
from kaldi_bridge.rerooting import found_again

MODEL_NAMES = (
    "final.mdl",
    "final.raw",
    "final.mdl.gz",
    "final.mdl.txt",
    "final.mdl.txt.gz",
    "final.raw.gz",
    "final.raw.txt",
    "final.raw.txt.gz",
)
MOST_SUBSAMPLING = 100
LEVELS_ABOVE = 4
CONFIG_BYTES = 8 << 20
INPUT_NODE = re.compile(rb"input-node\s+name=(\S+)\s+dim=(\d{1,9})")


class Search:
    """One search: the folders, and what has been found, missed and assumed so far."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.here: tuple[Path, ...] = (base,)
        self.online = Conf("conf/online.conf", {})
        self.origin: dict[str, str] = {}
        self.looked: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def inside(self, *names: str) -> Iterator[Path]:
        """Yields the names in the model's folder and in the folder that was given."""
        for folder in reversed(self.here):
            yield from (folder / name for name in names)

    def first(self, part: str, candidates: Iterable[Path]) -> Path | None:
        """Returns the first that exists; else records all of them as looked at."""
        looked = []
        for candidate in candidates:
            if candidate.exists():
                self.origin[part] = str(candidate)
                return candidate
            looked.append(str(candidate))
        self.looked.setdefault(part, []).extend(dict.fromkeys(looked))
        return None

    def online_sibling(self) -> Path:
        """Returns where prepare_online_decoding.sh is told to put the online copy of a model."""
        return self.here[-1].with_name(f"{self.here[-1].name}_online")

    # ---- the model

    def model(self, given: Path) -> Path:
        """Returns the model file."""
        if given.is_file():
            self.origin["model"] = "given"
            return given
        if not given.is_dir():
            raise MissingFile(f"{given}: no such file or folder; a model was expected there.")
        candidates = [folder / name for folder in (given, given / "am") for name in MODEL_NAMES]
        found = self.first("model", candidates)
        if found is not None:
            return found
        below = _recipe_models(given)
        if len(below) == 1:
            self.origin["model"] = f"the only model below {given}"
            return below[0]
        if below:
            listed = "".join(f"\n  {model.parent}" for model in below)
            raise MissingFile(f"{given} holds several models; give one of them:{listed}")
        others = sorted(p.name for p in given.iterdir() if p.suffix in {".mdl", ".raw"})
        hint = f" It holds {', '.join(others)}: give one by its path." if others else ""
        looked = "".join(f"\n  {place}" for place in self.looked["model"])
        raise MissingFile(f"{given}: no model in this folder.{hint} Looked at:{looked}")

    # ---- small files

    def read_online_conf(self) -> None:
        """Reads `conf/online.conf`, which names the other conf files of an online folder."""
        for conf in self.inside("conf/online.conf", "online.conf"):
            if conf.is_file():
                self.online = read_conf(conf)
                return

    def named_in_online(self, part: str, key: str) -> Path | None:
        """Returns the file that online.conf names under `key`, wherever the folder now is."""
        return self.named(part, self.online, key)

    def named(self, part: str, conf: Conf, key: str) -> Path | None:
        """Returns the file that a conf names under `key`, wherever the folder now is."""
        path = conf.path(key)
        if path is None:
            return None
        found, looked = found_again(path, conf.file)
        if found is None:
            self.looked.setdefault(part, []).extend(map(str, looked))
            return None
        self.origin[part] = f"{conf.file} (--{key})"
        return found

    def subsampling(self) -> int:
        """Returns the frame subsampling factor."""
        part, key = "frame_subsampling_factor", "frame-subsampling-factor"
        path = self.first(part, self.inside(part))
        if path is not None:
            text = path.read_text(errors="replace").strip()
            return Conf(path, {key: text}).integer(key, 1, least=1, most=MOST_SUBSAMPLING)
        for conf in self.inside("conf/model.conf", "conf/online.conf"):
            if conf.is_file() and key in (settings := read_conf(conf)):
                self.origin[part] = str(conf)
                return settings.integer(key, 1, least=1, most=MOST_SUBSAMPLING)
        if vosk.is_first_layout(self.base):
            self.origin[part] = f"Vosk's first layout, which fixes it at {vosk.SUBSAMPLING}"
            return vosk.SUBSAMPLING
        self.notes.append(
            "no file says the frame subsampling factor: 1 is taken, as nnet3-compute does "
            "(chain models are usually run with 3)"
        )
        return 1


def _recipe_models(root: Path) -> list[Path]:
    """Models one recipe folder below a root, without the online copies of the same model."""
    for pattern in ("exp/chain*/*/final.mdl", "chain*/*/final.mdl", "*/final.mdl"):
        found = sorted(root.glob(pattern))
        kept = [
            model
            for model in found
            if not model.parent.name.endswith("_online")
            or model.parent.with_name(model.parent.name.removesuffix("_online")) / "final.mdl"
            not in found
        ]
        if kept:
            return kept
    return []


def existing(path: Path | str, what: str) -> Path:
    """Returns a path that was given, if anything is there."""
    if not Path(path).exists():
        raise MissingFile(f"{path}: no such file or folder; the {what} was given as this path.")
    return Path(path)


def input_dims(model: Path) -> dict[str, int]:
    """Returns the dimension of each input node, from the head of a model file.

    The nodes are plain text even in a binary file, so no weights are read. A file whose head
    cannot be read gives nothing: reading the model then says why.
    """
    try:
        data = file_bytes(model)
    except KaldiError:
        return {}
    start = max(data.find(b"<Nnet3>"), 0)
    end = data.find(b"<NumComponents>", start, start + CONFIG_BYTES)
    head = data[start : end if end >= 0 else start + CONFIG_BYTES]
    return {name.decode("utf-8", "replace"): int(dim) for name, dim in INPUT_NODE.findall(head)}
