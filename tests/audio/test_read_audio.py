"""Reading files: every format, every defect, and block by block."""

import os
import struct

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from sedsdk.audio import audio_info, read_audio, read_blocks
from sedsdk.errors import AudioError

RATE = 44100


@pytest.fixture(scope="module")
def noise():
    return (np.random.default_rng(0).standard_normal(RATE) / 8).astype(np.float32)


def save(path, samples, rate=RATE, subtype="PCM_16"):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def cut(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_U8", 2**-6),
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 2**-23),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.wav", "ULAW", 2**-4),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
        ("a.aiff", "PCM_16", 2**-15),
        ("a.w64", "PCM_24", 2**-23),
    ],
)
def test_every_width_and_format_gives_the_same_samples(tmp_path, noise, name, subtype, error):
    path = save(tmp_path / name, noise, subtype=subtype)
    samples, rate = read_audio(path)
    assert (rate, samples.dtype, len(samples)) == (RATE, np.float32, RATE)
    np.testing.assert_allclose(samples, noise, atol=error)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_formats_are_read_whole(tmp_path, name):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    path = tmp_path / name
    soundfile.write(path, tone, RATE)
    samples, _ = read_audio(path)
    assert len(samples) == RATE
    assert np.corrcoef(samples[2000:-2000], tone[2000:-2000])[0, 1] > 0.999


def test_eight_channels_at_192_khz_are_averaged_and_resampled(tmp_path):
    channels = np.random.default_rng(1).uniform(-0.5, 0.5, (19200, 8)).astype(np.float32)
    path = save(tmp_path / "a.wav", channels, 192000, "FLOAT")
    info = audio_info(path)
    assert (info.sample_rate, info.n_samples, info.channels) == (192000, 19200, 8)
    assert info.duration == pytest.approx(0.1)
    samples, rate = read_audio(path, 16000)
    expected = soxr.resample(channels.astype(np.float64).mean(1), 192000, 16000)
    assert rate == 16000
    np.testing.assert_allclose(samples, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, RATE, 96000])
def test_a_file_of_one_sample_works(tmp_path, rate):
    path = save(tmp_path / "one.wav", np.array([0.5], np.float32))
    samples, _ = read_audio(path, rate)
    assert len(samples) >= 1
    assert np.isfinite(samples).all()
    blocks = list(read_blocks(path, rate, 1.0))
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), samples)


def test_silence_is_fine(tmp_path):
    samples, _ = read_audio(save(tmp_path / "silence.wav", np.zeros(1000)), 16000)
    assert not samples.any()


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_span_is_cut_at_the_files_own_rate(tmp_path, noise, name):
    path = save(tmp_path / name, noise)
    whole, _ = read_audio(path)
    samples, _ = read_audio(path, start=0.25, end=0.5)
    np.testing.assert_array_equal(samples, whole[11025:22050])
    until_end, _ = read_audio(path, start=0.75, end=99.0)
    np.testing.assert_array_equal(until_end, whole[33075:])


@pytest.mark.parametrize("span", [(1.0, None), (0.5, 0.5), (0.6, 0.5), (-0.1, None)])
def test_a_span_without_samples_is_refused(tmp_path, noise, span):
    path = save(tmp_path / "a.wav", noise)
    with pytest.raises(AudioError, match=r"a\.wav: no samples from .*lasts 1\.000 s"):
        read_audio(path, None, *span)


# Defects


def make_empty(path):
    path.touch()


def make_text(path):
    path.write_text("this is a text, not audio\n" * 50)


def make_zero_frames(path):
    save(path, np.zeros(0))


def make_nothing(path):
    pass


def make_folder(path):
    path.mkdir()


def make_header_only(path):
    save(path, np.zeros(500))
    path.write_bytes(path.read_bytes()[:30])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_empty, "is empty .0 bytes.*[Dd]ownload it again"),
        (make_text, "is no audio that can be read.*Convert it"),
        (make_zero_frames, "has a header and no samples"),
        (make_nothing, "does not exist. Check the path"),
        (make_folder, "is a folder. Give an audio file"),
        (make_header_only, "is truncated: it ends before its samples begin"),
    ],
)
@pytest.mark.parametrize("read", [audio_info, read_audio, lambda p: list(read_blocks(p, None, 1))])
def test_every_defect_names_file_and_cure(tmp_path, make, message, read):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(AudioError, match=rf"bad\.wav {message}"):
        read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run the tests as a user")
def test_a_file_without_permission_is_named(tmp_path, noise):
    path = save(tmp_path / "a.wav", noise)
    path.chmod(0)
    with pytest.raises(AudioError, match=r"a\.wav may not be read.*chmod"):
        read_audio(path)


