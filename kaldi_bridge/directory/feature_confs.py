"""The conf file of the features: which one fits the network, or the recipes' own settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.directory.search import LEVELS_ABOVE, Search, existing
from kaldi_bridge.errors import NotSupported, ShapeError
from kaldi_bridge.features.options import FeatureOptions

HIRES_MFCC = {
    "use-energy": "false",
    "num-mel-bins": "40",
    "num-ceps": "40",
    "low-freq": "20",
    "high-freq": "-400",
}
"""The settings of conf/mfcc_hires.conf in the LibriSpeech, TED-LIUM and mini_librispeech recipes,
which their released models leave out; everything else is at Kaldi's defaults."""
LARGEST_DIM = 1 << 16
PART = "feature_conf"


@dataclass(frozen=True)
class FeatureConf:
    """Kind and settings of features.

    Attributes:
        kind: "mfcc", "fbank" or "plp".
        settings: the conf's keys without dashes, and their values as text.
        dim: values per frame.
        path: the conf file; None if the settings are built in.
    """

    kind: str
    settings: Conf
    dim: int
    path: Path | None = None

    def options(self) -> FeatureOptions:
        """Returns the options for computing these features.

        Raises:
            KaldiFileError: an option that is unknown or has an impossible value.
            NotSupported: features of a kind that is not computed, such as PLP.
        """
        if self.kind not in ("mfcc", "fbank"):
            raise NotSupported(f"{self.path}: {self.kind} features; mfcc and fbank are computed.")
        if self.path is not None:
            return FeatureOptions.read(self.path, "mfcc" if self.kind == "mfcc" else "fbank")
        return FeatureOptions(
            "mfcc", num_mel_bins=40, num_ceps=40, low_freq=20, high_freq=-400, use_energy=False
        )


def built_in_features(dim: int) -> FeatureConf | None:
    """Returns the recipes' high-resolution MFCC if `dim` is theirs."""
    settings = Conf("built-in mfcc_hires.conf", HIRES_MFCC)
    return FeatureConf("mfcc", settings, dim) if dim == _dim("mfcc", settings) else None


def read_feature_conf(path: Path, kind: str | None = None) -> FeatureConf:
    """Reads a feature conf; its kind is told by `kind`, else by its name, else by its keys.

    Raises:
        KaldiFileError: a line that is no option, or a dimension that is no number.
    """
    settings = read_conf(path)
    if kind is None:
        named = [k for k in ("mfcc", "fbank", "plp") if k in path.stem]
        of_fbank = {"use-log-fbank", "use-power"} & settings.keys()
        kind = named[0] if named else "fbank" if of_fbank else "mfcc"
    return FeatureConf(kind, settings, _dim(kind, settings), path)


def _dim(kind: str, settings: Conf) -> int:
    """Values per frame; the defaults are those of Kaldi's MfccOptions, FbankOptions, PlpOptions."""
    if kind == "fbank":
        mels = settings.integer("num-mel-bins", 23, least=1, most=LARGEST_DIM)
        return mels + settings.boolean("use-energy", False)
    return settings.integer("num-ceps", 13, least=1, most=LARGEST_DIM)


def find_features(search: Search, given: Path | str | None, dim: int) -> FeatureConf | None:
    """Returns kind and settings of the features: the first conf that fits the network.

    Args:
        search: the search for the rest of the model.
        given: conf file that the user names.
        dim: values per frame that the network takes; 0 if unknown.

    Raises:
        MissingFile: `given` does not exist.
        ShapeError: `given` makes features of another dimension.
        KaldiFileError: a conf that cannot be read.
    """
    if given is not None:
        conf = read_feature_conf(existing(given, "feature conf"))
        if dim and conf.dim != dim:
            raise ShapeError(
                f"{given} makes {conf.kind} features of {conf.dim} values per frame; "
                f"the network takes {dim}."
            )
        search.origin[PART] = "given"
        return conf
    for conf in _candidates(search):
        if not dim or conf.dim == dim:
            search.origin[PART] = str(conf.path)
            return conf
        search.looked.setdefault(PART, []).append(
            f"{conf.path}: gives {conf.dim} values per frame, the network takes {dim}"
        )
    built_in = built_in_features(dim)
    if built_in is not None:
        search.origin[PART] = "built in"
        search.notes.append(
            f"no feature conf found: the network takes {dim} values per frame, so the recipes' "
            "mfcc_hires.conf for 16 kHz is taken; a model for 8 kHz (Fisher, Switchboard, "
            "ASpIRE) needs its own conf"
        )
    return built_in


def _candidates(search: Search) -> Iterator[FeatureConf]:
    kind = search.online.word("feature-type", "mfcc", ("mfcc", "fbank", "plp"))
    named = search.named_in_online(PART, f"{kind}-config")
    if named is not None:
        yield read_feature_conf(named, kind)
    model_dir = search.here[-1]
    folders = [*search.inside("conf", "."), search.online_sibling() / "conf"]
    folders += [above / "conf" for above in list(model_dir.absolute().parents)[:LEVELS_ABOVE]]
    for folder in dict.fromkeys(folders):
        for path in sorted(filter(_is_feature_conf, folder.glob("*.conf")), key=_hires_first):
            yield read_feature_conf(path)
        search.looked.setdefault(PART, []).append(f"{folder}/{{mfcc,fbank,plp}}*.conf")


def _is_feature_conf(path: Path) -> bool:
    return path.stem.startswith(("mfcc", "fbank", "plp"))


def _hires_first(conf: Path) -> tuple[bool, str]:
    return "hires" not in conf.stem, conf.stem
