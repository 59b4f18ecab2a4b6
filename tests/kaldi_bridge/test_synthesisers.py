import ctypes.util
import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kaldi_bridge.training.inventory import CLASS_OF, PHONES
from kaldi_bridge.training.speech import TimedPhone, Utterance
from kaldi_bridge.training.synthesis import espeak, flite
from kaldi_bridge.training.synthesis.espeak_phones import UnknownMnemonic, parts_of
from kaldi_bridge.training.synthesis.speaking import speak
from kaldi_bridge.training.synthesis.voices import (
    ACCENTS,
    FLITE_VOICES,
    ODD_VOICES,
    VOICES,
    ImpossibleSettings,
    MissingProgram,
    NothingToSay,
    Settings,
    SynthesisFailed,
    UnknownVoice,
    Voice,
)
from kaldi_bridge.training.text.sentences import sentences

needs_flite = pytest.mark.skipif(
    shutil.which("flite") is None, reason="needs the program flite: apt-get install flite"
)
needs_espeak = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None,
    reason="needs espeak-ng's library: apt-get install espeak-ng",
)

SLT = Voice("flite", "slt")
AMERICAN = Voice("espeak", "en-us")
BOTH = [
    pytest.param(SLT, marks=needs_flite, id="flite"),
    pytest.param(AMERICAN, marks=needs_espeak, id="espeak"),
]
SOME = [
    *(
        pytest.param(Voice("flite", name), marks=needs_flite, id=name)
        for name in ("awb", "slt", "kal16")
    ),
    *(
        pytest.param(Voice("espeak", "en-us", variant), marks=needs_espeak, id=f"espeak+{variant}")
        for variant in ("", "f3", "klatt4", "m3", "aunty")
    ),
]

# the CMU pronouncing dictionary, first entries
DIGITS = {
    **{"zero": "Z IH R OW", "one": "W AH N", "two": "T UW", "three": "TH R IY", "four": "F AO R"},
    **{"five": "F AY V", "six": "S IH K S", "seven": "S EH V AH N", "eight": "EY T"},
    "nine": "N AY N",
}
HISSING = "She sells seashells by the shore, so six sailors saw some shallow sand."
VOWELS = {phone for phone in PHONES if phone[0] in "AEIOU"}


def said(utterance: Utterance) -> str:
    return " ".join(phone.phone for phone in utterance.phones if phone.phone != "SIL")


def heard(utterance: Utterance, phone: TimedPhone) -> np.ndarray:
    first, last = (round(edge * utterance.sample_rate) for edge in (phone.start, phone.end))
    return utterance.samples[first:last]


def spoken_seconds(utterance: Utterance) -> float:
    return sum(phone.end - phone.start for phone in utterance.phones if phone.phone != "SIL")


def pitch(utterance: Utterance) -> float:
    """Median over the vowels of the shortest lag at which the sound repeats itself."""
    found = []
    shortest, longest = utterance.sample_rate // 500, utterance.sample_rate // 50
    for phone in utterance.phones:
        sound = heard(utterance, phone).astype(np.float64)
        if phone.phone not in VOWELS or len(sound) < 2 * longest:
            continue
        middle = len(sound) // 2
        window = sound[middle - longest : middle]
        shifted = [sound[middle - longest + lag : middle + lag] for lag in range(longest)]
        likeness = np.array(
            [
                np.dot(window, other) / (np.linalg.norm(window) * np.linalg.norm(other) + 1e-9)
                for other in shifted
            ]
        )
        peaks = [
            lag
            for lag in range(shortest, longest - 1)
            if likeness[lag] >= max(likeness[lag - 1], likeness[lag + 1])
        ]
        good = [lag for lag in peaks if likeness[lag] > 0.9 * max(likeness[peaks])]
        if good:
            found.append(utterance.sample_rate / good[0])
    return float(np.median(found))


@pytest.mark.parametrize("voice", BOTH)
def test_digits_are_the_phones_of_the_dictionary(voice: Voice) -> None:
    assert {word: said(speak(word, voice)) for word in DIGITS} == DIGITS


@pytest.mark.parametrize("voice", BOTH)
@pytest.mark.parametrize(
    ("text", "phones"), [("7", "S EH V AH N"), ("42", "F AO R T IY T UW"), ("me", "M IY")]
)
def test_figures_and_single_words_are_read(voice: Voice, text: str, phones: str) -> None:
    assert said(speak(text, voice)).replace("AO R D IY", "AO R T IY") == phones


@needs_espeak
def test_every_voice_is_installed_and_says_seven() -> None:
    for voice in (*VOICES, *ODD_VOICES):
        if voice.engine == "espeak":
            utterance = speak("seven", voice, Settings(rate=2))
            assert said(utterance) == "S EH V AH N", voice
            assert utterance.voice == str(voice)
            peak = np.abs(utterance.samples).max()
            assert peak == pytest.approx(0.5)
            assert np.mean(np.abs(utterance.samples) > 0.999 * peak) < 0.001, voice  # not clipped


