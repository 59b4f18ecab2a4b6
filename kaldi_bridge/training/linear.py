"""The obvious rival: multinomial logistic regression on a window of the same features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kaldi_bridge.errors import KaldiFileError, ShapeError
from kaldi_bridge.features import FeatureOptions
from kaldi_bridge.training.inventory import CLASSES
from kaldi_bridge.training.judging.bigrams import read_arrays, write_arrays
from kaldi_bridge.training.judging.classifiers import OfFeatures
from kaldi_bridge.training.windows import Frames, Reading, centred, minibatches

Array = NDArray[np.float32]
STATISTICS_FRAMES = 200_000
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class LinearOptions:
    """How the linear classifier is trained.

    Attributes:
        context: frames to either side of the one that is classified.
        mean_window: frames, an odd number, over whose mean the features are centred before all
            else, as a network may do it; None for features as they are.
        epochs: passes over all frames.
        batch_size: frames.
        learning_rate: of Adam at the start; falls to nothing along a straight line.
        weight_decay: of AdamW.
        most_steps: steps after which training ends, even within an epoch; None for no end.
        seed: of the order of frames.
    """

    context: int = 15
    mean_window: int | None = None
    epochs: int = 2
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    most_steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ShapeError where a value makes no sense."""
        if self.context < 0 or min(self.epochs, self.batch_size, self.most_steps or 1) < 1:
            raise ShapeError(
                "context must be 0 or more; epochs, batch_size and most_steps 1 or more."
            )
        if not self.learning_rate > 0 or self.weight_decay < 0:
            raise ShapeError("learning_rate must be above 0 and weight_decay not below.")


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Log posteriors = log softmax(Σ_k W_k (x[t + k] − mean) / deviation + bias).

    Attributes:
        weight: float32 [C, 2 · context + 1, F], for standardised features.
        bias: float32 [C].
        mean: float32 [F].
        deviation: float32 [F].
        priors: share of each class in training, float32 [C].
        options: of the features.
        mean_window: frames of the box whose mean is taken off first; None for none.
    """

    weight: Array
    bias: Array
    mean: Array
    deviation: Array
    priors: Array
    options: FeatureOptions
    mean_window: int | None = None

    @property
    def context(self) -> int:
        """Frames to either side."""
        return int(self.weight.shape[1]) // 2

    def log_posteriors(self, features: NDArray[Any]) -> Array:
        """Features [T, F] → log posteriors float32 [T, C]; edge frames are repeated.

        Raises:
            ShapeError: features of another width.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ShapeError(f"features {list(features.shape)}: expected [T, {len(self.mean)}].")
        if not len(features):
            return np.zeros((0, len(self.bias)), np.float32)
        rows = np.asarray(features, np.float32)
        if self.mean_window:
            rows = centred(rows, self.mean_window)
        inputs = (rows - self.mean) / self.deviation
        inputs = np.pad(inputs, ((self.context, self.context), (0, 0)), mode="edge")
        signal = torch.from_numpy(np.ascontiguousarray(inputs.T))[None]
        kernel = torch.from_numpy(np.ascontiguousarray(self.weight.transpose(0, 2, 1)))
        with torch.inference_mode():
            logits = torch.nn.functional.conv1d(signal, kernel, torch.from_numpy(self.bias))
            result: Array = logits[0].T.log_softmax(1).contiguous().numpy()
        return result

    def save(self, path: Path | str) -> None:
        """Writes everything as .npz; the file appears whole or not at all."""
        write_arrays(
            Path(path),
            weight=self.weight,
            bias=self.bias,
            mean=self.mean,
            deviation=self.deviation,
            priors=self.priors,
            options=np.array(json.dumps(asdict(self.options))),
            mean_window=np.array(self.mean_window or 0),
        )

    @classmethod
    def load(cls, path: Path | str) -> LinearClassifier:
        """Reads what `save` has written.

        Raises:
            MissingFile: no such file.
            KaldiFileError: damaged, or arrays that do not fit.
        """
        names = ("weight", "bias", "mean", "deviation", "priors")
        arrays = read_arrays(Path(path), (*names, "options", "mean_window"))
        try:
            options = FeatureOptions(**json.loads(str(arrays["options"])))
        except (TypeError, ValueError) as problem:
            raise KaldiFileError(path, "byte 0", f"feature options: {problem}.") from None
        values = {name: np.asarray(arrays[name], np.float32) for name in names}
        loaded = cls(options=options, mean_window=int(arrays["mean_window"]) or None, **values)
        n_classes, width, n_features = loaded.weight.shape if loaded.weight.ndim == 3 else (0, 0, 0)
        fits = (
            width % 2 == 1
            and loaded.bias.shape == loaded.priors.shape == (n_classes,)
            and loaded.mean.shape == loaded.deviation.shape == (n_features,)
        )
        if not fits:
            raise KaldiFileError(path, "byte 0", "arrays that do not fit together: train again.")
        return loaded


