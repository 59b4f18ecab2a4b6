"""Whether and how the features are normalised before the network.

| folder | normalised online if there is | options | statistics |
|---|---|---|---|
| online | `--cmvn-config` in conf/online.conf | that file | `--global-cmvn-stats` there |
| recipe | a file `online_cmvn` | `cmvn_opts` | `global_cmvn.stats` |
| Vosk | `am/global_cmvn.stats` | Kaldi's defaults | that file |

Sources: OnlineNnet2FeaturePipelineInfo of online2/online-nnet2-feature-pipeline.cc; the scripts
steps/nnet3/decode.sh, which gives apply-cmvn-online the contents of `cmvn_opts`; Vosk's model.cc.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaldi_bridge import vosk
from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.directory.search import Search

STATISTICS = "global_cmvn_stats"
SETTINGS = "cmvn_settings"


@dataclass(frozen=True)
class Normalisation:
    """What a search has found out about the normalisation of features.

    Attributes:
        online: whether the features get online mean normalisation before the network.
        statistics: global ones, for that; None if not wanted or not found.
        settings: keys of an online_cmvn.conf and their values; None if not wanted or not found.
        text: contents of `cmvn_opts`.
    """

    online: bool
    statistics: Path | None
    settings: Conf | None
    text: str | None


def find_normalisation(search: Search) -> Normalisation:
    """Returns whether and how features are normalised.

    Raises:
        KaldiFileError: a file of options that holds something else.
    """
    path = search.first("cmvn_opts", search.inside("cmvn_opts"))
    text = path.read_text(errors="replace").strip() if path else None
    if "cmvn-config" in search.online:
        conf = search.named_in_online(SETTINGS, "cmvn-config")
        return Normalisation(True, _statistics(search), read_conf(conf) if conf else None, text)
    if any(flag.is_file() for flag in search.inside("online_cmvn")):
        settings = _recipe_settings(search, path) if path else Conf("Kaldi's defaults", {})
        return Normalisation(True, _statistics(search), settings, text)
    of_vosk = _of_vosk(search)
    if of_vosk is not None:
        search.origin[STATISTICS] = str(of_vosk)
        return Normalisation(True, of_vosk, Conf("Kaldi's defaults", {}), text)
    if text is not None and "--norm-means=false" not in text.split():
        search.notes.append(
            f"{path} asks for mean normalisation per speaker ({text or 'no options'}): "
            "features must be normalised before they are given to the network"
        )
    return Normalisation(False, None, None, text)


def _statistics(search: Search) -> Path | None:
    named = search.named_in_online(STATISTICS, "global-cmvn-stats")
    return named or search.first(STATISTICS, search.inside("global_cmvn.stats"))


def _recipe_settings(search: Search, cmvn_opts: Path) -> Conf | None:
    """The options that `cmvn_opts` gives to apply-cmvn-online: `--config` first, then the rest."""
    given = read_conf(cmvn_opts)
    if "config" not in given:
        return given
    conf = search.named(SETTINGS, given, "config")
    if conf is None:
        return None
    named = read_conf(conf)
    values = {**named, **given}
    del values["config"]
    return Conf(f"{cmvn_opts} and {conf}", values, {**named.lines, **given.lines})


def _of_vosk(search: Search) -> Path | None:
    """Statistics that Vosk would find, for its model's root, `am`, or the file in it."""
    roots = dict.fromkeys(root for folder in search.here for root in (folder, folder.parent))
    return next(filter(None, map(vosk.statistics, roots)), None)