@needs_flite
@pytest.mark.parametrize("name", FLITE_VOICES)
def test_flites_voices_say_seven(name: str) -> None:
    utterance = speak("seven", Voice("flite", name))
    assert said(utterance) == "S EH V AH N"
    assert utterance.sample_rate == 16000


def test_no_voice_is_listed_twice() -> None:
    listed = [str(voice) for voice in (*VOICES, *ODD_VOICES)]
    assert len(set(listed)) == len(listed)
    assert "espeak/en-us+f3" in listed
    assert "flite/slt" in listed


@needs_espeak
@pytest.mark.parametrize("accent", ACCENTS)
def test_no_accent_has_an_unknown_phoneme_or_a_loud_pause(accent: str) -> None:
    spoken: set[str] = set()
    for text in itertools.islice(sentences(29), 200):
        utterance = speak(text, Voice("espeak", accent), Settings(rate=2.5))
        spoken.update(phone.phone for phone in utterance.phones)
        loud = 0.02 * np.sqrt(np.mean(utterance.samples**2))
        for phone in utterance.phones:
            sound = heard(utterance, phone)
            if phone.phone == "SIL" and len(sound):
                assert np.sqrt(np.mean(sound**2)) < loud, (text, phone)
    assert spoken <= set(CLASS_OF)
    assert len(spoken) >= 34


@pytest.mark.parametrize(
    "voice",
    [
        *BOTH,
        pytest.param(Voice("flite", "rms"), marks=needs_flite, id="rms"),
        pytest.param(Voice("flite", "kal16"), marks=needs_flite, id="kal16"),
        pytest.param(Voice("espeak", "en-gb", "klatt4"), marks=needs_espeak, id="klatt4"),
    ],
)
@pytest.mark.parametrize("rate", [0.7, 1.0, 1.8])
def test_the_hiss_is_where_the_s_is(voice: Voice, rate: float) -> None:
    utterance = speak(HISSING, voice, Settings(rate=rate))
    width, hop = utterance.sample_rate // 100, utterance.sample_rate // 200
    frames = np.lib.stride_tricks.sliding_window_view(utterance.samples, width)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(width), 512)) ** 2  # [T, 257]
    frequencies = np.fft.rfftfreq(512, 1 / utterance.sample_rate)
    hiss = power[:, frequencies > 3500].sum(1) / (power.sum(1) + 1e-9)
    centres = (np.arange(len(frames)) * hop + width / 2) / utterance.sample_rate

    def contrast(shift: float) -> float:
        ends = np.array([phone.end for phone in utterance.phones]) + shift
        places = np.minimum(np.searchsorted(ends, centres), len(ends) - 1)
        names = np.array([phone.phone for phone in utterance.phones])[places]
        vowels = np.isin(names, [*VOWELS, "L", "M", "N"])
        return float(hiss[np.isin(names, ["S", "SH"])].mean() - hiss[vowels].mean())

    assert contrast(0.0) > 0.5
    assert contrast(0.0) > max(contrast(-0.03), contrast(0.03))