def test_a_refused_permission_is_named(tmp_path, noise, monkeypatch):
    path = save(tmp_path / "a.wav", noise)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sedsdk.audio.read.truncation", refuse)
    with pytest.raises(AudioError, match=r"a\.wav may not be read.*chmod"):
        audio_info(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.999])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.aiff", "PCM_16")],
)
def test_a_truncated_file_is_found_by_its_header(tmp_path, noise, name, subtype, keep):
    path = cut(save(tmp_path / name, noise, subtype=subtype), keep)
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=r"is truncated: its header promises .* bytes"):
            read(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
def test_a_truncated_flac_is_found_when_it_is_read(tmp_path, noise, keep):
    path = cut(save(tmp_path / "a.flac", noise), keep)
    with pytest.raises(AudioError, match=r"a\.flac is truncated"):
        read_audio(path)
    with pytest.raises(AudioError, match=r"a\.flac is truncated"):
        list(read_blocks(path, 16000, 0.1))


def test_a_truncated_ogg_is_found(tmp_path, noise):
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(noise, 5), RATE)
    assert audio_info(path).n_samples == 5 * RATE
    with pytest.raises(AudioError, match="is truncated"):
        read_audio(cut(path, 0.5))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_of_unknown_length_is_read_to_its_end(tmp_path, noise, size):
    path = save(tmp_path / "a.wav", noise)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == RATE


def test_a_streamed_flac_that_states_no_length_is_refused(tmp_path, noise):
    path = save(tmp_path / "a.flac", noise)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: the 36 bits of the total sample count
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.flac was streamed.*Write it again"):
        audio_info(path)


@pytest.mark.parametrize(
    ("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]
)
def test_samples_that_are_not_finite_are_found_with_their_time(tmp_path, noise, bad, word):
    samples = noise.copy()
    samples[RATE // 2] = bad
    path = save(tmp_path / "a.wav", samples, subtype="FLOAT")
    for read in (lambda: read_audio(path), lambda: list(read_blocks(path, 16000, 0.2))):
        with pytest.raises(AudioError, match=rf"a\.wav: sample 22050 \(at 0\.500 s\) is {word}"):
            read()
    assert len(read_audio(path, end=0.4)[0]) == int(0.4 * RATE)


def test_a_float_file_of_unscaled_integers_is_refused(tmp_path):
    path = save(tmp_path / "a.wav", np.array([0.0, 20000.0]), subtype="FLOAT")
    with pytest.raises(AudioError, match="unscaled integers"):
        read_audio(path)


# Blocks


@pytest.fixture(scope="module")
def stereo_file(tmp_path_factory):
    samples = np.random.default_rng(2).uniform(-0.5, 0.5, (4 * RATE + 123, 2)).astype(np.float32)
    return save(tmp_path_factory.mktemp("audio") / "stereo.wav", samples, subtype="FLOAT"), samples


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.013, 0.7, 60.0])
def test_blocks_equal_resampling_the_whole_file(stereo_file, rate, seconds):
    path, channels = stereo_file
    expected = soxr.resample(channels.astype(np.float64).mean(1), RATE, rate)
    blocks = list(read_blocks(path, rate, seconds))
    joined = np.concatenate([block.samples for block in blocks])
    assert len(joined) == len(expected)
    np.testing.assert_allclose(joined, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([None, 8000, 16000]),
    block_seconds=st.floats(0.05, 5.0),
    share=st.floats(0.0, 0.95),
)
def test_blocks_lie_where_they_say_and_cover_everything(stereo_file, rate, block_seconds, share):
    path, _ = stereo_file
    whole, actual_rate = read_audio(path, rate)
    block = round(block_seconds * actual_rate)
    overlap = round(block_seconds * share * actual_rate)
    covered = 0
    blocks = list(read_blocks(path, rate, block_seconds, block_seconds * share))
    for index, found in enumerate(blocks):
        assert found.start_sample == index * (block - overlap)
        assert found.start_seconds == found.start_sample / actual_rate
        stop = found.start_sample + len(found.samples)
        np.testing.assert_allclose(found.samples, whole[found.start_sample : stop], atol=1e-5)
        assert stop > covered
        assert len(found.samples) == block or index == len(blocks) - 1
        covered = stop
    assert covered == len(whole)


@pytest.mark.parametrize(("block", "overlap"), [(0.0, 0.0), (1.0, 1.0), (1.0, -0.1), (-1.0, 0.0)])
def test_block_lengths_out_of_range_are_refused(stereo_file, block, overlap):
    with pytest.raises(AudioError, match="block_seconds must be above 0"):
        next(read_blocks(stereo_file[0], 16000, block, overlap))


def test_blocks_hold_little_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as sound:
        for _ in range(20):
            sound.write(np.zeros(60 * 8000, np.int16))
    tracemalloc.start()
    total = sum(len(block.samples) for block in read_blocks(path, 16000, 10.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 20 * 60 * 16000
    assert peak < 8e6  # the whole file would be 77 MB
