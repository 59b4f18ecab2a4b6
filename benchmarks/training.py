"""Training throughput: seconds of audio learned from per second of wall time.

    python benchmarks/training.py                    1 and 2 threads, a small and a large encoder
    python benchmarks/training.py --threads 1 4 --steps 20

Mixing alone draws plans, mixes band energies and compresses them; training adds the forward and
the backward pass and the optimiser's step. Energies of the recordings (the built-in corpus) are
computed beforehand, as in a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sedsdk.host import Host
from sedsdk.pipeline import Pipeline
from sedsdk.training.batches import Batches, Share
from sedsdk.training.prepare import prepare
from sedsdk.training.recipe import Recipe, RecordingsData, load_recipe

CORPUS_SIZE = "demo"
RECIPES = ("demo/recordings", "rare/recordings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one row each")
    parser.add_argument("--steps", type=int, default=6, help="timed steps per row")
    parser.add_argument("--batch-size", type=int, default=32, help="clips a step")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    print(f"{'recipe':<17}{'parameters':>11}{'threads':>9}{'mixing':>12}{'training':>12}")
    print(f"{'':<37}{'[s audio / s wall]':>24}")
    with tempfile.TemporaryDirectory() as folder:
        for name in RECIPES:
            recipe = _on_made_sounds(name, Path(folder), arguments.batch_size)
            pipeline = Pipeline(recipe.pipeline, Host(discover=False), seed=0)
            pipeline = pipeline.to(arguments.device)
            share = Share(arguments.batch_size)
            prepared = prepare(
                recipe, pipeline, Path(folder), share, arguments.device, lambda line: None
            )
            prepared.batches.fit_frontends()
            parameters = sum(p.numel() for p in pipeline.parameters())
            for threads in arguments.threads:
                torch.set_num_threads(threads)
                seconds = recipe.data.mixing.clip_seconds * arguments.batch_size
                mixing = seconds / _time_of_a_step(
                    _mixing(prepared.batches, arguments.device), arguments
                )
                training = seconds / _time_of_a_step(
                    _training(pipeline, prepared.batches, arguments.device), arguments
                )
                print(f"{name:<17}{parameters:>11,}{threads:>9}{mixing:>12.0f}{training:>12.0f}")


def _on_made_sounds(name: str, folder: Path, batch_size: int) -> Recipe:
    """Puts a recipe's pipeline and mixing on the built-in corpus, with few mixtures to score."""
    few = ["mixtures_per_class=1", "duration_seconds=10"]
    recipe = load_recipe(
        "demo/corpus",
        Host(discover=False),
        [
            f"data.corpus_size={CORPUS_SIZE}",
            f"training.batch_size={batch_size}",
            *(f"data.{part}.mixtures.{each}" for part in ("validation", "test") for each in few),
        ],
    )
    wanted = load_recipe(name, Host(discover=False))
    assert isinstance(recipe.data, RecordingsData)
    assert isinstance(wanted.data, RecordingsData)
    data = recipe.data.model_copy(update={"mixing": wanted.data.mixing})
    return recipe.model_copy(update={"pipeline": wanted.pipeline, "data": data})


def _mixing(batches: Batches, device: str) -> Callable[[int], None]:
    def step(index: int) -> None:
        with torch.no_grad():
            batches.tensors(batches[index], device)

    return step


def _training(pipeline: Pipeline, batches: Batches, device: str) -> Callable[[int], None]:
    optimiser = torch.optim.AdamW(pipeline.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    pipeline.train()

    def step(index: int) -> None:
        inputs, targets = batches.tensors(batches[index], device)
        pipeline.training_losses(inputs, targets, generator).mean().backward()
        torch.nn.utils.clip_grad_norm_(pipeline.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def _time_of_a_step(step: Callable[[int], None], arguments: argparse.Namespace) -> float:
    """Returns the median seconds of a step, after one that warms up."""
    taken = []
    for index in range(arguments.steps + 1):
        begin = time.perf_counter()
        step(index)
        if arguments.device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return sorted(taken[1:])[len(taken[1:]) // 2]


if __name__ == "__main__":
    main()
