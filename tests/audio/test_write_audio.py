"""Writing files: what is written is read again; nothing half-written, nothing lost."""

import errno

import numpy as np
import pytest
import soundfile

from sedsdk.audio import read_audio, write_audio
from sedsdk.errors import AudioError


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "FLOAT", 0),
        ("a.flac", "PCM_24", 2**-23),
    ],
)
def test_what_is_written_is_read_again(tmp_path, name, subtype, error):
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    path = tmp_path / "new" / "folders" / name
    write_audio(path, samples, 22050, subtype)
    again, rate = read_audio(path)
    assert rate == 22050
    assert soundfile.info(path).subtype == subtype
    np.testing.assert_allclose(again, samples, atol=error)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_channels_are_kept(tmp_path):
    write_audio(tmp_path / "a.wav", np.zeros((100, 3)), 8000)
    assert soundfile.info(tmp_path / "a.wav").channels == 3


@pytest.mark.parametrize(
    ("name", "samples", "subtype", "message"),
    [
        ("a.wav", np.zeros(0), "PCM_16", "at least one"),
        ("a.wav", np.zeros(3, np.int16), "PCM_16", "Pass float"),
        ("a.wav", np.array([np.nan]), "FLOAT", "NaN or infinite"),
        ("a.wav", np.array([1.5]), "PCM_16", "would clip"),
        ("a.wav", np.zeros(3), "PCM16", 'Did you mean "PCM_16"'),
        ("a.txt", np.zeros(3), "PCM_16", "no audio format"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, samples, subtype, message):
    with pytest.raises(AudioError, match=message):
        write_audio(tmp_path / name, samples, 8000, subtype)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, np.full(100, 0.5), 8000)
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sedsdk.files.os.fsync", full)
    with pytest.raises(AudioError, match=r"a\.wav cannot be written: No space left.*free space"):
        write_audio(path, np.zeros(100), 8000)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
