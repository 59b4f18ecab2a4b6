"""Features against Kaldi's own, against plain float64 NumPy, and block by block."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_features import features as plain

from kaldi_bridge.errors import KaldiFileError, MissingLibrary, NotSupported, ShapeError
from kaldi_bridge.features import FeatureOptions, FeatureStream, compute_features

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden/kaldi"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="needs the golden files of Kaldi in ../shared/golden/kaldi"
)
pytest.importorskip("kaldi_native_fbank", reason="needs kaldi-native-fbank: sedsdk[kaldi]")

HIRES = {"num_mel_bins": 40, "num_ceps": 40, "use_energy": False, "high_freq": -400.0}
SETS = {
    "mfcc_hires": HIRES,
    "mfcc_hires_nosnip": {**HIRES, "snip_edges": False},
    "mfcc_default13": {},
    "fbank80": {"kind": "fbank", "num_mel_bins": 80},
    "fbank40": {"kind": "fbank", "num_mel_bins": 40},
}
RECIPES = {
    "mfcc 40 at 16 kHz (LibriSpeech, TED-LIUM)": HIRES,
    "mfcc 80 at 16 kHz (AMI)": {**HIRES, "num_mel_bins": 80, "num_ceps": 80},
    "mfcc 40 at 8 kHz (Switchboard, Fisher, ASpIRE)": {
        **HIRES,
        "sample_frequency": 8000.0,
        "low_freq": 40.0,
        "high_freq": -200.0,
    },
    "mfcc 13 at 8 kHz": {"sample_frequency": 8000.0},
    "fbank 40 at 8 kHz": {"kind": "fbank", "num_mel_bins": 40, "sample_frequency": 8000.0},
}


def options(kind="mfcc", **values):
    return FeatureOptions(kind, dither=0.0, **values)


def noise(n, seed=0, level=0.1):
    return (np.random.default_rng(seed).standard_normal(n) * level).astype(np.float32)


def speech(path):
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16000
    return samples


class TestKaldisOwn:
    @needs_golden
    @pytest.mark.parametrize("name", SETS)
    def test_the_golden_recordings(self, name):
        with np.load(GOLDEN / f"feats/{name}.npz") as stored:
            for utterance in stored.files:
                expected = stored[utterance]
                rows = compute_features(
                    speech(GOLDEN / f"wav/{utterance}.wav"), options(**SETS[name])
                )
                assert rows.shape == expected.shape
                assert rows.dtype == np.float32
                wrong = np.abs(rows - expected)
                if utterance == "utt1":
                    # Its near silent frames hold bands 100 dB below their peak. Float64 is up to
                    # 1.3e-2 from Kaldi there, Kaldi's float32 noise; the library has noise too.
                    assert np.quantile(wrong, 0.99) < 1e-3
                    assert wrong.max() < 2.6e-2
                else:
                    assert wrong.max() < 6e-4

    @needs_golden
    def test_the_long_recording_from_its_conf_file(self):
        hires = FeatureOptions.read(GOLDEN / "conf/mfcc_hires.conf")
        assert hires == options(**HIRES)
        with np.load(GOLDEN / "long/mfcc_hires.npz") as stored:
            expected = stored["utt5"]
        wave = speech(GOLDEN / "long/utt5.wav")
        wrong = np.abs(compute_features(wave, hires) - expected)
        # As far as float64 is from Kaldi (1.2e-3), and as much again for the library's noise.
        assert wrong.max() < 2.5e-3
        assert np.quantile(wrong, 0.99) < 5e-4
        in_float64 = plain(wave, **HIRES)
        assert wrong.max() < np.abs(in_float64 - expected).max() + 1e-3

    @needs_golden
    def test_digital_silence_hits_the_floor(self):
        logs = compute_features(speech(GOLDEN / "wav/utt1.wav"), options(**SETS["fbank40"]))
        silent = (logs == np.float32(np.log(2.0**-23))).all(axis=1)
        assert silent.sum() == 3


class TestPlainFloat64:
    @pytest.mark.parametrize("name", RECIPES)
    def test_the_recipes_confs(self, name):
        wave = noise(12_345)
        rows = compute_features(wave, options(**RECIPES[name]))
        expected = plain(wave, **RECIPES[name])
        assert rows.shape == expected.shape
        assert np.abs(rows - expected).max() < 1e-3

    @settings(max_examples=200)
    @given(
        kind=st.sampled_from(["mfcc", "fbank"]),
        shared=st.fixed_dictionaries(
            {
                "sample_frequency": st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
                "frame_length": st.sampled_from([5.0, 12.5, 20.0, 25.0, 32.0]),
                "frame_shift": st.sampled_from([3.3, 5.0, 10.0, 12.5, 40.0, 60.0]),
                "preemphasis_coefficient": st.sampled_from([0.0, 0.5, 0.97]),
                "remove_dc_offset": st.booleans(),
                "window_type": st.sampled_from(
                    ["povey", "hamming", "hanning", "rectangular", "blackman", "sine"]
                ),
                "round_to_power_of_two": st.booleans(),
                "snip_edges": st.booleans(),
                "num_mel_bins": st.sampled_from([15, 23, 40]),
                "low_freq": st.sampled_from([0.0, 20.0, 40.0]),
                "high_freq": st.sampled_from([0.0, -200.0, 3700.0]),
                "use_energy": st.sampled_from([None, True, False]),
                "energy_floor": st.sampled_from([0.0, 1.0, 1e9]),
                "raw_energy": st.booleans(),
                "htk_compat": st.booleans(),
            }
        ),
        cepstra=st.fixed_dictionaries(
            {
                "num_ceps": st.sampled_from([1, 9, 15]),
                "cepstral_lifter": st.sampled_from([0.0, 10.0, 22.0]),
            }
        ),
        bands=st.fixed_dictionaries({"use_log_fbank": st.booleans(), "use_power": st.booleans()}),
        n=st.sampled_from([1, 2, 79, 80, 81, 199, 200, 201, 399, 400, 401, 2345]),
        blocks=st.lists(st.integers(0, 700), max_size=8),
        seed=st.integers(0, 2**31),
    )
    def test_every_option_and_any_blocks(self, kind, shared, cepstra, bands, n, blocks, seed):
        values = {**shared, **(cepstra if kind == "mfcc" else bands)}
        try:
            wanted = options(kind, **values)
        except ShapeError as problem:
            assume("--num-mel-bins" not in str(problem) and "--round-to" not in str(problem))
            raise
        wave = noise(n, seed)
        rows = compute_features(wave, wanted)
        expected = plain(wave, kind, **values)
        assert rows.shape == expected.shape == (wanted.frame_count(n), wanted.feature_dim)
        if kind == "fbank" and not values["use_log_fbank"]:
            np.testing.assert_allclose(
                rows, expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max(initial=0)
            )
        else:
            np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-3)

        stream, given_out, at = FeatureStream(wanted), [], 0
        for size in blocks:
            given_out.append(stream.push(wave[at : at + size]))
            at += size
        given_out += [stream.push(wave[at:]), stream.finish()]
        np.testing.assert_array_equal(np.concatenate(given_out), rows)

    def test_a_tone_is_loudest_in_the_band_around_it(self):
        seconds = np.arange(16_000) / 16_000
        bank = options("fbank", num_mel_bins=40)
        mels = 1127 * np.log(1 + np.array([20, 8000, 1000]) / 700)
        band = (mels[2] - mels[0]) / (mels[1] - mels[0]) * 41 - 1
        rows = compute_features(0.5 * np.sin(2 * np.pi * 1000 * seconds), bank)
        assert set(rows.argmax(axis=1)) == {round(band)}


class TestStream:
    def test_a_row_comes_with_its_last_sample(self):
        stream, wave = FeatureStream(options()), noise(1000)
        assert len(stream.push(wave[:399])) == 0
        assert len(stream.push(wave[399:400])) == 1
        assert len(stream.push(wave[400:559])) == 0
        assert len(stream.push(wave[559:])) == 3
        assert len(stream.finish()) == 0

    def test_without_snipping_the_end_brings_the_mirrored_rows(self):
        stream, wave = FeatureStream(options(snip_edges=False)), noise(1600)
        given_out = len(stream.push(wave))
        # Frame k ends at sample 160 k + 80 + 200: only the last of ten waits for the end.
        assert (given_out, len(stream.finish())) == (9, 1)

    def test_blocks_beyond_the_inner_block(self):
        wave = noise(200_000)
        whole = compute_features(wave, options())
        stream = FeatureStream(options())
        rows = [stream.push(wave[:150_000]), stream.push(wave[150_000:]), stream.finish()]
        np.testing.assert_array_equal(np.concatenate(rows), whole)

    def test_a_finished_stream_says_so(self):
        stream = FeatureStream(options())
        stream.finish()
        with pytest.raises(ShapeError, match="make a new FeatureStream"):
            stream.push(noise(10))
        with pytest.raises(ShapeError, match="make a new FeatureStream"):
            stream.finish()

    def test_a_refused_block_changes_nothing(self):
        stream, wave = FeatureStream(options()), noise(4000)
        rows = [stream.push(wave[:2000])]
        with pytest.raises(ShapeError):
            stream.push(np.full(100, np.nan, np.float32))
        rows += [stream.push(wave[2000:]), stream.finish()]
        np.testing.assert_array_equal(np.concatenate(rows), compute_features(wave, options()))

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc (Linux)")
    def test_memory_does_not_grow_with_the_recording(self):
        def resident():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")

        # 8 minutes in steps of 1 ms are 480 000 rows, about 50 MB if the library kept them.
        stream = FeatureStream(options("fbank", frame_shift=1.0, frame_length=4.0, num_mel_bins=15))
        minute = noise(16_000 * 60)
        stream.push(minute)
        before = resident()
        rows = sum(len(stream.push(minute)) for _ in range(7))
        assert rows == 7 * 60_000
        assert resident() - before < 20e6


class TestSamples:
    def test_no_frame_gives_no_rows_of_the_right_width(self):
        for n in (0, 1, 399):
            assert compute_features(noise(n), options(**HIRES)).shape == (0, 40)
        assert compute_features(noise(79), options(snip_edges=False)).shape == (0, 13)
        assert compute_features(noise(80), options(snip_edges=False)).shape == (1, 13)

    def test_other_float_types_are_taken(self):
        wave = noise(1000).astype(np.float16)
        rows = compute_features(wave, options())
        np.testing.assert_array_equal(compute_features(wave.astype(np.float64), options()), rows)
        np.testing.assert_array_equal(compute_features(wave.tolist(), options()), rows)

    def test_strided_and_read_only_samples_are_taken(self):
        stereo = np.stack([noise(1000), noise(1000, seed=1)], axis=1)
        stereo.flags.writeable = False
        rows = compute_features(stereo[:, 0], options())
        np.testing.assert_array_equal(rows, compute_features(stereo[:, 0].copy(), options()))

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
    def test_nan_and_infinity(self, wrong):
        wave = noise(1000).astype(np.float64)
        wave[500] = wrong
        with pytest.raises(ShapeError, match="NaN or infinite"):
            compute_features(wave, options())

    def test_integers_and_their_scale(self):
        with pytest.raises(ShapeError, match="got int16: divide 16-bit samples by 32768"):
            compute_features(np.zeros(1000, np.int16), options())
        with pytest.raises(ShapeError, match=r"got 3000: divide 16-bit samples by 32768"):
            compute_features(np.full(1000, 3000.0), options())

    @pytest.mark.parametrize("shape", [(1, 1000), (1000, 2), ()])
    def test_more_or_fewer_axes(self, shape):
        with pytest.raises(ShapeError, match="one channel"):
            compute_features(np.zeros(shape, np.float32), options())

    def test_what_is_no_array(self):
        for wrong in ([[0.1], [0.1, 0.2]], ["a"], None):
            with pytest.raises(ShapeError):
                compute_features(wrong, options())


class TestDither:
    def test_kaldis_default_is_random_and_can_be_switched_off(self):
        assert FeatureOptions().dither == 1.0
        assert FeatureOptions().without_dither() == options()
        silence = np.zeros(16_000, np.float32)
        rows = compute_features(silence, FeatureOptions())
        # Noise of variance 1 in each of 400 samples, its mean taken out: 399 in all.
        assert abs(np.exp(rows[:, 0]).mean() - 399) < 40
        assert (compute_features(silence, options())[:, 0] == np.log(np.float32(2**-23))).all()


class TestOptions:
    @pytest.fixture
    def read(self, tmp_path):
        def read(text, *args, **kwargs):
            (tmp_path / "some.conf").write_text(text)
            return FeatureOptions.read(tmp_path / "some.conf", *args, **kwargs)

        return read

    def test_defaults_are_kaldis(self, read):
        for kind, energy in (("mfcc", True), ("fbank", False)):
            empty = read("", kind)
            assert empty == FeatureOptions(kind)
            assert (empty.use_energy, empty.dither, empty.num_mel_bins) == (energy, 1.0, 23)
            assert (empty.window_samples, empty.shift_samples, empty.fft_size) == (400, 160, 512)

    def test_every_key_reaches_its_field(self, read):
        text = (
            "--sample-frequency=8000\n--frame-length=20\n--frame-shift=5\n--dither=0.5\n"
            "--preemphasis-coefficient=0.9\n--remove-dc-offset=false\n--window-type=hamming\n"
            "--round-to-power-of-two=false\n--blackman-coeff=0.4\n--snip-edges=false\n"
            "--num-mel-bins=20\n--low-freq=30\n--high-freq=-100\n--num-ceps=12\n"
            "--use-energy=false\n--energy-floor=1\n--raw-energy=false\n--cepstral-lifter=10\n"
            "--htk-compat=true\n"
        )
        assert read(text) == FeatureOptions(
            "mfcc", 8000.0, 20.0, 5.0, 0.9, False, 0.5, "hamming", False, 0.4, False, 20,
            30.0, -100.0, 12, False, 1.0, False, 10.0, True,
        )  # fmt: skip
        bank = read("--use-log-fbank=false\n--use_power=false\n", "fbank")
        assert bank == FeatureOptions("fbank", use_log_fbank=False, use_power=False)

    def test_dither_can_be_put_in_place_of_the_files(self, read):
        assert read("--dither=2\n", dither=0.0).dither == 0.0
        assert read("--dither=2\n").dither == 2.0

    def test_keys_without_effect_are_taken(self, read):
        text = (
            "--vtln-low=60\n--vtln-high=-500\n--vtln-warp=1.0\n--allow-downsample=true\n"
            "--allow-upsample=true\n--max-feature-vectors=1000\n--channel=-1\n"
            "--subtract-mean=false\n--output-format=kaldi\n--min-duration=0.1\n--verbose=2\n"
        )
        assert read(text) == FeatureOptions()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("--num-mel-bin=40", "Did you mean --num-mel-bins"),
            ("--use-power=true", "an option of fbank features"),
            ("--vtln-warp=0.9", "must be 1: vocal-tract warping is not computed"),
            ("--vtln-map=ark:x", "vocal-tract warping is not computed"),
            ("--subtract-mean", "subtract it afterwards"),
            ("--channel=1", "hand over the samples of the channel"),
            ("--output-format=htk", "must be kaldi"),
            ("--config=other.conf", "copy the lines of that file"),
            ("--window-type=hann", "must be one of povey, hamming"),
            ("--frame-length=abc", "must be a finite number"),
            ("--num-ceps=14.5", "must be a whole number"),
            ("--sample-frequency=0", "--sample-frequency must be a whole number of hertz above 0"),
            ("--sample-frequency=11025.5", "whole number of hertz"),
            ("--frame-length=0.01", "makes frames of 0 samples"),
            ("--frame-length=1e9", "frames of 16000000000 samples"),
            ("--frame-shift=0.01", "is a step of 0 samples"),
            ("--frame-length=0.32", "too many: a band"),
            ("--num-mel-bins=2", "must be 3 or more"),
            ("--num-mel-bins=200", "--num-mel-bins=200 is too many"),
            ("--num-mel-bins=2000000000", "is too many"),
            ("--num-ceps=24", "must be from 1 to --num-mel-bins=23"),
            ("--num-ceps=0", "must be from 1"),
            ("--high-freq=8001", "between 0 and 8000 Hz"),
            ("--high-freq=-8000", "between 0 and 8000 Hz"),
            ("--low-freq=-1", "between 0 and 8000 Hz"),
            ("--low-freq=8000", "between 0 and 8000 Hz"),
            ("--preemphasis-coefficient=1.5", "must be from 0 to 1"),
            ("--dither=-1", "--dither must be 0 or more"),
        ],
    )
    def test_what_cannot_be_is_refused_with_its_line(self, read, text, message):
        with pytest.raises(KaldiFileError) as e:
            read(f"# a comment\n{text}\n")
        assert e.value.where == "line 2"
        assert message in str(e.value)

    def test_odd_frames_need_rounding(self):
        with pytest.raises(ShapeError, match="--round-to-power-of-two=true"):
            FeatureOptions(sample_frequency=11025.0, round_to_power_of_two=False)

    def test_not_a_number(self):
        with pytest.raises(ShapeError, match="--low-freq must be a finite number"):
            FeatureOptions(low_freq=float("nan"))

    def test_other_kinds(self):
        with pytest.raises(NotSupported, match='"plp": mfcc and fbank are computed'):
            FeatureOptions("plp")

    def test_the_rate_of_a_recording(self):
        options().check_rate(16000)
        with pytest.raises(ShapeError, match="audio of 8000 Hz for features of 16000 Hz: resample"):
            options().check_rate(8000)

    def test_frames_and_samples(self):
        plain_frames, centred = options(), options(snip_edges=False)
        assert [plain_frames.frame_count(n) for n in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]
        assert [centred.frame_count(n) for n in (0, 79, 80, 239, 240)] == [0, 0, 1, 1, 2]
        assert (plain_frames.first_sample(3), centred.first_sample(0)) == (480, -120)
        assert plain_frames.context_samples == 240
        assert plain_frames.frame_shift_seconds == 0.01
        assert plain_frames.sample_rate == 16000
        assert (plain_frames.feature_dim, options("fbank", use_energy=True).feature_dim) == (13, 24)

    def test_rounding_of_frames_is_kaldis(self):
        # 44.1 * 10 is 441 in double precision and a little less in single precision.
        assert options(sample_frequency=44100.0).shift_samples == 441


def test_without_the_library_the_command_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaldi_native_fbank", None)
    with pytest.raises(MissingLibrary, match=r'pip install "sedsdk\[kaldi\]"'):
        compute_features(noise(1000), options())
