"""What a feature conf says: the options of compute-mfcc-feats and compute-fbank-feats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from kaldi_bridge.conf import Conf, read_conf
from kaldi_bridge.errors import KaldiFileError, NotSupported, ShapeError
from kaldi_bridge.features.limits import WINDOW_TYPES, what_is_wrong

Kind = Literal["mfcc", "fbank"]

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
class FeatureOptions:
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

    kind: Kind = "mfcc"
    sample_frequency: float = 16000.0
    frame_length: float = 25.0
    frame_shift: float = 10.0
    preemphasis_coefficient: float = 0.97
    remove_dc_offset: bool = True
    dither: float = 1.0
    window_type: str = "povey"
    round_to_power_of_two: bool = True
    blackman_coeff: float = 0.42
    snip_edges: bool = True
    num_mel_bins: int = 23
    low_freq: float = 20.0
    high_freq: float = 0.0
    num_ceps: int = 13
    use_energy: bool | None = None
    energy_floor: float = 0.0
    raw_energy: bool = True
    cepstral_lifter: float = 22.0
    htk_compat: bool = False
    use_log_fbank: bool = True
    use_power: bool = True

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

    @property
    def feature_dim(self) -> int:
        """Columns of a row."""
        if self.kind == "mfcc":
            return self.num_ceps
        return self.num_mel_bins + bool(self.use_energy)

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return int(self.sample_frequency)

    @property
    def window_samples(self) -> int:
        """Samples that one frame looks at, rounded down as Kaldi does."""
        return self._samples(self.frame_length)

    @property
    def shift_samples(self) -> int:
        """Samples from one frame to the next, rounded down as Kaldi does."""
        return self._samples(self.frame_shift)

    @property
    def frame_shift_seconds(self) -> float:
        """Time from one frame to the next."""
        return self.shift_samples / self.sample_rate

    @property
    def fft_size(self) -> int:
        """Points of the Fourier transform."""
        window = self.window_samples
        return 1 << (window - 1).bit_length() if self.round_to_power_of_two else window

    @property
    def context_samples(self) -> int:
        """Samples that a frame shares with the next one: what a stream has to remember."""
        return max(self.window_samples - self.shift_samples, 0)

    def first_sample(self, frame: int) -> int:
        """First sample that a frame looks at; without `snip_edges` it may be negative."""
        begin = frame * self.shift_samples
        if self.snip_edges:
            return begin
        return begin + self.shift_samples // 2 - self.window_samples // 2

    def frame_count(self, n_samples: int) -> int:
        """Rows that so many samples give; none if `snip_edges` and not even one frame fits."""
        if not self.snip_edges:
            return (n_samples + self.shift_samples // 2) // self.shift_samples
        if n_samples < self.window_samples:
            return 0
        return 1 + (n_samples - self.window_samples) // self.shift_samples

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

    def _samples(self, milliseconds: float) -> int:
        # Kaldi keeps both factors in float32, multiplies in float64 and cuts off the rest.
        return int(
            float(np.float32(self.sample_frequency)) * 0.001 * float(np.float32(milliseconds))
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
