"""The options of an i-vector extractor, as Kaldi's conf files spell them.

Source: OnlineIvectorExtractionConfig, OnlineCmvnOptions and OnlineSpliceOptions of Kaldi 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaldi_bridge.conf import Conf
from kaldi_bridge.ivectors.cmvn import CmvnOptions

FILE_KEYS = {
    "ivector-extractor": ("final.ie",),
    "diag-ubm": ("final.dubm",),
    "lda-matrix": ("final.mat",),
    "global-cmvn-stats": ("global_cmvn.stats",),
    "cmvn-config": ("online_cmvn.conf",),
    "splice-config": ("splice_opts", "splice.conf"),
}
"""Key of each file → the names it has in the folder of an extractor."""

MAX_PERIOD = 1000  # frames; those of one period are in memory at once
MAX_CONTEXT = 1000  # frames
MAX_WINDOW = 1_000_000  # frames

NUMBER_KEYS = (
    "ivector-period",
    "num-gselect",
    "min-post",
    "posterior-scale",
    "max-count",
    "max-remembered-frames",
    "online-cmvn-iextractor",
    "use-most-recent-ivector",
    "greedy-ivector-extractor",
)


@dataclass(frozen=True)
class IvectorOptions:
    """Numbers in ivector_extractor.conf; the defaults are Kaldi's and its recipes'.

    Attributes:
        ivector_period: frames from one i-vector to the next.
        num_gselect: largest number of Gaussians per frame.
        min_post: smaller posteriors are dropped.
        posterior_scale: what a frame counts beside the prior.
        max_count: scaled frames from which the prior grows with the data; 0 for never.
        max_remembered_frames: what of a speaker is carried to the next recording.
        online_cmvn_iextractor: whether the statistics too are of normalised features.
    """

    ivector_period: int = 10
    num_gselect: int = 5
    min_post: float = 0.025
    posterior_scale: float = 0.1
    max_count: float = 0.0
    max_remembered_frames: float = 1000.0
    online_cmvn_iextractor: bool = False

    @classmethod
    def of(cls, conf: Conf) -> IvectorOptions:
        """Reads the options from a conf file; `use-most-recent-ivector` changes nothing.

        Raises:
            KaldiFileError: an option is unknown, out of range, or not supported.
        """
        conf.refuse_unknown((*FILE_KEYS, *NUMBER_KEYS))
        conf.boolean("use-most-recent-ivector", True)  # ivector-extract-online2 ignores it too
        if conf.boolean("greedy-ivector-extractor", False):
            raise conf.fail(
                "greedy-ivector-extractor",
                "would let an i-vector depend on how much audio happens to be there already: "
                "not supported. Set it to false.",
            )
        default = cls()
        options = cls(
            ivector_period=conf.integer(
                "ivector-period", default.ivector_period, least=1, most=MAX_PERIOD
            ),
            num_gselect=conf.integer("num-gselect", default.num_gselect, least=1),
            min_post=_single(conf.real("min-post", default.min_post, least=0, most=0.5)),
            posterior_scale=_single(conf.real("posterior-scale", default.posterior_scale, most=1)),
            max_count=_single(conf.real("max-count", default.max_count, least=0)),
            max_remembered_frames=_single(
                conf.real("max-remembered-frames", default.max_remembered_frames, least=0)
            ),
            online_cmvn_iextractor=conf.boolean("online-cmvn-iextractor", False),
        )
        if options.min_post >= 0.5:
            raise conf.fail("min-post", "must be below 0.5.")
        if options.posterior_scale <= 0:
            raise conf.fail("posterior-scale", "must be above 0.")
        return options


@dataclass(frozen=True)
class SpliceOptions:
    """Frames on either side that are joined to each frame.

    Attributes:
        left_context: frames before.
        right_context: frames after.
    """

    left_context: int = 4
    right_context: int = 4

    @property
    def width(self) -> int:
        """Number of frames joined."""
        return self.left_context + 1 + self.right_context

    @classmethod
    def of(cls, conf: Conf) -> SpliceOptions:
        """Reads the options from splice.conf or splice_opts."""
        conf.refuse_unknown(("left-context", "right-context"))
        default = cls()
        return cls(
            conf.integer("left-context", default.left_context, least=0, most=MAX_CONTEXT),
            conf.integer("right-context", default.right_context, least=0, most=MAX_CONTEXT),
        )


def cmvn_options(conf: Conf, feature_dim: int) -> CmvnOptions:
    """Reads the options from online_cmvn.conf.

    Args:
        conf: the file.
        feature_dim: for the range of `skip-dims`.

    Raises:
        KaldiFileError: an option is unknown or out of range.
    """
    default = CmvnOptions()
    known = (
        "cmn-window",
        "speaker-frames",
        "global-frames",
        "norm-means",
        "norm-vars",
        "skip-dims",
    )
    conf.refuse_unknown(known)
    options = CmvnOptions(
        cmn_window=conf.integer("cmn-window", default.cmn_window, least=1, most=MAX_WINDOW),
        speaker_frames=conf.integer("speaker-frames", default.speaker_frames, least=0),
        global_frames=conf.integer("global-frames", default.global_frames, least=0),
        norm_means=conf.boolean("norm-means", default.norm_means),
        norm_vars=conf.boolean("norm-vars", default.norm_vars),
        skip_dims=_dimensions(conf, feature_dim),
    )
    if options.norm_vars and not options.norm_means:
        raise conf.fail("norm-vars", "variances are normalised only together with the means.")
    return options


def _dimensions(conf: Conf, feature_dim: int) -> tuple[int, ...]:
    words = [word for word in conf.get("skip-dims", "").split(":") if word]
    if not all(word in {str(dimension) for dimension in range(feature_dim)} for word in words):
        problem = f"must be dimensions from 0 to {feature_dim - 1} with colons between."
        raise conf.fail("skip-dims", problem)
    return tuple(sorted({int(word) for word in words}))


def _single(value: float) -> float:
    """Returns the value as Kaldi holds it, in single precision."""
    return float(np.float32(value))
