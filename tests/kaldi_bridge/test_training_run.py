"""The training of the acoustic model: it learns, goes on after a stop, and ends as a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_corpus import learnable_corpus, spoken_tones
from made_speech import make_speech_folder

pytest.importorskip("speechbrain", reason="training needs the extra train")

from kaldi_bridge.acoustic_model import AcousticModel
from kaldi_bridge.phones import PhoneMap, phone_posteriors
from kaldi_bridge.training import corpus as making
from kaldi_bridge.training import run as running
from kaldi_bridge.training.__main__ import main
from kaldi_bridge.training.brain import (
    CURVES,
    TrainingOptions,
    append_curve,
    gather_statistics,
    read_curves,
    train,
)
from kaldi_bridge.training.claims import ClaimedFolder
from kaldi_bridge.training.corpus import CorpusOptions, make_shard
from kaldi_bridge.training.examples import Pieces, some_clips
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.linear import LinearOptions
from kaldi_bridge.training.model.layers import BatchNorm
from kaldi_bridge.training.model.network import Tdnnf, TdnnfConfig
from kaldi_bridge.training.options import RunOptions
from kaldi_bridge.training.run import run, whole

TINY = TdnnfConfig(dim=48, bottleneck=16, strides=(1, 0, 3), prefinal=24)
SHORT = TrainingOptions(
    epochs=3, steps_per_epoch=40, batch_size=16, piece_frames=30, learning_rate=1e-2, warmup_steps=5
)


def trained(folder: Path, options: TrainingOptions = SHORT, **more: object) -> Tdnnf:
    torch.manual_seed(0)
    net = Tdnnf(TINY)
    train(net, learnable_corpus(), options, folder, progress=False, **more)  # type: ignore[arg-type]
    return net


def accuracy(net: Tdnnf) -> float:
    """Share of the frames of clips that were not trained on whose class is found."""
    right = total = 0
    for features, labels in learnable_corpus(8, seed=1).clips():
        found = whole(net, torch.from_numpy(features)).argmax(1)
        right += int((found == labels).sum())
        total += len(labels)
    return right / total


def test_the_network_learns_what_can_be_learnt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert accuracy(Tdnnf(TINY).eval()) < 0.2
    assert accuracy(trained(tmp_path)) > 0.8
    losses = [row["train_loss"] for row in read_curves(tmp_path / CURVES)]
    assert len(losses) == 3
    assert losses[2] < 0.5 * losses[0]


def test_factors_stay_semi_orthogonal_up_to_scale(tmp_path: Path) -> None:
    net = trained(tmp_path, replace(SHORT, average=0.0))
    for layer in net.tdnnf:
        weight = layer.linear.weight.detach()  # type: ignore[union-attr]
        values = torch.linalg.svdvals(weight)
        assert float(values.max() / values.min()) < 1.3


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_after_two(net: Tdnnf) -> dict[str, float]:
        if len(read_curves(tmp_path / "b" / CURVES)) == 2:
            raise Stop
        return {}

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole_run = trained(tmp_path / "a")
    with pytest.raises(Stop):
        trained(tmp_path / "b", judge=stop_after_two)
    gone_on = trained(tmp_path / "b")
    assert [row["epoch"] for row in read_curves(tmp_path / "b" / CURVES)] == [1, 2, 3]
    for one, other in zip(whole_run.parameters(), gone_on.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_statistics_of_batch_norms_are_those_of_the_final_weights() -> None:
    torch.manual_seed(0)
    net = Tdnnf(TINY)
    corpus = learnable_corpus()
    net.fit_input(some_clips(corpus, 20))
    pieces = Pieces(corpus, net.context, 60, 64, 0)
    gather_statistics(net, pieces, 30)
    seen: list[torch.Tensor] = []
    net.tdnn1.affine.register_forward_hook(lambda _, __, out: seen.append(out.relu().detach()))
    net.train()
    for number in range(100, 130):
        batch = pieces.batch(number)
        net(batch.features, batch.phase)
    rows = torch.cat([each.flatten(0, 1) for each in seen])
    norm = net.tdnn1.batchnorm
    assert isinstance(norm, BatchNorm)
    assert torch.allclose(norm.running_mean, rows.mean(0), atol=0.05)
    assert torch.allclose(norm.running_var, rows.var(0), rtol=0.15, atol=0.01)


def test_the_learning_rate_rises_then_falls() -> None:
    options = TrainingOptions(epochs=2, steps_per_epoch=100, learning_rate=1.0, warmup_steps=10)
    rates = [options.rate(step) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(0.5 * (1 + np.cos(np.pi * 9 / 200)))
    assert max(rates) == pytest.approx(rates[9], abs=0.01)
    assert rates[199] == pytest.approx(1e-3)


def test_curves_forget_the_epochs_that_are_repeated(tmp_path: Path) -> None:
    for epoch in (1.0, 2.0, 3.0, 2.0):
        append_curve(tmp_path / CURVES, {"epoch": epoch, "train_loss": 1 / epoch})
    assert [row["epoch"] for row in read_curves(tmp_path / CURVES)] == [1, 2]


# A whole run


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    """Minutes of tones instead of hours of speech, made in this process."""
    monkeypatch.setattr(making, "speak", spoken_tones)

    def one_process(
        options: CorpusOptions, folder: Path, jobs: int = 1, report: object = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        for number in options.shards():
            make_shard(options, number, folder)

    monkeypatch.setattr(running, "make_corpus", one_process)
    return RunOptions(
        CorpusOptions(hours=0.02, shard_minutes=0.6, validation_minutes=0.2),
        TINY,
        replace(SHORT, epochs=2, steps_per_epoch=10),
        LinearOptions(context=3, most_steps=20),
    )


def test_a_run_ends_as_a_model_that_opens_like_any(tmp_path: Path, options: RunOptions) -> None:
    model_folder = run(tmp_path / "run", options)
    model = AcousticModel.load(model_folder)
    assert model.frame_subsampling_factor == 3
    assert model.sample_rate == 16000
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert model.embed(torch.from_numpy(samples)).shape == (33, 24)
    features = model.features(torch.from_numpy(samples))
    scores = model(features, node="output").numpy()
    assert model.transitions is not None
    phones = PhoneMap.of(model.transitions, model_folder / "phones.txt")
    assert phones.names == CLASSES
    posteriors = phone_posteriors(scores, phones)
    assert posteriors.sum(1) == pytest.approx(np.ones(len(posteriors)), abs=1e-5)
    card = (model_folder / "README.md").read_text()
    assert "python -m kaldi_bridge.training" in card
    assert "Not judged on recordings" in card
    assert (tmp_path / "run" / "learning-curve.png").stat().st_size > 5000


def test_a_run_of_other_options_is_refused(tmp_path: Path, options: RunOptions) -> None:
    run(tmp_path, options)
    with pytest.raises(ClaimedFolder, match="other options"):
        run(tmp_path, replace(options, training=replace(options.training, seed=1)))


def test_a_folder_without_speech_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    status = main([str(tmp_path / "run"), "--speech", str(tmp_path / "nothing")])
    assert status == 2
    assert not (tmp_path / "run").exists()


def test_a_run_and_the_command_judge_on_recordings(
    tmp_path: Path, options: RunOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = tmp_path / "speech"
    make_speech_folder(speech)
    model = run(tmp_path / "run", options, speech=speech)
    curves = read_curves(tmp_path / "run" / CURVES)
    assert {"real_digits_right", "real_phone_error_rate", "heard_frames_right"} <= curves[0].keys()
    card = (model / "README.md").read_text()
    assert "| network |" in card
    assert "| linear |" in card
    assert main(["judge", str(model), "--speech", str(speech), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "digits, % right" in printed
    for name in ("judgement.txt", "judgement.json", "digits.png", "phones.png"):
        assert (tmp_path / "out" / name).stat().st_size > 100
