"""Times `log_mel` beside librosa, kaldi-native-fbank and torchaudio: one thread, one run.

    python benchmarks/frontends.py --clips 100 --seconds 10

Every clip goes through every implementation in turn, in an order that rotates from clip to clip, so
that a busy machine slows all of them alike. All read the same float32 samples and give natural-log
mel energies at the same window, hop, FFT size, number of bands and band edges. Differences are
shown where the definitions agree: Kaldi's triangles are linear in mel, the others' in hertz.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

FLOOR = 1e-10
F_MIN = 20.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Compute = Callable[[Any], Any]
"""float32 samples [N] → float32 natural-log mel energies [T, n_mels], both numpy."""


@dataclass(frozen=True)
class Setting:
    """One definition of the features, in samples and hertz."""

    sample_rate: int
    window: int
    hop: int
    n_fft: int
    n_mels: int

    def __str__(self) -> str:
        window, hop = (1000 * n / self.sample_rate for n in (self.window, self.hop))
        return (
            f"{self.sample_rate} Hz, window {window:.4g} ms, hop {hop:.4g} ms, "
            f"n_fft {self.n_fft}, {self.n_mels} bands"
        )


SETTINGS = {
    "speech": Setting(16000, 400, 160, 512, 80),
    "edc": Setting(44100, 1764, 882, 2048, 64),
    "mtfa": Setting(44100, 1764, 882, 2048, 128),
    "gradual": Setting(16000, 320, 160, 512, 40),
}


def log_mel(setting: Setting) -> Compute:
    """Ours, clip by clip."""
    import torch

    from sedsdk.builtin.log_mel import LogMel, LogMelConfig

    frontend = LogMel(
        LogMelConfig(
            sample_rate=setting.sample_rate,
            window_seconds=setting.window / setting.sample_rate,
            hop_seconds=setting.hop / setting.sample_rate,
            n_fft=setting.n_fft,
            n_mels=setting.n_mels,
            f_min=F_MIN,
            floor=FLOOR,
        )
    )

    def compute(samples: Any) -> Any:
        waveform = torch.from_numpy(samples).unsqueeze(0)
        with torch.inference_mode():
            return frontend(waveform, torch.tensor([len(samples)])).values[0].numpy()

    return compute


def librosa(setting: Setting) -> Compute:
    """`librosa.feature.melspectrogram` with a floored logarithm."""
    import librosa
    import numpy as np

    def compute(samples: Any) -> Any:
        energies = librosa.feature.melspectrogram(
            y=samples,
            sr=setting.sample_rate,
            n_fft=setting.n_fft,
            hop_length=setting.hop,
            win_length=setting.window,
            window="hann",
            center=True,
            pad_mode="constant",
            n_mels=setting.n_mels,
            fmin=F_MIN,
            htk=True,
            norm=None,
        )
        return np.log(np.maximum(energies, FLOOR)).T

    return compute


def kaldi_native_fbank(setting: Setting) -> Compute:
    """`kaldi_native_fbank.OnlineFbank`, all frames read into one array."""
    import kaldi_native_fbank
    import numpy as np

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = setting.sample_rate
    options.frame_opts.frame_length_ms = 1000 * setting.window / setting.sample_rate
    options.frame_opts.frame_shift_ms = 1000 * setting.hop / setting.sample_rate
    options.frame_opts.window_type = "hanning"
    options.frame_opts.dither = 0.0
    options.frame_opts.preemph_coeff = 0.0
    options.frame_opts.remove_dc_offset = False
    options.mel_opts.num_bins = setting.n_mels
    options.mel_opts.low_freq = F_MIN

    def compute(samples: Any) -> Any:
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(setting.sample_rate, samples)
        fbank.input_finished()
        return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    return compute


def torchaudio(setting: Setting) -> Compute:
    """`torchaudio.transforms.MelSpectrogram` with a floored logarithm."""
    import torch
    import torchaudio

    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=setting.sample_rate,
        n_fft=setting.n_fft,
        win_length=setting.window,
        hop_length=setting.hop,
        n_mels=setting.n_mels,
        f_min=F_MIN,
        pad_mode="constant",
    )

    def compute(samples: Any) -> Any:
        with torch.inference_mode():
            return transform(torch.from_numpy(samples)).clamp(min=FLOOR).log().T.numpy()

    return compute


IMPLEMENTATIONS: dict[str, Callable[[Setting], Compute]] = {
    "log_mel": log_mel,
    "librosa": librosa,
    "kaldi_native_fbank": kaldi_native_fbank,
    "torchaudio": torchaudio,
}
SAME_DEFINITION = ("librosa", "torchaudio")


def measure(computes: dict[str, Compute], clips: Sequence[Any]) -> dict[str, float]:
    """Returns each implementation's seconds for all clips, after one clip to warm up."""
    for compute in computes.values():
        compute(clips[0])
    seconds = dict.fromkeys(computes, 0.0)
    names = list(computes)
    for index, clip in enumerate(clips):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            begin = time.perf_counter()
            computes[name](clip)
            seconds[name] += time.perf_counter() - begin
    return seconds


def report(setting: Setting, clips: Sequence[Any]) -> None:
    """Measures one setting and prints a table."""
    import numpy as np

    computes = {
        name: make(setting)
        for name, make in IMPLEMENTATIONS.items()
        if name == "log_mel" or find_spec(name) is not None
    }
    seconds = measure(computes, clips)
    audio = sum(len(clip) for clip in clips) / setting.sample_rate
    print(f"\n{setting}")
    print(f"{'':20s} {'seconds':>8s} {'x real time':>12s} {'/ log_mel':>10s} {'difference':>11s}")
    ours = computes["log_mel"](clips[0])
    for name, taken in seconds.items():
        difference = ""
        if name in SAME_DEFINITION:
            difference = f"{np.abs(computes[name](clips[0]) - ours).max():.1e}"
        print(
            f"{name:20s} {taken:8.3f} {audio / taken:12.0f} {taken / seconds['log_mel']:10.2f} "
            f"{difference:>11s}"
        )
    rivals = {name: seconds[name] for name in computes if name in ("librosa", "kaldi_native_fbank")}
    if rivals:
        fastest = min(rivals, key=lambda name: rivals[name])
        ratio = rivals[fastest] / seconds["log_mel"]
        print(f"log_mel is {ratio:.2f} times as fast as {fastest}, the faster of the two rivals.")
    for name in sorted(set(IMPLEMENTATIONS) - set(computes)):
        print(f"{name} is not installed and was left out.")


def main() -> None:
    """Reads the options and prints a table per setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=int, default=100, help="clips of noise (default 100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip (default 10)")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["speech", "edc"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))

    import numpy as np
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(options.seed)
    print(f"{options.clips} clips of {options.seconds:g} s, one thread, torch {torch.__version__}")
    for name in options.settings:
        setting = SETTINGS[name]
        samples = (options.clips, int(options.seconds * setting.sample_rate))
        clips = list((0.1 * random.standard_normal(samples, dtype=np.float32)).clip(-1, 1))
        report(setting, clips)


if __name__ == "__main__":
    main()
