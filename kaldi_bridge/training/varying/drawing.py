"""Draws variations: how likely each thing is and how far it goes are options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from kaldi_bridge.errors import KaldiError
from kaldi_bridge.training.varying.backgrounds import BABBLE, BACKGROUNDS
from kaldi_bridge.training.varying.codecs import CODECS, available
from kaldi_bridge.training.varying.events import EVENTS
from kaldi_bridge.training.varying.filters import EQUALISER_HERTZ, SAMPLE_RATE
from kaldi_bridge.training.varying.variation import Happening, Variation

Range = tuple[float, float]
Drawn = TypeVar("Drawn")
TELEPHONE_BAND = (300.0, 3400.0)
DIGITS = 4
"""After the point, of whatever is drawn."""


class ImpossibleVariation(KaldiError):
    """Options of variations that contradict themselves or each other."""


def _check_names(field: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not given and field == "backgrounds":
        raise ImpossibleVariation("backgrounds: name one at least; noise_chance=0 leaves all out.")
    for name in given:
        if name not in known:
            raise ImpossibleVariation(f'{field}: no "{name}". There are: {", ".join(known)}.')


@dataclass(frozen=True)
class VaryingOptions:
    """Of what the variations are drawn: ranges (from, to) and chances (0 to 1).

    Attributes:
        speed: range of the tempo, uniform in its logarithm, as all ratios here.
        formant: range of the factor of formants.
        formant_chance: of a formant other than 1.
        pitch_spread: standard deviation in semitones around the pitch that goes with the formant.
        pitch_range: range of the factor of the pitch's movement.
        trimmed_chance: of cutting the silence before the first and behind the last word.
        trimmed_to: range of the seconds that are left of each; below 0 cuts into the word.
        extended_chance: of extra silence on both sides, where nothing is cut.
        extended_to: range of its seconds.
        events_chance: of made sounds in pauses.
        events_most: how many there are at most.
        events_db: range of their peaks over that of the speech.
        overlaid_chance: of a made sound over speech.
        overlaid_db: range of its peak over that of the speech.
        room_chance: of a room.
        rt60: range of the reverberation time in seconds, uniform in its logarithm.
        direct_to_reverberant_db: range.
        noise_chance: of a background.
        snr_db: range of the speech over the background.
        backgrounds: kinds to choose from; "babble" needs `others` in `apply`.
        equaliser_chance: of a microphone that is not flat.
        equaliser_spread_db: standard deviation of each of its points, an octave apart.
        tilt_db: range of its slope in decibels per octave.
        low_cut_chance: of a high-pass.
        low_cut: range of its edge in hertz, uniform in its logarithm.
        high_cut_chance: of a low-pass below what the channel's rate allows.
        high_cut: range of its edge as a share of half that rate.
        telephone_chance: of the telephone's band, 300 to 3400 Hz, where the channel has 8 kHz.
        channel_rates: sampling rates of the channel in hertz, and the chance of each; what is left
            is recorded at 16 kHz.
        resamplers: soxr's qualities for the way back, each as likely as often it stands here.
        codec_chance: of a codec.
        codecs: codecs to choose from, where the machine and the rate allow; () for all.
        sixteen_bits_chance: of samples rounded to 16 bits.
        saturation_chance: of a soft saturation.
        drive: its range.
        clipping_chance: of clipping.
        clipping_db: its range.
        gain_db: range of the peak of the recording in decibels of full scale.
    """

    speed: Range = (0.7, 1.5)
    formant: Range = (0.8, 1.25)
    formant_chance: float = 0.9
    pitch_spread: float = 2.5
    pitch_range: Range = (0.5, 1.8)
    trimmed_chance: float = 0.4
    trimmed_to: Range = (-0.02, 0.1)
    extended_chance: float = 0.3
    extended_to: Range = (0.1, 1.0)
    events_chance: float = 0.12
    events_most: int = 3
    events_db: Range = (-20.0, 6.0)
    overlaid_chance: float = 0.1
    overlaid_db: Range = (-40.0, -15.0)
    room_chance: float = 0.45
    rt60: Range = (0.05, 0.8)
    direct_to_reverberant_db: Range = (-2.0, 20.0)
    noise_chance: float = 0.75
    snr_db: Range = (0.0, 45.0)
    backgrounds: tuple[str, ...] = BACKGROUNDS
    equaliser_chance: float = 0.7
    equaliser_spread_db: float = 3.0
    tilt_db: Range = (-2.5, 2.5)
    low_cut_chance: float = 0.6
    low_cut: Range = (50.0, 300.0)
    high_cut_chance: float = 0.35
    high_cut: Range = (0.7, 0.97)
    telephone_chance: float = 0.15
    channel_rates: tuple[tuple[int, float], ...] = ((8000, 0.42), (11025, 0.06), (12000, 0.04))
    resamplers: tuple[str, ...] = ("VHQ", "HQ", "HQ", "HQ", "LQ", "QQ")
    codec_chance: float = 0.25
    codecs: tuple[str, ...] = ()
    sixteen_bits_chance: float = 0.8
    saturation_chance: float = 0.1
    drive: Range = (0.5, 3.0)
    clipping_chance: float = 0.05
    clipping_db: Range = (0.5, 6.0)
    gain_db: Range = (-40.0, -1.0)

    def __post_init__(self) -> None:
        """Raises ImpossibleVariation where a range falls, or a chance or a kind is none."""
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type == "Range" and not (len(value) == 2 and value[0] <= value[1]):
                raise ImpossibleVariation(f"{name}: a range (from, to) must rise, got {value}.")
            if name.endswith("chance") and not 0.0 <= value <= 1.0:
                raise ImpossibleVariation(f"{name}: a chance lies from 0 to 1, got {value:g}.")
        if sum(chance for _, chance in self.channel_rates) > 1.0:
            raise ImpossibleVariation(f"channel_rates: more than 1 in all: {self.channel_rates}.")
        _check_names("backgrounds", self.backgrounds, (*BACKGROUNDS, BABBLE))
        _check_names("codecs", self.codecs, tuple(CODECS))


DEFAULTS = VaryingOptions()


def draw_variation(rng: np.random.Generator, options: VaryingOptions = DEFAULTS) -> Variation:
    """Draws a variation; the same from the same state of `rng`, options and libsndfile.

    Args:
        rng: of everything.
        options: ranges and chances.
    """
    draw = _Draw(rng)
    formant = draw.maybe(options.formant_chance, lambda: draw.ratio(options.formant)) or 1.0
    pitch = 12.0 * math.log2(formant) + rng.normal(0.0, options.pitch_spread)
    rate = _channel_rate(draw, options)
    tilt_db, equaliser_db = draw.maybe(
        options.equaliser_chance, lambda: _equaliser(draw, options)
    ) or (0.0, ())
    return Variation(
        speed=draw.ratio(options.speed),
        pitch_semitones=round(pitch, DIGITS),
        pitch_range=draw.ratio(options.pitch_range),
        formant=formant,
        margins=_margins(draw, options),
        events=draw.maybe(options.events_chance, lambda: _events(draw, options)) or (),
        overlaid=draw.maybe(options.overlaid_chance, lambda: (draw.happening(options.overlaid_db),))
        or (),
        room=draw.maybe(
            options.room_chance,
            lambda: (draw.ratio(options.rt60), draw.uniform(options.direct_to_reverberant_db)),
        ),
        noise=draw.maybe(
            options.noise_chance,
            lambda: (draw.one(options.backgrounds), draw.uniform(options.snr_db)),
        ),
        tilt_db=tilt_db,
        equaliser_db=equaliser_db,
        band=_band(draw, options, rate),
        polarity=1 if draw.chance(0.5) else -1,
        drive=draw.maybe(options.saturation_chance, lambda: draw.uniform(options.drive)) or 0.0,
        clipping_db=draw.maybe(options.clipping_chance, lambda: draw.uniform(options.clipping_db))
        or 0.0,
        gain_db=draw.uniform(options.gain_db),
        channel_rate=rate,
        sixteen_bits=draw.chance(options.sixteen_bits_chance),
        codec=_codec(draw, options, rate),
        resampler=draw.one(options.resamplers),
    )


class _Draw:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def uniform(self, bounds: Range) -> float:
        return round(float(self.rng.uniform(*bounds)), DIGITS)

    def ratio(self, bounds: Range) -> float:
        return round(math.exp(self.rng.uniform(math.log(bounds[0]), math.log(bounds[1]))), DIGITS)

    def chance(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def maybe(self, chance: float, make: Callable[[], Drawn]) -> Drawn | None:
        return make() if self.chance(chance) else None

    def one(self, names: tuple[str, ...]) -> str:
        return names[int(self.rng.integers(len(names)))]

    def happening(self, decibels: Range) -> Happening:
        return self.one(EVENTS), self.uniform((0.0, 1.0)), self.uniform(decibels)


def _events(draw: _Draw, options: VaryingOptions) -> tuple[Happening, ...]:
    number = int(draw.rng.integers(1, options.events_most + 1))
    return tuple(draw.happening(options.events_db) for _ in range(number))


def _equaliser(draw: _Draw, options: VaryingOptions) -> tuple[float, tuple[float, ...]]:
    points = draw.rng.normal(0.0, options.equaliser_spread_db, len(EQUALISER_HERTZ))
    return draw.uniform(options.tilt_db), tuple(np.round(points, DIGITS).tolist())


def _margins(draw: _Draw, options: VaryingOptions) -> tuple[float | None, float | None]:
    if draw.chance(options.trimmed_chance):
        return draw.uniform(options.trimmed_to), draw.uniform(options.trimmed_to)
    if draw.chance(options.extended_chance):
        return draw.uniform(options.extended_to), draw.uniform(options.extended_to)
    return None, None


def _channel_rate(draw: _Draw, options: VaryingOptions) -> int:
    at = draw.uniform((0.0, 1.0))
    for rate, chance in options.channel_rates:
        at -= chance
        if at < 0:
            return rate
    return SAMPLE_RATE


def _band(draw: _Draw, options: VaryingOptions, rate: int) -> tuple[float | None, float | None]:
    if rate == 8000 and draw.chance(options.telephone_chance):
        return TELEPHONE_BAND
    low = draw.maybe(options.low_cut_chance, lambda: draw.ratio(options.low_cut))
    share = draw.maybe(options.high_cut_chance, lambda: draw.uniform(options.high_cut))
    return low, share * rate / 2 if share else None


def _codec(draw: _Draw, options: VaryingOptions, rate: int) -> str | None:
    wanted = options.codecs or tuple(CODECS)
    possible = tuple(name for name in available(rate) if name in wanted)
    return draw.one(possible) if draw.chance(options.codec_chance) and possible else None
