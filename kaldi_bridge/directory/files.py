"""What belongs to a model, as a search has found it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kaldi_bridge.conf import Conf
from kaldi_bridge.directory.feature_confs import FeatureConf
from kaldi_bridge.errors import MissingFile
from kaldi_bridge.nnet3.network import FEATURES, IVECTOR

PURPOSES = {
    "extractor": "the network has an i-vector input, and i-vectors are to be computed",
    "feature_conf": "features are to be computed from audio",
    "global_cmvn_stats": "the model asks for online mean normalisation of the features",
    "cmvn_settings": "the options of online mean normalisation are in a file that is named",
    "phones": "the names of the phones are wanted",
    "tree": "the decision tree is wanted",
}
CURES = {
    "extractor": 'Give the extractor\'s folder or its ivector_extractor.conf: extractor="..."',
    "feature_conf": 'Give the conf file that the model was trained with: feature_conf="..."',
}


@dataclass(frozen=True)
class ModelFiles:
    """What belongs to a model, and where each part was found.

    Attributes:
        model: the network: .mdl or .raw, binary or text, or gzipped.
        input_dims: dimension of each input of the network ("input", "ivector"); empty if the
            head of the file cannot be read, which reading the model will then explain.
        frame_subsampling_factor: input frames per output frame; 1 where nothing says otherwise.
        extractor: `ivector_extractor.conf`, or the folder with `final.ie`; None if the network
            takes no i-vectors or if none was found (see `missing`).
        features: kind and settings of the features; None if not found.
        online_cmvn: whether the features get online mean normalisation before the network.
        global_cmvn_stats: statistics for that.
        cmvn_settings: options for that, as an online_cmvn.conf has them; empty for Kaldi's
            defaults, None if not wanted or not found.
        cmvn_opts: contents of the file of that name, such as "--norm-means=false".
        tree: decision tree.
        phones: table of phone names.
        origin: for each part that was found, in words, how.
        missing: for each part that was wanted and not found, every place that was looked at.
        notes: what was assumed, and what does not fit together.
    """

    model: Path
    input_dims: dict[str, int]
    frame_subsampling_factor: int = 1
    extractor: Path | None = None
    features: FeatureConf | None = None
    online_cmvn: bool = False
    global_cmvn_stats: Path | None = None
    cmvn_settings: Conf | None = None
    cmvn_opts: str | None = None
    tree: Path | None = None
    phones: Path | None = None
    origin: dict[str, str] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def feature_conf(self) -> Path | None:
        """The conf file of the features; None if they are built in or not found."""
        return self.features.path if self.features else None

    @property
    def feature_dim(self) -> int:
        """Values per frame that the network takes; 0 if unknown."""
        return self.input_dims.get(FEATURES, 0)

    @property
    def ivector_dim(self) -> int:
        """Dimension of the i-vector input; 0 if there is none."""
        return self.input_dims.get(IVECTOR, 0)

    def require(self, part: str) -> Path:
        """Returns the path of a part that is needed now.

        Args:
            part: "extractor", "feature_conf", "global_cmvn_stats", "phones" or "tree".

        Raises:
            MissingFile: it was not found; the message has its purpose and the places.
        """
        found = getattr(self, part)
        if isinstance(found, Path):
            return found
        raise self.lacks(part)

    def require_features(self) -> FeatureConf:
        """Returns kind and settings of the features.

        Raises:
            MissingFile: no conf was found and none is built in for this dimension.
        """
        if self.features is None:
            raise self.lacks("feature_conf")
        return self.features

    def require_cmvn_settings(self) -> Conf:
        """Returns the options of the online mean normalisation, as its conf has them.

        Raises:
            MissingFile: the conf was not found.
        """
        if self.cmvn_settings is None:
            raise self.lacks("cmvn_settings")
        return self.cmvn_settings

    def lacks(self, part: str) -> MissingFile:
        """Returns the error that says what is missing, what for, and where it was looked for."""
        places = self.missing.get(part, ())
        looked = (
            "".join(f"\n  {place}" for place in places) or "\n  (nowhere: it was not asked for)"
        )
        cure = f"\n{CURES[part]}." if part in CURES else ""
        purpose = PURPOSES.get(part, "it is needed")
        return MissingFile(
            f"{self.model}: no {part.replace('_', ' ')} found ({purpose}). Looked at:{looked}{cure}"
        )
