"""The i-vector extractor that goes with a model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kaldi_bridge import vosk
from kaldi_bridge.conf import read_conf
from kaldi_bridge.directory.search import LEVELS_ABOVE, Search, existing
from kaldi_bridge.errors import MissingFile
from kaldi_bridge.rerooting import found_again

BLOCK_BYTES = 1 << 20


def find_extractor(search: Search, given: Path | str | None, ivector_dim: int) -> Path | None:
    """Returns the extractor's conf file, or its folder; None if not needed or not there.

    Args:
        search: the search for the rest of the model.
        given: folder or conf file that the user names.
        ivector_dim: dimension of the network's i-vector input; 0 if it has none.

    Raises:
        MissingFile: `given` does not exist or holds no extractor.
        KaldiFileError: a conf that cannot be read.
    """
    if given is not None:
        path = existing(given, "i-vector extractor")
        search.origin["extractor"] = "given"
        found = _extractor_in(path) if path.is_dir() else path
        if found is None:
            raise MissingFile(
                f"{path} holds no i-vector extractor: neither final.ie nor "
                "ivector_extractor.conf nor conf/ivector_extractor.conf is there."
            )
    elif ivector_dim == 0:
        return None
    else:
        found = _beside(search) or _in_recipe(search)
    if found is not None:
        _compare_identity(search, found)
    return found


def _beside(search: Search) -> Path | None:
    """The extractor of an online or Vosk folder."""
    named = search.named_in_online("extractor", "ivector-extraction-config")
    if named is not None:
        return named
    confs = ("conf/ivector_extractor.conf", "ivector_extractor.conf")
    candidates = [*search.inside(*confs), search.online_sibling() / confs[0]]
    found = search.first("extractor", candidates)
    if found is not None:
        return found
    models = search.inside("ivector_extractor/final.ie", "ivector/final.ie", "extractor/final.ie")
    found = search.first("extractor", models)
    if found is None:
        return None
    if vosk.is_extractor(found.parent):
        search.notes.append(
            f"{found.parent} has no ivector_extractor.conf: Vosk's --max-count={vosk.MAX_COUNT:g} "
            "is taken, and Kaldi's defaults for the rest"
        )
    return found.parent


def _in_recipe(search: Search) -> Path | None:
    """The extractor in a recipe's `exp`: by the model's own record of it, then by name."""
    model_dir = search.here[-1].absolute()
    suffix = model_dir.parent.name.removeprefix("chain")
    above = list(model_dir.parents)[:LEVELS_ABOVE]
    places = above[1::-1]
    found = [
        ie.parent for place in places for ie in sorted(place.glob("nnet3*/extractor/final.ie"))
    ]
    wanted = _recorded_identity(search)
    confs = [folder / "conf" / "ivector_extractor.conf" for folder in above]
    by_identity = [folder for folder in found if wanted and extractor_identity(folder) == wanted]
    by_name = [folder for folder in found if folder.parent.name == f"nnet3{suffix}"]
    by_conf = [conf for conf in confs if conf.is_file()]
    for chosen, why in (
        (by_identity, "its identity is the one in final.ie.id"),
        (by_name, f"exp/nnet3{suffix} goes with exp/chain{suffix}"),
        (found, "the only extractor of this recipe"),
        (by_conf[:1], "in a conf folder above the model"),
    ):
        if len(chosen) == 1:
            search.origin["extractor"] = f"{chosen[0]} ({why})"
            return chosen[0]
    looked = search.looked.setdefault("extractor", [])
    looked += [f"{place}/nnet3*/extractor/final.ie" for place in places]
    looked += [str(conf) for conf in confs]
    looked += [f"{folder}: one of several, and nothing says which" for folder in found]
    return None


def _recorded_identity(search: Search) -> str:
    for path in search.inside("final.ie.id"):
        if path.is_file():
            return path.read_text(errors="replace").strip()
    return ""


def _compare_identity(search: Search, found: Path) -> None:
    wanted = _recorded_identity(search)
    here = extractor_identity(found) if wanted else ""
    if wanted and here and here != wanted:
        search.notes.append(
            f"the model was trained with another extractor than {found}: final.ie.id is "
            f"{wanted} beside the model and {here} here"
        )


def _extractor_in(path: Path) -> Path | None:
    """The conf of an extractor folder, or the folder itself if it holds `final.ie`."""
    for name in ("ivector_extractor.conf", "conf/ivector_extractor.conf"):
        if (path / name).is_file():
            return path / name
    for folder in (path, path / "ivector_extractor", path / "ivector"):
        if (folder / "final.ie").is_file():
            return folder
    return None


def extractor_identity(extractor: Path) -> str:
    """Returns what recipes write to `final.ie.id`; empty if `final.ie` is not to be found.

    Source: steps/nnet2/get_ivector_id.sh: the file of that name, else the MD5 of `final.ie`.
    """
    if extractor.is_dir():
        model: Path | None = extractor / "final.ie"
    else:
        named = read_conf(extractor).path("ivector-extractor") or Path("final.ie")
        model = found_again(named, extractor)[0]
    if model is None:
        return ""
    record = model.with_name("final.ie.id")
    if record.is_file():
        return record.read_text(errors="replace").strip()
    if not model.is_file():
        return ""
    digest = hashlib.md5(usedforsecurity=False)
    with model.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
