"""Finds what belongs to a model: the layouts of recipes, releases, online decoding and Vosk.

A model is a file, or a folder that a Kaldi recipe or a release left behind. Nothing is guessed in
silence: each file that was found says where, each that was not says every place that was looked
at, and what had to be assumed stands in the notes.

Where it looks, for a model in `DIR`:

| for | places, in this order |
|---|---|
| model | `DIR`, `DIR/am` (Vosk), then one recipe folder below: `exp/chain*/*`, `chain*/*`, `*` |
| features | `conf/online.conf`; `conf/` and the folder itself; `DIR_online/conf`; `conf/` of the four folders above |
| extractor | `conf/online.conf`; `conf/ivector_extractor.conf`; `ivector_extractor/`, `ivector/`, `extractor/`; `DIR_online`; `../../nnet3*/extractor`, `../nnet3*/extractor`; `conf/ivector_extractor.conf` of the four folders above |
| online mean normalisation | see `normalisation` |
| subsampling | `frame_subsampling_factor`; `conf/model.conf` (Vosk), `conf/online.conf` |

Sources: steps/online/nnet3/prepare_online_decoding.sh and steps/nnet3/decode.sh of Kaldi, the
LibriSpeech release 0013, and Vosk's two layouts.
"""  # noqa: E501

from __future__ import annotations

from pathlib import Path

from kaldi_bridge.directory.extractors import find_extractor
from kaldi_bridge.directory.feature_confs import FeatureConf, find_features
from kaldi_bridge.directory.files import ModelFiles
from kaldi_bridge.directory.normalisation import find_normalisation
from kaldi_bridge.directory.search import Search, input_dims
from kaldi_bridge.nnet3.network import FEATURES, IVECTOR

__all__ = ["FeatureConf", "ModelFiles", "find_model"]


def find_model(
    path: Path | str,
    *,
    extractor: Path | str | None = None,
    feature_conf: Path | str | None = None,
) -> ModelFiles:
    """Finds a model and all that belongs to it.

    Args:
        path: a model file, a recipe's model folder, an online decoding folder, a Vosk model, or
            the root of a release that holds one model.
        extractor: i-vector extractor: its folder or its conf file; looked for if not given.
        feature_conf: conf file of the features; looked for if not given.

    Returns:
        What was found. An extractor that is wanted and not there is no error yet: it stands in
        `missing`, and `require("extractor")` raises.

    Raises:
        MissingFile: no model there, or a path that was given does not exist.
        ShapeError: the conf that was given makes features of another dimension.
        KaldiFileError: a small file of the folder holds what it must not.
    """
    given = Path(path)
    search = Search(given if given.is_dir() else given.parent)
    model = search.model(given)
    dims = input_dims(model)
    search.here = tuple(dict.fromkeys((search.base, model.parent)))
    search.read_online_conf()
    features = find_features(search, feature_conf, dims.get(FEATURES, 0))
    ie = find_extractor(search, extractor, dims.get(IVECTOR, 0))
    normalisation = find_normalisation(search)
    return ModelFiles(
        model=model,
        input_dims=dims,
        frame_subsampling_factor=search.subsampling(),
        extractor=ie,
        features=features,
        online_cmvn=normalisation.online,
        global_cmvn_stats=normalisation.statistics,
        cmvn_settings=normalisation.settings,
        cmvn_opts=normalisation.text,
        tree=search.first("tree", search.inside("tree")),
        phones=search.first("phones", search.inside("phones.txt", "graph/phones.txt")),
        origin=search.origin,
        missing={k: tuple(v) for k, v in search.looked.items() if k not in search.origin},
        notes=tuple(search.notes),
    )
