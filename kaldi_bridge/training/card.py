"""What a trained model's README says: what it heard, how well it does, what it is not for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kaldi_bridge.training.judging.judgement import Judgement
from kaldi_bridge.training.options import RunOptions
from kaldi_bridge.training.synthesis.voices import VOICES

COMMAND = "python -m kaldi_bridge.training"


def card(
    options: RunOptions,
    hours: float,
    seconds: float,
    parameters: int,
    judgements: Sequence[Judgement],
) -> str:
    """Writes the card.

    Args:
        options: of the run.
        hours: of sound that was trained on.
        seconds: that training the network took.
        parameters: that it has.
        judgements: on real speech, the network's first; none if there was nothing to judge on.
    """
    network, training, corpus = options.network, options.training, options.corpus
    accents = {name for name, _ in corpus.accents}
    heard = [v for v in VOICES if v.name in accents and str(v) not in corpus.unheard]
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    return template.format(
        prefinal=network.prefinal,
        high_freq=f"{corpus.high_freq:g}",
        layers=len(network.strides),
        dim=network.dim,
        bottleneck=network.bottleneck,
        strides=", ".join(map(str, network.strides)),
        bypass=f"{network.bypass:g}",
        parameters=f"{parameters:,}",
        reach=network.reach,
        classes=network.classes,
        command=COMMAND,
        seed=training.seed,
        steps=training.epochs * training.steps_per_epoch,
        batch_size=training.batch_size,
        piece_seconds=f"{training.piece_frames / 100:g}",
        minutes=f"{seconds / 60:.0f}",
        hours=f"{hours:.1f}",
        accents=len(accents),
        voices=len(heard),
        results=_results(judgements),
    )


def _results(judgements: Sequence[Judgement]) -> str:
    if not judgements:
        return "Not judged on recordings: the run was not given any."
    lines = [
        "On recordings of people, none of which was trained on; in per cent, with 95 % intervals "
        "(digits: Wilson; sentences: bootstrap over files). Choices were made looking at the "
        "train part alone.",
        "",
        "| | digits, train part | digits, dev part | phone error rate | frames of phones right |",
        "|---|---|---|---|---|",
    ]
    for each in judgements:
        train, dev = each.digit_share("train"), each.digit_share("dev")
        errors, interval = each.phone_errors(), each.phone_error_interval()
        frames = each.frame_share()
        lines.append(
            f"| {each.name} | {_percent(train.value, *train.interval)} of {train.total} "
            f"| {_percent(dev.value, *dev.interval)} of {dev.total} "
            f"| {_percent(errors.rate, *(interval or (0.0, 1.0)))} of {errors.reference} "
            f"| {100 * frames.value:.1f} of {frames.total} |"
        )
    return "\n".join(lines)


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
