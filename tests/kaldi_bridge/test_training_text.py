"""The text that is read for training: its variety, its grammar, its numbers and its phones."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import islice, pairwise
from types import SimpleNamespace

import pytest

from kaldi_bridge.errors import KaldiFileError
from kaldi_bridge.training.inventory import PHONES, SILENCE, fold
from kaldi_bridge.training.text import sentences as text
from kaldi_bridge.training.text.grammar import Grammar
from kaldi_bridge.training.text.inflections import adjective_forms, noun_forms, verb_forms
from kaldi_bridge.training.text.sentences import ImpossibleShare, sentences, vocabulary

DIGITS = set(re.findall(r"\w+", "zero oh one two three four five six seven eight nine"))
NUMBER_WORDS = DIGITS | set(
    re.findall(
        r"\w+",
        """ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty
        thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half third
        thirds quarter quarters first second fourth fifth sixth seventh eighth ninth tenth eleventh
        twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth
        twentieth thirtieth fifths eighths tenths""",
    )
)
VOWEL_SOUND = re.compile(r"(?!uni|us[eu]|one\b|once\b|eu)[aeiou]|hour|honest|honor|heir")


def words_of(sentence: str) -> list[str]:
    return re.findall(r"[A-Za-z']+", sentence)


def drawn(seed: int, count: int, **options: float) -> list[str]:
    return list(islice(sentences(seed, **options), count))


@pytest.fixture(scope="module")
def many() -> list[str]:
    return drawn(3, 20_000)


@pytest.fixture(scope="module")
def spoken(many: list[str]) -> list[list[str]]:
    """The CMU phones that flite says for each of the first 5,000 sentences, between its pauses."""
    if shutil.which("flite") is None:
        pytest.skip("needs flite: apt-get install flite")
    pieces: list[list[str]] = [[]]
    for start in range(0, 5000, 500):
        read = "\n".join(many[start : start + 500])
        # The diphone voice is fast; "kal" of 8 kHz would say AA for most of AH.
        command = ["flite", "-voice", "kal16", "-ps", "-t", read, "none"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for label in said.split():
            phone = fold(label)
            if phone == SILENCE:
                pieces.append([])
            elif phone is not None:
                pieces[-1].append(phone)
    return pieces


# ---- the stream


def test_same_seed_same_stream_other_seed_other_stream() -> None:
    assert drawn(11, 300) == drawn(11, 300)
    assert len(set(drawn(11, 300)) & set(drawn(12, 300))) < 60


def test_the_stream_does_not_depend_on_the_hash_seed() -> None:
    command = [
        sys.executable,
        "-m",
        "kaldi_bridge.training.text.sentences",
        "--count",
        "200",
        "--seed",
        "5",
    ]
    for hash_seed in ("0", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        printed = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout
        assert printed.splitlines() == drawn(5, 200)


def test_only_the_draw_that_no_version_of_python_changes_is_used() -> None:
    source = random.Random(8)
    only_random = SimpleNamespace(random=source.random)
    said = [text.grammar().say("sentence", only_random) for _ in range(50)]  # type: ignore[arg-type]
    assert len(set(said)) > 40


def test_characters_and_lengths(many: list[str]) -> None:
    for sentence in many:
        assert re.fullmatch(r"[A-Z][A-Za-z ,.?']*[.?]", sentence), sentence
        assert not re.search(r"  | [,.?]|[,.?][a-zA-Z]|[,.?][,.?]|,$|\b[A-Z]{2}", sentence), (
            sentence
        )
        assert 1 <= len(sentence.split()) <= 18
    lengths = Counter(len(sentence.split()) for sentence in many)
    assert set(lengths) == set(range(1, 19))
    assert 5 < sum(map(len, map(words_of, many))) / len(many) < 7
    assert lengths[1] > 0.05 * len(many)


def test_most_sentences_are_said_once(many: list[str]) -> None:
    longer = [sentence for sentence in many if len(sentence.split()) > 4]
    assert len(set(longer)) > 0.97 * len(longer)


def test_vocabulary(many: list[str]) -> None:
    assert len({word.lower() for sentence in many for word in words_of(sentence)}) > 6500
    assert len(set(vocabulary())) == len(vocabulary()) > 6500
    assert all(re.fullmatch(r"[A-Za-z]+", word) for word in vocabulary())
    wanted = {"went", "gone", "children", "happier", "largest", "boxes", "carried", "admitted"}
    assert wanted | {"usually", "Asia", "oil", "London", "February"} <= set(vocabulary())


# ---- grammar of the sentences


def test_number_agrees(many: list[str]) -> None:
    grammar = text.grammar()
    nouns = [forms for forms in grammar.words.values() if set(forms) == {"", "s"}]
    singulars = {word for forms in nouns for word in forms[""]}
    plurals = {word for forms in nouns for word in forms["s"]}
    others = {
        word
        for forms in grammar.words.values()
        if set(forms) != {"", "s"}
        for words in forms.values()
        for word in words
    }
    verbs = [forms for forms in grammar.words.values() if "ing" in forms]
    bases = {word for forms in verbs for word in forms[""]}
    thirds = {word for forms in verbs for word in forms["s"]} | {"is", "has", "was", "does"}
    pasts = {word for forms in verbs for word in forms["ed"]}
    adverbs = {*grammar.words["manner"][""], *grammar.words["frequency"][""]}
    seen: Counter[str] = Counter()
    for sentence in drawn(4, 12_000, jumbles=0, numbers=0):
        for before, after in pairwise(words_of(sentence)):
            if before in ("several", "few", "both"):
                assert after not in singulars - plurals - others, sentence
                seen["plural"] += 1
            elif before in ("every", "each", "another"):
                assert after not in plurals - singulars - others, sentence
                seen["singular"] += 1
        first, *rest = words_of(sentence)
        if first in ("He", "She", "Everybody"):
            assert rest[0] not in bases - pasts - adverbs, sentence
            seen["third person"] += 1
        elif first in ("They", "We", "You"):
            assert rest[0] not in thirds - bases - pasts - adverbs - {"was"}, sentence
            assert rest[0] not in ("is", "was", "has"), sentence
            seen["other persons"] += 1
    assert min(seen[kind] for kind in ("plural", "singular", "third person", "other persons")) > 100


def test_article_goes_by_the_sound_that_follows(many: list[str]) -> None:
    seen: Counter[str] = Counter()
    for sentence in many:
        for article, word in re.findall(r"\b([Aa]n?) ([A-Za-z]+)", sentence):
            vowel = VOWEL_SOUND.match(word.lower()) is not None
            assert (article.lower() == "an") == vowel, (article, word)
            seen[article.lower()] += 1
    assert seen["an"] > 150
    assert seen["a"] > 1500


@pytest.mark.parametrize("shape", [r"\?$", r"'s\b", r"n't\b", r"\bthat\b", r"\bthan\b", r"because",
    r"\bif\b", r"\bwhen\b", r", \w+ and \w+\.$", r"^(Please|Don't|Never|Let) "])  # fmt: skip
def test_shapes_are_there(many: list[str], shape: str) -> None:
    assert sum(bool(re.search(shape, sentence)) for sentence in many) > 0.004 * len(many)


# ---- numbers and jumbles


def test_a_tenth_are_numbers_and_many_of_those_single_digits(many: list[str]) -> None:
    only_numbers = [s for s in many if {w.lower() for w in words_of(s)} <= NUMBER_WORDS]
    single = Counter(s.lower().strip(".?") for s in only_numbers if len(words_of(s)) == 1)
    digits = {word: single[word] for word in DIGITS}
    assert 0.05 < len(only_numbers) / len(many) < 0.1
    assert 0.02 < sum(digits.values()) / len(many) < 0.04
    assert min(digits.values()) > 5
    assert min(digits[word] for word in DIGITS - {"oh"}) > 30


def test_shares_rule_what_is_drawn() -> None:
    everything = drawn(2, 3000, numbers=1, jumbles=0)
    holding = sum(any(w.lower() in NUMBER_WORDS for w in words_of(s)) for s in everything)
    assert holding == len(everything)
    nothing = drawn(2, 3000, numbers=0, jumbles=0)
    assert not any(s.lower().strip(".?") in DIGITS for s in nothing)
    jumbled = drawn(2, 1000, numbers=0, jumbles=1)
    known = {word.lower() for word in vocabulary()}
    assert {word.lower() for s in jumbled for word in words_of(s)} <= known
    assert not any("?" in sentence for sentence in jumbled)


@pytest.mark.parametrize(
    "shape",
    [r"^\w+ o'clock\.$", r"^Half past", r"^(\w+ ){2}\w+, (\w+ ){3}\w+\.$", r"dollars", r"cents",
     r"\bnineteen \w+ty \w+\.$", r"\b(January|May|October)\b", r"\bpoint\b", r"\bdouble\b"],
)  # fmt: skip
def test_kinds_of_numbers(shape: str) -> None:
    numbers = drawn(6, 4000, numbers=1, jumbles=0)
    assert sum(bool(re.search(shape, said, re.IGNORECASE)) for said in numbers) >= 20


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, -0.1), (0.7, 0.4), (1.1, 0)])
def test_impossible_shares_are_refused_at_once(shares: tuple[float, float]) -> None:
    with pytest.raises(ImpossibleShare, match="from 0 to 1 and together at most 1"):
        sentences(1, numbers=shares[0], jumbles=shares[1])


# ---- phones, as flite says them


def test_every_phone_is_common_enough(spoken: list[list[str]]) -> None:
    counts = Counter(phone for piece in spoken for phone in piece)
    total = sum(counts.values())
    assert total > 90_000
    assert set(counts) == set(PHONES)
    rare = {phone: counts[phone] / total for phone in PHONES if counts[phone] < 0.003 * total}
    assert not rare


def test_phone_pairs(spoken: list[list[str]]) -> None:
    assert len({pair for piece in spoken for pair in pairwise(piece)}) >= 1200


# ---- inflections


@pytest.mark.parametrize(
    ("entry", "plural"),
    [("dog", "dogs"), ("box", "boxes"), ("bus", "buses"), ("dish", "dishes"), ("city", "cities"),
     ("boy", "boys"), ("piano", "pianos"), ("roof", "roofs"), ("mouse/mice", "mice"),
     ("horse", "horses"), ("judge", "judges"), ("stomach/stomachs", "stomachs")],
)  # fmt: skip
def test_plurals(entry: str, plural: str) -> None:
    assert noun_forms(entry) == {"": entry.split("/")[0], "s": plural}


@pytest.mark.parametrize(
    "forms",
    ["walk walks walking walked walked", "stop stops stopping stopped stopped",
     "carry carries carrying carried carried", "enjoy enjoys enjoying enjoyed enjoyed",
     "bake bakes baking baked baked", "agree agrees agreeing agreed agreed",
     "fix fixes fixing fixed fixed", "cook cooks cooking cooked cooked",
     "visit visits visiting visited visited", "admit admits admitting admitted admitted",
     "tie ties tying tied tied", "echo echoes echoing echoed echoed",
     "quit quits quitting quitted quitted", "pass passes passing passed passed",
     "snow snows snowing snowed snowed", "free frees freeing freed freed"],
)  # fmt: skip
def test_regular_verbs(forms: str) -> None:
    base, third, participle, past, perfect = forms.split()
    made = verb_forms(base, doubling={"admit"})
    assert made == {"": base, "s": third, "ing": participle, "ed": past, "en": perfect}


def test_irregular_verbs() -> None:
    went = {"": "go", "s": "goes", "ing": "going", "ed": "went", "en": "gone"}
    assert verb_forms("go/went/gone") == went
    assert verb_forms("lie/lay/lain")["ing"] == "lying"
    assert verb_forms("begin/began/begun", {"begin"})["ing"] == "beginning"
    assert verb_forms("see/saw/seen")["ing"] == "seeing"


@pytest.mark.parametrize(
    "forms",
    ["tall taller tallest", "big bigger biggest", "nice nicer nicest", "happy happier happiest",
     "new newer newest", "quiet quieter quietest", "gray grayer grayest", "free freer freest"],
)  # fmt: skip
def test_comparison(forms: str) -> None:
    assert list(adjective_forms(forms.split()[0]).values()) == forms.split()
    assert adjective_forms("good/better/best") == {"": "good", "er": "better", "est": "best"}


# ---- the grammar itself


WORDS = {"dog": {"": ("dog",), "s": ("dogs",)}}


def test_forms_are_handed_on_and_weights_kept() -> None:
    rules = {"all": "3 <pack.s> run\n<pack> runs", "pack": "the <*dog>"}
    grammar = Grammar(rules, WORDS, "made")
    rng = random.Random(1)
    counts = Counter(grammar.say("all", rng) for _ in range(8000))
    assert set(counts) == {"the dogs run", "the dog runs"}
    assert counts["the dogs run"] / 8000 == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"a": "the <cat>"}, "<cat> is nowhere defined"),
        ({"a": "the <dog.ed>"}, r"<dog.ed> does not exist; its forms: s\."),
        ({"a": "<b.ed>", "b": "<*dog>"}, r"<dog.ed> does not exist"),
        ({"a": "<b.s>", "b": "the <dog>"}, r"hands it to no <\*symbol>"),
        ({"a": "<b>", "b": "<a>"}, "calls itself, by way of a > b"),
        ({"a": "\n"}, "has no alternative"),
        ({"a": "0 never"}, "is no alternative"),
        ({"dog": "barks"}, "is a rule and a word class"),
    ],
)
def test_mistakes_in_a_grammar_are_named(rules: dict[str, str], message: str) -> None:
    with pytest.raises(KaldiFileError, match=message) as caught:
        Grammar(rules, WORDS, "made.yaml")
    assert "made.yaml, rule " in str(caught.value)