@pytest.mark.parametrize("voice", BOTH)
def test_pauses_are_silent(voice: Voice) -> None:
    utterance = speak("We stay here, and you go there.", voice)
    pauses = [phone for phone in utterance.phones[1:] if phone.phone == "SIL"]
    assert len(pauses) == 2
    loud = np.sqrt(np.mean(utterance.samples**2))
    for phone in pauses:
        sound = heard(utterance, phone)
        middle = sound[len(sound) // 4 : -len(sound) // 4]
        assert np.sqrt(np.mean(middle**2)) < 0.05 * loud


@pytest.mark.parametrize("voice", BOTH)
def test_a_stop_begins_with_its_closure(voice: Voice) -> None:
    utterance = speak("a cat took a pocket", voice)
    closed = 0
    for before, phone in itertools.pairwise(utterance.phones):
        if phone.phone in ("K", "P", "T") and before.phone in VOWELS:
            width = utterance.sample_rate // 50
            stop, vowel = heard(utterance, phone), heard(utterance, before)
            windows = np.lib.stride_tricks.sliding_window_view(stop[: 3 * width], width)
            quietest = np.mean(windows**2, axis=1).min()
            closed += bool(quietest < 0.02 * np.mean(vowel[: len(vowel) // 2] ** 2))
    assert closed >= 4


@needs_espeak
def test_a_final_l_is_cut_off_the_vowel_it_is_heard_in() -> None:
    utterance = speak("tell me", AMERICAN)
    lengths = {phone.phone: phone.end - phone.start for phone in utterance.phones}
    assert said(utterance) == "T EH L M IY"
    # F2 is half-way from the vowel to l when 0.41 of the 259 ms are left; the l itself has 20 ms
    assert lengths["L"] == pytest.approx(0.41 * 0.259 + 0.02, abs=0.02)


@needs_espeak
@pytest.mark.parametrize(
    ("accent", "phones"),
    [("en-us", "HH AA R D K AA R"), ("en-gb", "HH AA D K AA"), ("en-gb-scotland", "HH AA D K AA")],
)
def test_an_r_is_written_where_it_is_heard(accent: str, phones: str) -> None:
    assert said(speak("hard car", Voice("espeak", accent))) == phones


@pytest.mark.parametrize("voice", SOME)
def test_twice_the_rate_is_half_the_time(voice: Voice) -> None:
    text = "My large dog may be on the road."
    own = spoken_seconds(speak(text, voice))
    for rate in (0.6, 1.6):
        other = spoken_seconds(speak(text, voice, Settings(rate=rate)))
        assert own / other == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("voice", SOME)
def test_pitch_is_in_semitones_against_the_voices_own(voice: Voice) -> None:
    text = "My large dog may be on the road all day, so who knows where they are now?"
    own = pitch(speak(text, voice))
    for semitones in (-4.0, 4.0):
        moved = pitch(speak(text, voice, Settings(pitch_semitones=semitones)))
        assert 12 * np.log2(moved / own) == pytest.approx(semitones, abs=1.0)


@needs_flite
def test_rms_keeps_its_own_pitch() -> None:
    voice = Voice("flite", "rms")
    own, moved = speak("seven", voice), speak("seven", voice, Settings(pitch_semitones=5))
    assert np.array_equal(own.samples, moved.samples)


@needs_flite
@pytest.mark.parametrize("name", FLITE_VOICES)
def test_the_own_manner_is_what_flite_does_unasked(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plain.wav"
    subprocess.run(["flite", "-voice", name, "-t", "nine eggs", "-o", str(path)], check=True)
    plain, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(speak("nine eggs", Voice("flite", name)).samples, plain)


@pytest.mark.parametrize("voice", BOTH)
def test_settings_beyond_the_range_are_the_end_of_it(voice: Voice) -> None:
    wild = speak("seven", voice, Settings(rate=1000, pitch_semitones=90, pitch_range=50))
    assert wild.duration < speak("seven", voice, Settings(rate=1.5)).duration
    assert said(wild) == "S EH V AH N"


@needs_espeak
def test_espeak_says_the_same_after_other_voices_and_settings() -> None:
    first = speak("seven nine", AMERICAN)
    speak("ten", Voice("espeak", "en-029", "zac"), Settings(rate=2, pitch_semitones=5))
    again = speak("seven nine", AMERICAN)
    # not to the sample: espeak draws the flutter of a voice from a state that goes on
    for one, other in zip(first.phones, again.phones, strict=True):
        assert one.phone == other.phone
        assert one.end == pytest.approx(other.end, abs=0.01)


@pytest.mark.parametrize("voice", BOTH)
@pytest.mark.parametrize("text", ["", "  \n", "\0", "..."])
def test_nothing_to_say_is_an_error(voice: Voice, text: str) -> None:
    with pytest.raises(NothingToSay, match="at least one word"):
        speak(text, voice)


@pytest.mark.parametrize(
    ("voice", "named"),
    [
        (Voice("flite", "awb_time"), "awb_time"),
        pytest.param(Voice("espeak", "en-zz"), "en-zz", marks=needs_espeak),
        pytest.param(Voice("espeak", "en-us", "nobody"), "nobody", marks=needs_espeak),
        (Voice("festival", "slt"), "festival"),  # type: ignore[arg-type]
    ],
)
def test_an_unknown_voice_is_named(voice: Voice, named: str) -> None:
    with pytest.raises(UnknownVoice, match=named):
        speak("hello", voice)


def test_an_unknown_phoneme_is_named_with_its_accent() -> None:
    with pytest.raises(UnknownMnemonic, match='en-us has the phoneme "Q9"'):
        parts_of("Q9", "en-us")


def test_a_missing_program_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingProgram, match="apt-get install flite espeak-ng"):
        speak("hello", SLT)


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"pitch_semitones": float("inf")},
        {"pitch_range": -1.0},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ImpossibleSettings, match=next(iter(values))):
        Settings(**values)


@needs_flite
def test_flite_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    speak("seven", SLT)
    with pytest.raises(NothingToSay):
        speak("...", SLT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("duration", "end"), [(0.9, [0.1, 0.3, 0.9]), (1.2, [0.1, 0.3, 1.2]), (0.2, [0.1, 0.2])]
)
def test_flites_times_are_cut_to_the_sound(duration: float, end: list[float]) -> None:
    phones = flite.timed_phones("pau:0.100 ax:0.300 pau:1.000 ", duration)
    assert [phone.end for phone in phones] == end
    assert [phone.phone for phone in phones] == ["SIL", "AH", "SIL"][: len(end)]


def test_a_lively_voice_gets_another_base_of_its_pitch() -> None:
    own = espeak.parameters_for(Settings())
    assert (own[1], own[3], own[4]) == (175, 50, 50)  # espeak's defaults
    monotone = espeak.parameters_for(Settings(pitch_range=0))
    assert monotone[4] == 0
    assert monotone[3] > 50  # half of the range lies above the base


def test_what_flite_complains_of_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "flite"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisFailed, match="no space left"):
        speak("hello", SLT)
