"""Reading, writing and resampling audio; mel scales. No torch."""

from sedsdk.audio.containers import AUDIO_SUFFIXES
from sedsdk.audio.mel import hz_to_mel, mel_filters, mel_to_hz
from sedsdk.audio.read import AudioBlock, AudioInfo, audio_info, read_audio, read_blocks
from sedsdk.audio.waveform import Waveform, check_waveform, resample, to_mono
from sedsdk.audio.write import write_audio

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioBlock",
    "AudioInfo",
    "Waveform",
    "audio_info",
    "check_waveform",
    "hz_to_mel",
    "mel_filters",
    "mel_to_hz",
    "read_audio",
    "read_blocks",
    "resample",
    "to_mono",
    "write_audio",
]
