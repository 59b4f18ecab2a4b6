from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sedsdk
from sedsdk.builtin import mel_bands
from sedsdk.builtin.log_mel import LogMel, LogMelConfig
from sedsdk.builtin.mel_bands import window_values
from sedsdk.errors import AudioError, ConfigError, TrainingError
from sedsdk.testing import check_part
from sedsdk.testing.subject import Setting
from sedsdk.types import Features, FrameGrid

librosa = pytest.importorskip("librosa", reason='needs librosa: pip install "sedsdk[dev]"')

RATE = 8000
TINY: dict[str, Any] = {
    "sample_rate": 1000,
    "window_seconds": 0.016,
    "hop_seconds": 0.006,
    "n_mels": 3,
    "compression": "log1p",
}
REAL = Path(__file__).resolve().parents[2] / "../shared/real"


def noise(*shape: int, seed: int = 0, scale: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def made(**options: Any) -> LogMel:
    return LogMel(LogMelConfig(**{"sample_rate": RATE, "n_mels": 20, **options}))


def one(frontend: LogMel, samples: np.ndarray) -> np.ndarray:
    features = frontend(torch.from_numpy(samples).unsqueeze(0), torch.tensor([len(samples)]))
    assert features.lengths.tolist() == [features.values.shape[1]]
    return np.asarray(features.values[0])


def librosa_mel(samples: np.ndarray, config: LogMelConfig) -> np.ndarray:
    return np.asarray(
        librosa.feature.melspectrogram(
            y=samples,
            sr=config.sample_rate,
            n_fft=config.fft_size,
            hop_length=config.hop_samples,
            win_length=config.window_samples,
            window={"rectangular": "boxcar"}.get(config.window, config.window),
            center=config.center,
            pad_mode="constant",
            power=config.power,
            n_mels=config.n_mels,
            fmin=config.f_min,
            fmax=config.f_max,
            htk=config.mel_scale == "htk",
            norm="slaney" if config.area_norm else None,
        ).T
    )


class TestAgreesWithLibrosa:
    @pytest.mark.parametrize(
        ("window", "mel_scale", "area_norm", "power"),
        product(("hann", "hamming", "rectangular"), ("htk", "slaney"), (False, True), (1, 2)),
    )
    def test_energies(self, window: Any, mel_scale: Any, area_norm: bool, power: Any) -> None:
        frontend = made(
            window=window,
            mel_scale=mel_scale,
            area_norm=area_norm,
            power=power,
            compression="none",
            f_min=50.0,
            f_max=3500.0,
        )
        samples = noise(RATE + 37)
        expected = librosa_mel(samples, frontend.config)
        np.testing.assert_allclose(one(frontend, samples), expected, rtol=1e-4)

    @pytest.mark.parametrize(
        "options",
        [
            {"window_seconds": 0.032, "n_fft": 256, "center": False},
            {"window_seconds": 0.025, "hop_seconds": 0.01, "n_fft": 1024},
            {"window_seconds": 0.020125, "hop_seconds": 0.007},
            {"window_seconds": 0.01, "hop_seconds": 0.05, "n_mels": 5},
            {"sample_rate": 44100, "n_mels": 128},
        ],
        ids=["not centred", "zero-padded window", "odd window", "hop over window", "mtfa"],
    )
    def test_framing(self, options: dict[str, Any]) -> None:
        frontend = made(**options)
        samples = noise(frontend.sample_rate // 2 + 11)
        expected = np.log(np.maximum(librosa_mel(samples, frontend.config), 1e-10))
        np.testing.assert_allclose(one(frontend, samples), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("power", [1, 2])
    def test_decibels(self, power: Any) -> None:
        frontend = made(compression="db", power=power, floor=1e-3)
        samples = noise(RATE) * np.linspace(0, 1, RATE, dtype=np.float32)
        mel = librosa_mel(samples, frontend.config)
        to_decibels = librosa.power_to_db if power == 2 else librosa.amplitude_to_db
        expected = to_decibels(mel, ref=1.0, amin=1e-3, top_db=None)
        np.testing.assert_allclose(one(frontend, samples), expected, rtol=1e-4, atol=1e-4)

    def test_log1p(self) -> None:
        frontend = made(compression="log1p", log_factor=10000.0)
        samples = noise(RATE)
        expected = np.log(1 + 10000 * librosa_mel(samples, frontend.config).astype(np.float64))
        np.testing.assert_allclose(one(frontend, samples), expected, rtol=1e-4)

    def test_floor(self) -> None:
        frontend = made(floor=1e-6)
        assert one(frontend, np.zeros(RATE, np.float32)) == pytest.approx(math.log(1e-6))

    def test_real_recording(self) -> None:
        """Speech made at 8 kHz has bands at 44.1 kHz that lie 130 dB below its loudest."""
        recordings = sorted((REAL / "speech").rglob("*.flac"))
        if not recordings:
            pytest.skip("needs the folder shared/real beside the checkout")
        frontend = LogMel(LogMelConfig(f_min=50.0, floor=1e-15))
        for recording in recordings[:: len(recordings) // 4]:
            samples, _ = librosa.load(recording, sr=44100, duration=2.0)
            expected = np.log(np.maximum(librosa_mel(samples, frontend.config), 1e-15))
            assert np.ptp(expected) > 20
            np.testing.assert_allclose(one(frontend, samples), expected, rtol=1e-4, atol=1e-5)


class TestFrames:
    @pytest.mark.parametrize(
        ("options", "seconds", "frames"),
        [
            ({}, 30, 1501),
            ({"drop_last": True}, 10, 500),
            ({"drop_last": True}, 4, 200),
            ({"hop_seconds": 492 / 44100, "drop_last": True}, 10, 896),
            ({"center": False}, 10, 499),
            ({"hop_seconds": 0.01, "average_frames": 5, "drop_last": True}, 10, 200),
        ],
        ids=["mtfa", "edc", "chime", "mmnet", "kaldi", "gradual"],
    )
    def test_counts_of_the_papers(self, options: dict[str, Any], seconds: int, frames: int) -> None:
        assert LogMel(LogMelConfig(**options)).frame_count(seconds * 44100) == frames

    def test_counts_of_kaldi(self) -> None:
        knf = pytest.importorskip(
            "kaldi_native_fbank", reason='needs kaldi-native-fbank: pip install "sedsdk[dev]"'
        )
        options = knf.FbankOptions()
        options.frame_opts.samp_freq = RATE
        frontend = made(window_seconds=0.025, hop_seconds=0.01, center=False)
        for n_samples in (200, 279, 280, 281, 5000):
            fbank = knf.OnlineFbank(options)
            fbank.accept_waveform(RATE, noise(n_samples))
            fbank.input_finished()
            assert frontend.frame_count(n_samples) == fbank.num_frames_ready

    @pytest.mark.parametrize(
        ("options", "grid"),
        [
            ({}, FrameGrid(0.02, 0.0)),
            ({"center": False}, FrameGrid(0.02, 0.02)),
            ({"average_frames": 5}, FrameGrid(0.1, 0.04)),
            ({"average_frames": 2, "center": False}, FrameGrid(0.04, 0.03)),
            ({"hop_seconds": 0.0101}, FrameGrid(81 / RATE, 0.0)),
        ],
    )
    def test_grid(self, options: dict[str, Any], grid: FrameGrid) -> None:
        got = made(**options).spec.grid
        assert got.hop_seconds == pytest.approx(grid.hop_seconds)
        assert got.first_seconds == pytest.approx(grid.first_seconds)

    @pytest.mark.parametrize("center", [True, False])
    def test_click_lies_in_its_frame(self, center: bool) -> None:
        frontend = made(center=center, compression="none", hop_seconds=0.01)
        samples = np.zeros(RATE, np.float32)
        samples[4000] = 1.0
        loudest = int(one(frontend, samples).sum(1).argmax())
        assert frontend.spec.grid.times(loudest + 1)[-1] == pytest.approx(0.5, abs=0.005)

    @pytest.mark.parametrize("power", [1, 2])
    def test_many_blocks_are_one(self, monkeypatch: pytest.MonkeyPatch, power: Any) -> None:
        frontend = made(power=power)
        waveforms = torch.from_numpy(noise(2, RATE))
        lengths = torch.tensor([RATE, RATE // 3])
        expected = frontend(waveforms, lengths).values
        monkeypatch.setattr(mel_bands, "CPU_BLOCK_VALUES", 3 * frontend.config.fft_size)
        monkeypatch.setattr(mel_bands, "DEVICE_BLOCK_VALUES", 7 * 2 * frontend.config.fft_size)
        torch.testing.assert_close(frontend(waveforms, lengths).values, expected)
        differentiable = frontend(waveforms.requires_grad_(), lengths).values
        assert differentiable.requires_grad
        torch.testing.assert_close(differentiable.detach(), expected, rtol=1e-4, atol=1e-4)


class TestWindows:
    @pytest.mark.parametrize("size", [1, 2, 7, 400])
    def test_symmetric_ones_are_numpys(self, size: int) -> None:
        np.testing.assert_allclose(
            window_values("hann", size, periodic=False), np.hanning(size), atol=1e-15
        )
        np.testing.assert_allclose(
            window_values("hamming", size, periodic=False), np.hamming(size), atol=1e-15
        )

    def test_povey_is_a_power_of_hann(self) -> None:
        expected = np.hanning(401) ** 0.85
        np.testing.assert_allclose(window_values("povey", 401, periodic=False), expected)

    def test_unknown(self) -> None:
        with pytest.raises(ConfigError, match='Did you mean "hann"'):
            window_values("han", 4)  # type: ignore[arg-type]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"power": 1, "compression": "db", "center": False},
    {"normalise": "min_max", "average_frames": 3, "context_frames": 2, "drop_last": True},
    {"normalise": "band", "compression": "log1p", "context_frames": 1},
]


class TestLaws:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_conforms(self, options: dict[str, Any]) -> None:
        # A click moves the extremes that min_max scales every frame by.
        everywhere = options.get("normalise") == "min_max"
        check_part(
            "frontend", "log_mel", options, setting=Setting(grid_hops=1e6 if everywhere else 1.5)
        )

    @given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(0, 3), st.data())
    @settings(max_examples=30, deadline=None)
    def test_padding_and_neighbours_never_show(
        self, lengths: list[int], index: int, data: st.DataObject
    ) -> None:
        frontend = LogMel(LogMelConfig(**{**TINY, **OPTIONS[index], "n_mels": 3}))
        waveforms = torch.from_numpy(noise(len(lengths), max(lengths) + 50, seed=len(lengths)))
        if frontend.needs_fit:
            frontend.fit([(waveforms, torch.tensor(lengths))])
        for clip, length in enumerate(lengths):
            waveforms[clip, length:] = data.draw(st.sampled_from([0.0, 1.0, math.nan, math.inf]))
        for gradient in (False, True):
            batch = waveforms.clone().requires_grad_(gradient)
            together = frontend(batch, torch.tensor(lengths)).values.detach()
            for clip, length in enumerate(lengths):
                alone = one(frontend, waveforms[clip, :length].numpy())
                count = frontend.frame_count(length)
                torch.testing.assert_close(
                    together[clip, :count], torch.from_numpy(alone), rtol=1e-5, atol=1e-5
                )
                assert not together[clip, count:].any()

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_one_sample_is_one_frame(self, options: dict[str, Any]) -> None:
        frontend = made(**options)
        if frontend.needs_fit:
            frontend.fit([(torch.from_numpy(noise(1, RATE)), torch.tensor([RATE]))])
        values = one(frontend, np.array([0.5], np.float32))
        assert values.shape == (1, frontend.spec.size)
        assert np.isfinite(values).all()

    @pytest.mark.parametrize("options", [*OPTIONS, {"compression": "none"}], ids=str)
    def test_gradient(self, options: dict[str, Any]) -> None:
        frontend = LogMel(LogMelConfig(**{**TINY, **options, "n_mels": 3})).double()
        waveforms = torch.from_numpy(noise(2, 40).astype(np.float64))
        lengths = torch.tensor([40, 23])
        if frontend.needs_fit:
            frontend.fit([(waveforms, lengths)])
        assert torch.autograd.gradcheck(
            lambda x: frontend(x, lengths).values, waveforms.requires_grad_()
        )

    def test_autocast_keeps_precision(self) -> None:
        frontend, samples = made(), noise(RATE)
        expected = one(frontend, samples)
        with torch.autocast("cpu", torch.bfloat16):
            np.testing.assert_array_equal(one(frontend, samples), expected)


class TestAdditivity:
    def test_energies_then_compress_is_forward(self) -> None:
        frontend = made(normalise="min_max", average_frames=2, context_frames=1)
        waveforms, lengths = torch.from_numpy(noise(2, RATE)), torch.tensor([RATE, 3000])
        energies = frontend.energies(waveforms, lengths)
        kept = energies.values.clone()
        got = frontend.compress(energies)
        expected = frontend(waveforms, lengths)
        torch.testing.assert_close(got.values, expected.values)
        assert got.lengths.tolist() == expected.lengths.tolist()
        assert got.grid == expected.grid == frontend.spec.grid
        assert torch.equal(energies.values, kept)
        assert energies.grid == frontend.energy_spec.grid
        assert energies.values.shape[2] == frontend.energy_spec.size

    def test_parallelogram(self) -> None:
        """|X + Y|² and |X − Y|² average to |X|² + |Y|²: in expectation, energies add."""
        frontend = made()
        first, second = noise(1, RATE, seed=1), noise(1, RATE, seed=2)

        def energy(samples: np.ndarray) -> torch.Tensor:
            return frontend.energies(torch.from_numpy(samples), torch.tensor([RATE])).values

        mixed = (energy(first + second) + energy(first - second)) / 2
        torch.testing.assert_close(mixed, energy(first) + energy(second), rtol=1e-4, atol=1e-6)

    def test_magnitudes_are_not_additive(self) -> None:
        frontend = made(power=1)
        assert frontend.additive is False
        with pytest.raises(NotImplementedError, match="Set power = 2"):
            frontend.energies(torch.zeros(1, 9), torch.tensor([9]))
        with pytest.raises(NotImplementedError, match="Set power = 2"):
            _ = frontend.energy_spec


class TestShaping:
    def test_average_joins_what_is_there(self) -> None:
        lengths = [1600, 1120]  # 11 and 8 frames
        waveforms = torch.from_numpy(noise(2, 1600))
        plain = made()(waveforms, torch.tensor(lengths))
        joined = made(average_frames=5)(waveforms, torch.tensor(lengths))
        assert plain.lengths.tolist() == [11, 8]
        assert joined.lengths.tolist() == [3, 2]
        for clip, count in enumerate([11, 8]):
            frames = np.asarray(plain.values[clip, :count])
            expected = np.stack([frames[i : i + 5].mean(0) for i in range(0, count, 5)])
            got = np.asarray(joined.values[clip, : len(expected)])
            np.testing.assert_allclose(got, expected, rtol=1e-5)

    def test_stacking_repeats_the_clips_own_ends(self) -> None:
        lengths = torch.tensor([1600, 640])
        waveforms = torch.from_numpy(noise(2, 1600))
        plain = made()(waveforms, lengths)
        stacked = made(context_frames=2)(waveforms, lengths)
        assert stacked.values.shape[2] == made(context_frames=2).spec.size == 100
        for clip, count in enumerate(plain.lengths.tolist()):
            frames = np.asarray(plain.values[clip, :count])
            padded = np.pad(frames, ((2, 2), (0, 0)), mode="edge")
            expected = np.concatenate([padded[k : k + count] for k in range(5)], axis=1)
            np.testing.assert_array_equal(np.asarray(stacked.values[clip, :count]), expected)

    def test_min_max_is_per_clip(self) -> None:
        lengths = torch.tensor([1600, 640])
        waveforms = torch.from_numpy(noise(2, 1600) * np.float32([[1], [0.01]]))
        plain = made()(waveforms, lengths)
        scaled = made(normalise="min_max")(waveforms, lengths)
        for clip, count in enumerate(plain.lengths.tolist()):
            frames = np.asarray(plain.values[clip, :count])
            expected = (frames - frames.min()) / (frames.max() - frames.min())
            got = np.asarray(scaled.values[clip, :count])
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)

    def test_min_max_of_silence_is_zero(self) -> None:
        assert not one(made(normalise="min_max"), np.zeros(RATE, np.float32)).any()


class TestFit:
    @staticmethod
    def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
        first = torch.from_numpy(noise(2, RATE, seed=1) * 0.1)
        return [
            (first, torch.tensor([RATE, 2000])),
            (torch.from_numpy(noise(1, 3000, seed=2)), torch.tensor([3000])),
        ]

    @classmethod
    def frames(cls, **options: Any) -> np.ndarray:
        rows = [
            one(made(**options), wave[clip, : int(lengths[clip])].numpy())
            for wave, lengths in cls.batches()
            for clip in range(len(lengths))
        ]
        return np.concatenate(rows).astype(np.float64)

    @pytest.mark.parametrize("options", [{}, {"power": 1, "compression": "log1p"}], ids=str)
    def test_mean_and_deviation_of_training_frames(self, options: dict[str, Any]) -> None:
        frontend = made(normalise="band", **options)
        assert frontend.needs_fit
        frontend.fit(self.batches())
        assert not frontend.needs_fit
        frames = self.frames(**options)
        np.testing.assert_allclose(frontend.mean.numpy(), frames.mean(0), rtol=1e-5)
        np.testing.assert_allclose(frontend.deviation.numpy(), frames.std(0), rtol=1e-5)
        wave, lengths = self.batches()[1]
        plain = made(**options)(wave, lengths).values.double().numpy()
        expected = (plain - frames.mean(0)) / frames.std(0)
        got = frontend(wave, lengths).values.numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

    def test_from_energies(self) -> None:
        direct, indirect = made(normalise="band"), made(normalise="band")
        direct.fit(self.batches())
        indirect.fit_energies([indirect.energies(*batch) for batch in self.batches()])
        torch.testing.assert_close(indirect.mean, direct.mean)
        torch.testing.assert_close(indirect.deviation, direct.deviation)

    def test_small_deviations_around_a_large_mean(self) -> None:
        frontend = made(normalise="band", compression="none", n_mels=2)
        random = np.random.default_rng(0)
        values = 1e4 + random.standard_normal((50, 40, 2))
        batches = [
            Features(torch.from_numpy(v[None]), torch.tensor([40]), FrameGrid(0.02)) for v in values
        ]
        frontend.fit_energies(batches)
        expected = values.reshape(-1, 2).std(0)
        np.testing.assert_allclose(frontend.deviation.numpy(), expected, rtol=1e-6)

    def test_zero_padding_in_the_files_is_left_out(self) -> None:
        padded = torch.cat([torch.from_numpy(noise(1, RATE)), torch.zeros(1, 5 * RATE)], dim=1)
        frontend = made(normalise="band")
        frontend.fit([(padded, torch.tensor([6 * RATE]))])
        sounding = one(made(), padded[0].numpy())
        sounding = sounding[(sounding > math.log(2e-10)).any(1)].astype(np.float64)
        np.testing.assert_allclose(frontend.mean.numpy(), sounding.mean(0), rtol=1e-5)
        everything = made(normalise="band", skip_silence=False)
        everything.fit([(padded, torch.tensor([6 * RATE]))])
        assert bool((everything.mean < frontend.mean - 5).all())

    def test_constant_band_is_only_centred(self) -> None:
        frontend = made(normalise="band", skip_silence=False)
        frontend.fit([(torch.zeros(1, RATE), torch.tensor([RATE]))])
        assert not one(frontend, np.zeros(RATE, np.float32)).any()

    def test_is_saved_with_the_model(self) -> None:
        frontend, again = made(normalise="band"), made(normalise="band")
        frontend.fit(self.batches())
        assert set(frontend.state_dict()) == {"mean", "deviation", "fitted"}
        again.load_state_dict(frontend.state_dict())
        assert not again.needs_fit
        samples = noise(900)
        np.testing.assert_array_equal(one(again, samples), one(frontend, samples))

    def test_without_band_nothing_is_fitted_or_saved(self) -> None:
        frontend = made()

        def untouched() -> Any:
            raise AssertionError("training audio was read for nothing")
            yield

        frontend.fit(untouched())
        assert not frontend.needs_fit
        assert not frontend.state_dict()

    def test_unfitted_is_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"has not been fitted\. Call fit"):
            one(made(normalise="band"), noise(RATE))

    @pytest.mark.parametrize(
        ("samples", "message"), [(0.0, "digital silence"), (math.nan, "NaN or infinite")]
    )
    def test_unusable_training_audio(self, samples: float, message: str) -> None:
        with pytest.raises(TrainingError, match=message):
            made(normalise="band").fit([(torch.full((1, RATE), samples), torch.tensor([RATE]))])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_fft": 1024}, r"n_fft = 1024 is shorter than the window of 0\.04 s, 1764 samples"),
            ({"f_max": 30000.0}, "f_max = 30000 must lie .* 22050 Hz"),
            ({"f_min": 900.0, "f_max": 800.0}, "f_min = 900 and f_max = 800"),
            ({"hop_seconds": 1e-6}, "hop_seconds = 1e-06 is below one sample"),
            ({"n_mels": 900}, "n_mels = 900: .* hold no FFT bin"),
            ({"n_mels": 0}, "n_mels = 0: .*greater than 0"),
            ({"floor": 0.0}, "floor = 0.0: .*greater than or equal to"),
            ({"hop_seconds": math.inf}, "hop_seconds = inf"),
            ({"power": 3}, "power = 3: .*1 or 2"),
            ({"n_mel": 64}, 'unknown field "n_mel".*Did you mean "n_mels"'),
        ],
        ids=lambda value: str(value)[:24],
    )
    def test_config(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            sedsdk.part("log_mel", **options).resolve("frontend", sedsdk.Host(discover=False))

    @pytest.mark.parametrize(
        ("shape", "lengths", "message"),
        [
            ((1, 100), [0], "clip 0 is said to have 0 samples"),
            ((2, 100), [100, 101], "clip 1 is said to have 101 samples"),
            ((100,), [100], r"reads waveforms \[B, N\]"),
            ((2, 100), [100], r"lengths \[B\]"),
            ((0, 100), [], "at least one clip"),
        ],
    )
    def test_waveforms(self, shape: tuple[int, ...], lengths: list[int], message: str) -> None:
        with pytest.raises(AudioError, match=message):
            made()(torch.zeros(shape), torch.tensor(lengths, dtype=torch.int64))