class OfLinear(OfFeatures):
    """A linear classifier to be judged, at every frame or every few."""

    def __init__(
        self, linear: LinearClassifier | Path | str, *, subsampling: int = 1, name: str = "linear"
    ) -> None:
        """Args:
        linear: a classifier, or its file.
        subsampling: every how many frames.
        name: for tables.
        """
        found = linear if isinstance(linear, LinearClassifier) else LinearClassifier.load(linear)
        super().__init__(
            name,
            lambda features: found.log_posteriors(features)[::subsampling],
            found.options,
            subsampling=subsampling,
            priors=found.priors,
        )


def train_linear(
    frames: Frames | Iterable[Reading],
    feature_options: FeatureOptions,
    options: LinearOptions | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> LinearClassifier:
    """Trains a linear classifier by cross-entropy (AdamW, random frames); seeded.

    Args:
        frames: all utterances, or an iterable of them, read once.
        feature_options: how the features were made; kept with the classifier.
        options: of the training.
        report: told the steps done and all steps.

    Raises:
        ShapeError: no frames, or arrays that do not fit.
    """
    options = options or LinearOptions()
    if not isinstance(frames, Frames):
        frames = Frames.of(frames)
    if options.mean_window:
        frames = frames.centred(options.mean_window)
    rng = np.random.default_rng(options.seed)
    mean, deviation = _statistics(frames)
    width = 2 * options.context + 1
    weight = torch.zeros(len(CLASSES), width * len(mean), requires_grad=True)
    bias = torch.zeros(len(CLASSES), requires_grad=True)
    groups: list[dict[str, Any]] = [
        {"params": [weight], "weight_decay": options.weight_decay},
        {"params": [bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, options.learning_rate)
    steps = options.epochs * -(-len(frames.labels) // options.batch_size)
    steps = min(steps, options.most_steps or steps)
    for step, (inputs, labels) in zip(range(steps), _endless(frames, options, rng), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * (1 - step / steps)
        inputs -= mean
        inputs /= deviation
        standard = torch.from_numpy(inputs).flatten(1)
        loss = torch.nn.functional.cross_entropy(
            standard @ weight.T + bias, torch.from_numpy(labels)
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step + 1, steps)
    counts = np.bincount(frames.labels, minlength=len(CLASSES)) + 1.0
    return LinearClassifier(
        _array(weight).reshape(len(CLASSES), width, len(mean)),
        _array(bias),
        mean,
        deviation,
        (counts / counts.sum()).astype(np.float32),
        feature_options.without_dither(),
        options.mean_window,
    )


def _endless(
    frames: Frames, options: LinearOptions, rng: np.random.Generator
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    while True:
        yield from minibatches(frames, options.context, options.batch_size, rng)


def _statistics(frames: Frames) -> tuple[Array, Array]:
    """Returns mean and standard deviation of the features, from frames spread over all."""
    step = -(-len(frames.labels) // STATISTICS_FRAMES)
    rows = np.asarray(frames.features[::step], np.float64)
    deviation = np.maximum(rows.std(axis=0), LEAST_DEVIATION)
    return rows.mean(axis=0).astype(np.float32), deviation.astype(np.float32)


def _array(tensor: Tensor) -> Array:
    result: Array = tensor.detach().numpy().copy()
    return result
