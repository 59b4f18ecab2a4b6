"""espeak-ng's C library: sound and the events of its phonemes."""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaldi_bridge.training.synthesis.voices import MissingProgram, UnknownVoice

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 0x0001
_DO_NOT_EXIT = 0x8000
_UTF8_WITH_END_PAUSE = 0x1001
_EVENT_END_OF_LIST = 0
_EVENT_PHONEME = 7

RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4
"""Numbers of espeak's parameters."""


class _EventValue(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventValue),
    )


class _VoiceRecord(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class PhonemeEvent:
    """A phoneme begins.

    Attributes:
        mnemonic: espeak's name of it.
        sample: where.
    """

    mnemonic: str
    sample: int


class EspeakLibrary:
    """The library, which can be initialised once in a process: get it from `library()`.

    Its state is the process's. A lock lets one thread speak at a time; the others wait. Processes
    do not disturb each other, forked ones included.
    """

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL("libespeak-ng.so.1")
        except OSError:
            name = ctypes.util.find_library("espeak-ng")
            if name is None:
                raise MissingProgram(
                    "espeak-ng's library is not installed: apt-get install flite espeak-ng."
                ) from None
            self._library = ctypes.CDLL(name)
        self._library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_VoiceRecord)
        self._lock = threading.Lock()
        self._blocks: list[bytes] = []
        self._events: list[PhonemeEvent] = []
        self._callback = _Callback(self._receive)  # a field, as the library keeps the pointer
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DO_NOT_EXIT
        )
        if rate <= 0:
            raise MissingProgram(
                "espeak-ng finds none of its data: apt-get install --reinstall espeak-ng-data."
            )
        self.sample_rate = int(rate)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, voice: str, parameters: dict[int, int]
    ) -> tuple[NDArray[np.int16], list[PhonemeEvent]]:
        """Reads a text aloud.

        Args:
            text: what to read.
            voice: espeak's name, with "+variant" behind it if any.
            parameters: values of RATE, VOLUME, PITCH and RANGE.

        Returns:
            Samples [N] and the beginnings of the phonemes in order.

        Raises:
            UnknownVoice: there is no such voice or variant.
        """
        with self._lock:
            self._choose(voice)
            for number, value in parameters.items():
                self._library.espeak_SetParameter(number, value, 0)
            self._blocks, self._events = [], []
            data = text.encode()
            self._library.espeak_Synth(
                data, len(data) + 1, 0, 0, 0, _UTF8_WITH_END_PAUSE, None, None
            )
            return np.frombuffer(b"".join(self._blocks), np.int16), self._events

    def _choose(self, voice: str) -> None:
        missing = self._library.espeak_SetVoiceByName(voice.encode()) != 0
        _, _, variant = voice.partition("+")
        if not missing and variant:
            # an unknown variant is no error to espeak, which then speaks without it
            chosen = self._library.espeak_GetCurrentVoice().contents.identifier or b""
            missing = not chosen.endswith(b"+" + variant.encode())
        if missing:
            raise UnknownVoice(
                f'espeak has no voice "{voice}": `espeak-ng --voices=en` lists the accents, '
                "`espeak-ng --voices=variant` the variants (the names of their files)."
            )

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._blocks.append(ctypes.string_at(wave, 2 * count))
        number = 0
        while events[number].type != _EVENT_END_OF_LIST:
            event = events[number]
            if event.type == _EVENT_PHONEME:
                mnemonic = event.id.string.decode(errors="replace")
                self._events.append(PhonemeEvent(mnemonic, event.sample))
            number += 1
        return 0


@cache
def library() -> EspeakLibrary:
    """Returns the one instance of this process, made when it is first asked for.

    Raises:
        MissingProgram: espeak-ng is not installed.
    """
    return EspeakLibrary()
