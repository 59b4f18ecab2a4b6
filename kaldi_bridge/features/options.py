"""What a feature conf says: the options of compute-mfcc-feats and compute-fbank-feats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.errors import KaldiFileError, NotSupported, ShapeError
from kaldi_bridge.features.limits import WINDOW_TYPES, what_is_wrong
from kaldi_bridge.features.settings import FeatureSettings, Kind

# Options that only one kind of feature has.
_ONLY = {
    "num-ceps": "mfcc",
    "cepstral-lifter": "mfcc",
    "use-log-fbank": "fbank",
    "use-power": "fbank",
}

# Options of the Kaldi programs that change no row of features, whatever they say.
_WITHOUT_EFFECT = {
    "vtln-low", "vtln-high",  # used when frequencies are warped only
    "allow-downsample", "allow-upsample",  # resampling is up to whoever reads the audio
    "max-feature-vectors", "min-duration", "write-utt2dur",
    "debug-mel", "verbose", "print-args",
}  # fmt: skip

# Options of theirs that change none while they hold this value.
_NEUTRAL: dict[str, tuple[Callable[[Conf], bool], str]] = {
    "vtln-warp": (
        lambda conf: conf.real("vtln-warp", 1.0) == 1.0,
        "must be 1: vocal-tract warping is not computed.",
    ),
    "subtract-mean": (
        lambda conf: not conf.boolean("subtract-mean", False),
        "must be false: a stream cannot know its mean; subtract it afterwards.",
    ),
    "channel": (
        lambda conf: conf.integer("channel", -1) in (-1, 0),
        "must be -1 or 0: hand over the samples of the channel you want and drop this line.",
    ),
    "output-format": (
        lambda conf: conf.get("output-format") in (None, "kaldi"),
        "must be kaldi: rows are returned as an array.",
    ),
}
_REFUSED = {
    "vtln-map": "vocal-tract warping is not computed; drop this line.",
    "utt2spk": "speakers matter only to vocal-tract warping, which is not computed; drop it.",
    "config": "Kaldi does not follow this inside a conf file either; copy the lines of that file.",
}


@dataclass(frozen=True)
class FeatureOptions(FeatureSettings):
    """Options of one kind of feature; names, units and defaults are Kaldi's.

    Frequencies are in hertz, frame length and shift in milliseconds, energies on the scale of
    16-bit samples. The default `dither` of 1.0 is Kaldi's too: it adds random noise to every
    frame, so that no two runs agree; `without_dither` switches it off.

    Attributes:
        kind: "mfcc" or "fbank".
        use_energy: whether the log energy takes the place of C0 (mfcc) or is one more column
            (fbank). None stands for Kaldi's default and becomes true for mfcc, false for fbank.
        high_freq: upper edge of the last band; zero or negative counts from half the rate.

    Raises:
        ShapeError: options that contradict each other or that Kaldi refuses; says what to change.
        NotSupported: `kind` is none of the two.
    """

    def __post_init__(self) -> None:
        if self.kind not in ("mfcc", "fbank"):
            raise NotSupported(f'features of kind "{self.kind}": mfcc and fbank are computed.')
        if self.use_energy is None:
            object.__setattr__(self, "use_energy", self.kind == "mfcc")
        problem = what_is_wrong(self)
        if problem:
            raise ShapeError(problem)

    @classmethod
    def read(
        cls, path: Path | str, kind: Kind = "mfcc", dither: float | None = None
    ) -> FeatureOptions:
        """Reads a conf file such as mfcc_hires.conf.

        Args:
            path: the conf file.
            kind: what the conf is for; the file does not say.
            dither: put in the place of the file's (and of Kaldi's default); None keeps it.

        Raises:
            MissingFile: no such file.
            KaldiFileError: an option that is unknown or has an impossible value; names the line.
        """
        conf = read_conf(path)
        owned = [f.name for f in fields(cls) if f.name != "kind"]
        keys = {name.replace("_", "-"): name for name in owned}
        elsewhere = {key: only for key, only in _ONLY.items() if only != kind}
        refused = _REFUSED | {
            key: f"an option of {only} features." for key, only in elsewhere.items()
        }
        known = keys.keys() | _NEUTRAL.keys() | _WITHOUT_EFFECT
        conf.refuse_unknown(known - elsewhere.keys(), refused)
        for key, (is_neutral, cure) in _NEUTRAL.items():
            if not is_neutral(conf):
                raise conf.fail(key, cure)
        defaults = cls(kind=kind)
        values: dict[str, Any] = {
            name: _value(conf, key, getattr(defaults, name))
            for key, name in keys.items()
            if key in conf
        }
        if dither is not None:
            values["dither"] = dither
        try:
            return replace(defaults, **values)
        except ShapeError as problem:
            named = (conf.lines[key] for key in conf if f"--{key}" in str(problem))
            line = next(named, max(conf.lines.values(), default=1))
            raise KaldiFileError(path, f"line {line}", str(problem)) from None

    def without_dither(self) -> FeatureOptions:
        """Returns the same options with dither 0: every run gives the same rows."""
        return replace(self, dither=0.0)

    def check_rate(self, rate: float) -> None:
        """Compares the rate of a recording with the one these features are made for.

        Raises:
            ShapeError: another rate; says to resample, and to which.
        """
        if rate != self.sample_frequency:
            raise ShapeError(
                f"audio of {rate:g} Hz for features of {self.sample_rate} Hz: resample it to "
                f"{self.sample_rate} Hz first, or use a model trained at its rate."
            )


def _value(conf: Conf, key: str, default: object) -> object:
    """The value of `key`, of the same type as its default."""
    if isinstance(default, bool):
        return conf.boolean(key, default)
    if isinstance(default, int):
        return conf.integer(key, default)
    if isinstance(default, float):
        return conf.real(key, default)
    return conf.word(key, cast(str, default), WINDOW_TYPES)
