"""The example of a gradual network, and the bundled acoustic model inside a detector."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kaldi_bridge.bundled import bundled_model
from kaldi_bridge.nnet3.describe import table
from kaldi_bridge.nnet3.reading import read_model
from sedsdk import compose, load, part
from sedsdk.runtime.bundle import save_bundle

REPOSITORY = Path(__file__).parents[3]


def test_the_example_tells_what_flows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 24000)
    soundfile.write(tmp_path / "sound.wav", samples, 16000)
    example = runpy.run_path(str(REPOSITORY / "examples" / "gradual_network.py"))
    example["main"](str(tmp_path / "sound.wav"))
    printed = capsys.readouterr().out
    model = read_model(bundled_model() / "final.mdl")
    parameters = table(model.network, model.transitions).parameters
    assert "asr    128 values every 100 ms" in printed
    assert f"{parameters:,} of the speech recogniser do not" in printed
    assert "15 frames of 3 probabilities" in printed


def test_a_saved_detector_finds_the_bundled_model_again(tmp_path: Path) -> None:
    pipeline = compose(
        ["bark"],
        {
            "main": part("log_mel", sample_rate=16000, n_mels=8, hop_seconds=0.05),
            "asr": "tdnnf_embedding",
        },
        part("gradual", channels=2, temporal_units=4, spectral_window=20, rnn_units=4),
        "frame_bce",
        postprocessors=["threshold", "to_events"],
        seed=0,
    )
    save_bundle(pipeline, tmp_path / "detector")
    assert str(bundled_model()) not in (tmp_path / "detector" / "config.json").read_text()
    samples = np.random.default_rng(1).normal(0, 0.1, 32000).astype(np.float32)
    (before,) = pipeline.predict([samples], 16000)
    after = load(tmp_path / "detector").frames(samples, 16000)
    assert np.allclose(after.probabilities, before.frames, atol=1e-5)
