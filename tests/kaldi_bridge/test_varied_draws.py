"""Variations as drawn: shares, ranges, and what the synthesiser is asked for."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaldi_bridge.training.varying.codecs import CODECS
from kaldi_bridge.training.varying.varying import (
    ImpossibleVariation,
    Variation,
    VaryingOptions,
    draw_variation,
    synthesiser_settings,
)

N = 4000
DRAWN = [draw_variation(np.random.default_rng([1, i])) for i in range(N)]


def share(wanted) -> float:
    return sum(map(bool, map(wanted, DRAWN))) / N


@pytest.mark.parametrize(
    ("wanted", "chance"),
    [
        (lambda v: v.channel_rate == 8000, 0.42),
        (lambda v: v.channel_rate == 16000, 0.48),
        (lambda v: v.formant != 1.0, 0.9),
        (lambda v: v.room, 0.45),
        (lambda v: v.noise, 0.75),
        (lambda v: v.codec, 0.25),
        (lambda v: v.events, 0.12),
        (lambda v: v.overlaid, 0.1),
        (lambda v: v.margins[0] is not None and v.margins[0] < 0.1, 0.4),
        (lambda v: v.margins[1] is not None and v.margins[1] >= 0.1, 0.6 * 0.3),
        (lambda v: v.band == (300.0, 3400.0), 0.42 * 0.15),
        (lambda v: v.drive, 0.1),
        (lambda v: v.clipping_db, 0.05),
        (lambda v: v.sixteen_bits, 0.8),
        (lambda v: v.polarity == 1, 0.5),
    ],
)
def test_chances_are_those_of_the_options(wanted, chance):
    assert share(wanted) == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / N))


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (lambda v: v.speed, 0.7, 1.5),
        (lambda v: v.formant, 0.8, 1.25),
        (lambda v: v.pitch_range, 0.5, 1.8),
        (lambda v: v.gain_db, -40.0, -1.0),
        (lambda v: v.room and v.room[0], 0.05, 0.8),
        (lambda v: v.room and v.room[1], -2.0, 20.0),
        (lambda v: v.noise and v.noise[1], 0.0, 45.0),
    ],
)
def test_ranges_are_filled_and_kept(value, low, high):
    values = [x for x in map(value, DRAWN) if x is not None]
    assert low <= min(values) < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < max(values) <= high


def test_codecs_run_at_their_rates():
    used = {(v.codec, v.channel_rate) for v in DRAWN if v.codec}
    assert len(used) > 15
    assert all(rate in CODECS[codec].rates for codec, rate in used)


def test_variations_travel_as_json():
    for variation in DRAWN[:300]:
        assert Variation.from_json(variation.to_json()) == variation
    assert json.loads(json.dumps(asdict(VaryingOptions())))["speed"] == [0.7, 1.5]


def test_same_seed_same_variation():
    assert draw_variation(np.random.default_rng([1, 5])) == DRAWN[5]
    assert len(set(DRAWN)) == N


@given(st.floats(0.7, 1.5), st.floats(0.8, 1.25), st.floats(-8, 8))
def test_tempo_and_pitch_come_out_after_the_resampling(speed, formant, semitones):
    variation = Variation(speed=speed, formant=formant, pitch_semitones=semitones, pitch_range=1.3)
    asked = synthesiser_settings(variation)
    assert asked.rate * formant == pytest.approx(speed)
    assert 2 ** (asked.pitch_semitones / 12) * formant == pytest.approx(2 ** (semitones / 12))
    assert asked.pitch_range == 1.3


def test_options_are_switches():
    names = [name for name in asdict(VaryingOptions()) if name.endswith("chance")]
    off = VaryingOptions(**dict.fromkeys(names, 0.0), channel_rates=())
    for seed in range(50):
        drawn = draw_variation(np.random.default_rng(seed), off)
        plain = Variation(
            speed=drawn.speed,
            pitch_semitones=drawn.pitch_semitones,
            pitch_range=drawn.pitch_range,
            polarity=drawn.polarity,
            gain_db=drawn.gain_db,
            resampler=drawn.resampler,
        )
        assert drawn == plain
    only = replace(
        VaryingOptions(), codecs=("gsm",), codec_chance=1.0, channel_rates=((8000, 1.0),)
    )
    assert draw_variation(np.random.default_rng(0), only).codec == "gsm"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"speed": (1.5, 0.7)}, r"speed: a range .* must rise"),
        ({"room_chance": 1.5}, r"room_chance: a chance lies from 0 to 1, got 1.5"),
        ({"backgrounds": ("grey",)}, r'backgrounds: no "grey"\. There are: white'),
        ({"backgrounds": ()}, r"noise_chance=0"),
        ({"codecs": ("atrac",)}, r'codecs: no "atrac"\. There are: ulaw'),
        ({"channel_rates": ((8000, 0.7), (11025, 0.5))}, r"more than 1 in all"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ImpossibleVariation, match=message):
        VaryingOptions(**wrong)
