"""From nothing to a judged model folder: corpus, linear baseline, network, export, judgement."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kaldi_bridge.training.brain import CURVES, read_curves, train
from kaldi_bridge.training.card import card
from kaldi_bridge.training.claims import claim
from kaldi_bridge.training.corpus import make_corpus
from kaldi_bridge.training.examples import Pieces, log_priors
from kaldi_bridge.training.inventory import CLASSES, PHONES, merged
from kaldi_bridge.training.judging.bigrams import load_bigrams, phone_bigrams, save_bigrams
from kaldi_bridge.training.judging.classifiers import OfFeatures, OfModel
from kaldi_bridge.training.judging.judgement import Judgement
from kaldi_bridge.training.judging.judging import judge, judge_heard, listen
from kaldi_bridge.training.judging.pictures import confusion_picture, learning_curve
from kaldi_bridge.training.judging.references import read_references
from kaldi_bridge.training.linear import LinearClassifier, OfLinear, train_linear
from kaldi_bridge.training.model.exporting import write_model_folder
from kaldi_bridge.training.model.network import Tdnnf
from kaldi_bridge.training.options import RunOptions
from kaldi_bridge.training.progress import counter
from kaldi_bridge.training.shards import Corpus, load_corpus
from kaldi_bridge.training.windows import Frames

BIGRAMS = "phone_bigrams.npz"
VALIDATION_BATCHES = 12
TRAIN_PART = ("train",)
"""Of the real speech: what may be looked at while choices are made."""


def run(
    folder: Path,
    options: RunOptions,
    *,
    speech: Path | None = None,
    jobs: int = 1,
    device: str = "cpu",
) -> Path:
    """Trains and judges an acoustic model; the same call goes on where an interrupted one stopped.

    Args:
        folder: of the run: corpus, checkpoints, curves, `model/`, pictures.
        options: of the run.
        speech: folder of real recordings to judge on; None judges on made speech only.
        jobs: processes that make the corpus, and threads of the training.
        device: that the network is trained on.

    Returns:
        The model's folder, in Kaldi's format.

    Raises:
        ClaimedFolder: the folder holds a run of other options.
        CorpusError, MissingProgram: the corpus cannot be made.
        MissingSpeech: `speech` is not such a folder.
    """
    if speech is not None:
        read_references(speech)  # before hours are spent
    claim(folder, asdict(options), "run")
    corpus_folder = folder / "corpus"
    make_corpus(options.corpus, corpus_folder, jobs, counter("shards"))
    numbers = options.corpus.shards()
    corpus = load_corpus(numbers, corpus_folder)
    validation = {
        "heard": load_corpus(numbers, corpus_folder, "heard"),
        "unheard": load_corpus(numbers, corpus_folder, "unheard"),
    }
    model = folder / "model"
    model.mkdir(exist_ok=True)
    bigrams = phone_bigrams(np.split(corpus.labels, corpus.ends[:-1]))
    save_bigrams(bigrams, model / BIGRAMS)

    torch.set_num_threads(jobs)
    linear = _linear(folder, corpus, options)
    torch.manual_seed(options.training.seed)
    net = Tdnnf(options.network)
    epoch_judge = _EpochJudge(validation, options, speech, load_bigrams(model / BIGRAMS))
    train(net, corpus, options.training, folder, epoch_judge, device)
    net.to("cpu")

    priors = np.exp(log_priors(corpus, len(CLASSES)))
    features = options.corpus.feature_options()
    words = card(options, corpus.hours, _training_seconds(folder), _parameters(net), [])
    write_model_folder(net, model, priors=priors, card=words, feature_conf=features)
    if speech is not None:
        judgements = judge_all(model, linear, speech, folder)
        words = card(options, corpus.hours, _training_seconds(folder), _parameters(net), judgements)
        (model / "README.md").write_text(words, encoding="utf-8")
    learning_curve(read_curves(folder / CURVES), folder / "learning-curve.png")
    return model


def judge_all(
    model: Path, linear: LinearClassifier | None, speech: Path, out: Path
) -> list[Judgement]:
    """Judges a model and the baseline on real speech; writes tables and pictures to `out`."""
    bigrams = load_bigrams(model / BIGRAMS)
    found = [judge(OfModel(model, subsampling=1, name="network"), speech, log_bigram=bigrams)]
    if linear is not None:
        found.append(judge(OfLinear(linear), speech, log_bigram=bigrams))
    out.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(str(each) for each in found) + "\n"
    (out / "judgement.txt").write_text(text, encoding="utf-8")
    values = json.dumps([each.as_dict() for each in found], indent=1)
    (out / "judgement.json").write_text(values, encoding="utf-8")
    first = found[0]
    digits = first.digit_confusion()
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    confusion_picture(digits, names, out / "digits.png", title="Spoken digits, real recordings")
    confusion_picture(
        first.frame_confusion(), CLASSES, out / "phones.png", title="Frames of real sentences"
    )
    return found


class _EpochJudge:
    """Scores after an epoch: made speech in heard and unheard voices, real speech's train part."""

    def __init__(
        self,
        validation: dict[str, Corpus],
        options: RunOptions,
        speech: Path | None,
        bigrams: np.ndarray,
    ) -> None:
        self._validation, self._options = validation, options
        self._references = None if speech is None else read_references(speech)
        self._bigrams = bigrams

    @torch.no_grad()
    def __call__(self, net: Tdnnf) -> dict[str, float]:
        net.eval()
        device = next(net.parameters()).device
        scores = {
            f"{part}_frames_right": self._accuracy(net, corpus, device)
            for part, corpus in self._validation.items()
        }
        if self._references is not None:
            classifier = OfFeatures(
                "network",
                lambda features: whole(net, torch.from_numpy(features), device),
                self._options.corpus.feature_options(),
            )
            heard = listen(classifier, self._references, parts=TRAIN_PART)
            found = judge_heard(classifier, heard, log_bigram=self._bigrams)
            scores["real_digits_right"] = found.digit_share().value
            scores["real_phone_error_rate"] = found.phone_errors().rate
            scores["real_frames_right"] = found.frame_share().value
        net.train()
        return scores

    def _accuracy(self, net: Tdnnf, corpus: Corpus, device: torch.device) -> float:
        """Share of frames, silence and noise aside, whose phone is right, alike ones merged."""
        training = self._options.training
        pieces = Pieces(corpus, net.context, training.piece_frames, training.batch_size, 0)
        right = total = 0
        same = _MERGED.to(device)
        for number in range(VALIDATION_BATCHES):
            batch = pieces.batch(number)
            labels = batch.labels.to(device)
            found = net(batch.features.to(device), batch.phase).argmax(-1)
            counted = labels >= FIRST_PHONE
            right += int((same[found] == same[labels.clamp_min(0)])[counted].sum())
            total += int(counted.sum())
        return right / max(total, 1)


FIRST_PHONE = CLASSES.index(PHONES[0])
_MERGED = torch.tensor([CLASSES.index(merged(name)) for name in CLASSES])


def whole(net: Tdnnf, features: Tensor, device: torch.device | str = "cpu") -> np.ndarray:
    """Returns log posteriors [T, C] of every frame of a clip [T, F], its edges repeated."""
    with torch.no_grad():
        values: np.ndarray = net(net.padded(features[None].to(device)), None)[0].cpu().numpy()
    return values


def _linear(folder: Path, corpus: Corpus, options: RunOptions) -> LinearClassifier:
    path = folder / "linear.npz"
    if not path.is_file():
        linear = replace(options.linear, context=options.network.reach)
        frames = Frames(corpus.features, corpus.labels, corpus.ends)
        features = options.corpus.feature_options()
        trained = train_linear(frames, features, linear, counter("linear"))
        trained.save(path)
    return LinearClassifier.load(path)


def _training_seconds(folder: Path) -> float:
    return sum(row["seconds"] for row in read_curves(folder / CURVES))


def _parameters(net: Tdnnf) -> int:
    return sum(p.numel() for p in net.parameters())
