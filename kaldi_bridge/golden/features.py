"""Features computed from the recordings, and archives in all their forms."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from kaldi_bridge.archives import read_archive, read_scp
from kaldi_bridge.conf import read_conf
from kaldi_bridge.errors import KaldiError, MissingFile, NotSupported
from kaldi_bridge.features import FeatureOptions, compute_features
from kaldi_bridge.golden.layout import Golden
from kaldi_bridge.golden.rows import (
    EXACT,
    Check,
    Outcome,
    compared,
    largest,
    over_rms,
    pick,
    total_size,
)

FEATURE_BOUND = 6e-4
"""MANIFEST's: what a float64 computation differs by."""
DEEP_PERCENTILE_BOUND = 1e-3
DEEP_BOUND = 3e-2
"""Where Kaldi's float32 Fourier transform shows: 99 of 100 values, and all of them."""
DEEP_DB = 70.0
"""Weakest below strongest band of a frame from which it does."""
TEXT_BOUND = 1e-5
"""Seven digits of numbers some times larger than the root mean square."""
DECODING_BOUND = 1e-6
"""Of values that both sides decode from the same bytes in single precision."""

_OVERRIDE = re.compile(r"--([a-z0-9-]+)=(\S+)")
_BY_NAME = re.compile(r"(mfcc|fbank)(?:_default)?(\d+)?")


def feature_checks(golden: Golden) -> Iterator[Check]:
    """Yields a check for each set of features and each other form of an archive."""
    for path in golden.arrays_in("feats/*"):
        golden.claim(path)
        command = golden.feature_commands.get(path.stem, "")
        if "--compress" in command or "_compressed" in path.stem:
            yield Check(path, "decoded; scp", partial(_decoded, golden, path))
        else:
            yield Check(path, "from wav; scp", partial(_computed, golden, path))
    for path in golden.arrays_in("long/*mfcc*") + golden.arrays_in("long/*fbank*"):
        golden.claim(path)
        yield Check(path, "from wav; scp", partial(_computed, golden, path))
    for path in sorted(golden.root.glob("*/*.txt.ark.gz")):
        golden.claim(path)
        yield Check(path, "text archive", partial(_text, golden, path))


def _decoded(golden: Golden, path: Path) -> Outcome:
    found = dict(read_archive(path))
    decoded = path.with_suffix(".npz")
    if not decoded.is_file():
        raise MissingFile(f"{decoded.name}: not there; it holds the decoded values.")
    with np.load(decoded, allow_pickle=False) as arrays:
        expected = {key: arrays[key] for key in arrays.files}
    _check_script(path, found)
    return compared(found, expected, DECODING_BOUND, over_rms)


def _text(golden: Golden, path: Path) -> Outcome:
    binary = path.with_name(path.name.removesuffix(".txt.ark.gz") + ".ark")
    return compared(dict(read_archive(path)), golden.reference(binary), TEXT_BOUND, over_rms)


def _computed(golden: Golden, path: Path) -> Outcome:
    expected = golden.reference(path)
    if path.suffix == ".ark":
        _check_script(path, expected)
    options = feature_options(golden, path)
    recordings = dict(golden.lists(golden.nearest("wav.scp", path)))
    found, deep = {}, {}
    for key in expected:
        waveform = read_wave(golden.root / recordings[key][0], options)
        found[key] = compute_features(waveform, options)
        if _has_deep_frames(waveform, options):
            deep[key] = expected[key]
    clean = {key: array for key, array in expected.items() if key not in deep}
    outcomes = [compared(pick(found, clean), clean, FEATURE_BOUND, largest)] if clean else []
    if not deep:
        return outcomes[0]
    outcomes.append(compared(pick(found, deep), deep, DEEP_BOUND, largest))
    apart = [np.abs(found[key] - array).ravel() for key, array in deep.items()]
    percentile = max(float(np.quantile(each, 0.99)) for each in apart)
    return Outcome(
        total_size(expected),
        max(outcome.difference for outcome in outcomes),
        f"max ≤ {FEATURE_BOUND:.0e} | {DEEP_BOUND:.0e}",
        all(outcome.ok for outcome in outcomes) and percentile <= DEEP_PERCENTILE_BOUND,
        f"bands {DEEP_DB:g} dB apart in {', '.join(deep)}: 99 % within {percentile:.1e}, "
        f"bound {DEEP_PERCENTILE_BOUND:.0e}",
    )


def feature_options(golden: Golden, path: Path) -> FeatureOptions:
    """Returns the options of a set: from its command, else from its name.

    Raises:
        NotSupported: neither says what it is.
    """
    written = golden.command_for(path)
    command = written.text if written else golden.feature_commands.get(path.stem, "")
    program = re.search(r"compute-(mfcc|fbank)-feats", command)
    settings: dict[str, str] = {}
    if program:
        overrides = dict(_OVERRIDE.findall(command))
        config = overrides.pop("config", None)
        if config:
            settings.update(read_conf(golden.root / config))
        return _options(program[1], {**settings, **overrides})
    confs = sorted(golden.root.glob("conf/*.conf"), key=lambda conf: -len(conf.stem))
    named = [c for c in confs if path.stem == c.stem or path.stem.startswith(f"{c.stem}_")]
    match = _BY_NAME.match(path.stem)
    if match is None:
        raise NotSupported(f"{path.name}: neither MANIFEST.md nor its name says how it was made.")
    settings = {"dither": "0"}
    if named:
        settings.update(read_conf(named[0]))
    elif match[2]:
        settings["num-ceps" if match[1] == "mfcc" else "num-mel-bins"] = match[2]
    if "_nosnip" in path.stem:
        settings["snip-edges"] = "false"
    return _options(match[1], settings)


def read_wave(path: Path, options: FeatureOptions) -> NDArray[np.float32]:
    """Reads the first channel, float32 [N] in [-1, 1].

    Raises:
        KaldiError: it has another sample rate than the options.
    """
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != options.sample_frequency:
        raise KaldiError(f"{path}: {rate} Hz, the features are of {options.sample_frequency:g} Hz.")
    return np.ascontiguousarray(samples[:, 0])


def _options(kind: str, settings: dict[str, str]) -> FeatureOptions:
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / f"{kind}.conf"
        conf.write_text("".join(f"--{key}={value}\n" for key, value in settings.items()))
        return FeatureOptions.read(conf, "mfcc" if kind == "mfcc" else "fbank")


def _check_script(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """The script beside an archive must give the same arrays."""
    script = path.with_suffix(".scp")
    if script.is_file():
        outcome = compared(read_scp(script), arrays, EXACT, largest)
        if not outcome.ok:
            raise KaldiError(f"{script.name} gives other numbers than {path.name}: {outcome.note}")


def _has_deep_frames(waveform: NDArray[np.float32], options: FeatureOptions) -> bool:
    """Whether a frame is digital silence or has a band far below its strongest one."""
    bands = replace(options, kind="fbank", use_energy=False, dither=0.0)
    logs = compute_features(waveform, bands)
    spread = (logs.max(axis=1) - logs.min(axis=1)) * (10 / np.log(10))
    silent = logs.max(axis=1) <= np.log(np.finfo(np.float32).eps) + 1e-3
    return bool((spread > DEEP_DB).any() or silent.any())
