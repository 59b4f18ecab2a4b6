"""The runtime needs neither the training code nor its libraries."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import soundfile

ABSENT = """
    import sys

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {"speechbrain", "torchaudio", "librosa", "sklearn"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Absent())
"""


def run(code: str, *arguments: str) -> str:
    code = textwrap.dedent(ABSENT) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runtime_imports_no_training_and_no_data_code() -> None:
    code = """
        import sys
        import sedsdk
        import sedsdk.runtime.bundle, sedsdk.runtime.detector
        upper = {"training", "data", "evaluation", "plots", "server", "cli"}
        ours = [name.split(".") for name in sys.modules if name.startswith("sedsdk.")]
        print(sorted(names for names in ours if names[1] in upper))
    """
    assert run(code).strip() == "[]"


def test_a_detector_trained_with_augmentation_loads_and_runs_without_speechbrain(
    tmp_path: Path,
) -> None:
    recording = tmp_path / "noise.wav"
    samples = 0.1 * np.random.default_rng(0).standard_normal(44_100)
    soundfile.write(recording, samples, 44_100)
    code = """
        import sys
        import sedsdk
        from sedsdk.runtime.bundle import save_bundle

        pipeline = sedsdk.compose(
            ["a", "b"],
            "log_mel",
            sedsdk.part("crnn", channels=(4,), frequency_pooling=(8,), rnn_units=4),
            "frame_bce",
            conditioners=["spec_augment", "mixup"],
            postprocessors=["threshold", "to_events"],
            host=sedsdk.Host(discover=False),
        )
        save_bundle(pipeline, sys.argv[1])
        detector = sedsdk.load(sys.argv[1], host=sedsdk.Host(discover=False))
        print([conditioner.part for conditioner in detector.config.conditioners])
        print(type(detector(sys.argv[2])).__name__, sorted(detector.tags(sys.argv[2])))
    """
    printed = run(code, str(tmp_path / "model"), str(recording))
    assert printed.splitlines() == [
        "['builtin/spec_augment', 'builtin/mixup']",
        "list ['a', 'b']",
    ]
