"""What the trainer adds to a bare training loop that does the same work.

Two processes' worth of work in one, in turn: some steps of the trainer, as many of a
loop written out by hand (pictures from memory, the recipe's augmentation functions,
normalise, forward, loss, backward, optimiser, average), and so on. Both have a network,
an optimiser and an average of their own, and see batches of the same pictures.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.machine import add_json_flag, publish, verdict
from model_zoo.memory_allocator import TRAINING, keep_freed_memory
from optimize.data.read import Data, read_data
from optimize.seeding import generator
from optimize.training.assembly import Assembly, assembled
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.ema import Ema
from optimize.training.loss_watch import LossWatch
from optimize.training.network.build import build_network
from optimize.training.recipe import Recipe, parse_recipe
from optimize.training.step import Draw
from optimize.training.step_loop import StepLoop

BAR = 1.10
# name → architecture, side in px, channels, batch, optimiser
CASES: dict[str, dict[str, Any]] = {
    "grey28": {"model": {"architecture": "grey28"}, "side": 28, "batch": 128, "optimiser": "nesterov"},
    "lite0": {
        "model": {"architecture": "efficientnet_lite0", "height": 128, "width": 128},
        "side": 128,
        "batch": 16,
        "optimiser": "adamw",
    },
}
Chunk = Callable[[], float]


def pictures(folder: Path, side: int, n: int) -> Path:
    """Noise in two classes, ``n`` each, as PNGs."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for index in range(n):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / name / f"{index}.png")
    return folder


def recipe_for(case: dict[str, Any], data: Path, steps: int) -> Recipe:
    """Flip, cross-entropy, an average: what most recipes have."""
    return parse_recipe(
        {
            "name": "step",
            "data": {"train": str(data), "look_alikes": False},
            "model": case["model"],
            "augment": [{"name": "flip"}],
            "optimiser": {"name": case["optimiser"], "lr": 0.001},
            "train": {
                "epochs": 10_000,
                "batch_size": case["batch"],
                "ema": 0.99,
                "max_steps": steps,
                "precision": "fp32",
            },
        }
    )


def trainer_chunks(parts: Assembly, folder: Path) -> Chunk:
    """Each call: the next epoch of ``max_steps`` steps; seconds."""
    loop = StepLoop(parts, LossWatch(folder / "bad_batch.npz"))
    epochs = iter(range(parts.epochs))

    def chunk() -> float:
        began = time.perf_counter()
        loop.epoch(next(epochs), lambda step: None)
        return time.perf_counter() - began

    return chunk


def bare_chunks(recipe: Recipe, data: Data, pixels: torch.Tensor, steps: int) -> Chunk:
    """The same by hand; ``pixels`` uint8 (N, C, H, W)."""
    network = build_network(recipe.model, data.train.tasks, recipe.seed)
    module, spec = network.module.to(memory_format=torch.channels_last), network.spec  # type: ignore[call-overload]
    ema = Ema(module, recipe.train.ema)
    choice = recipe.optimiser.choice
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    kinds = {
        "nesterov": lambda: torch.optim.SGD(
            groups, lr=0.001, momentum=0.9, nesterov=True, weight_decay=choice.weight_decay, fused=True
        ),
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.001, weight_decay=choice.weight_decay, fused=True),
    }
    optimiser = kinds[recipe.optimiser.name]()
    flip = Pipeline([one.choice for one in recipe.augment])
    mean = torch.tensor(spec.graph_mean).view(1, -1, 1, 1) / 255
    std = torch.tensor(spec.graph_std).view(1, -1, 1, 1) / 255
    labels, size = torch.from_numpy(data.train.first_labels), recipe.train.batch_size
    batches = endless_batches(len(labels), size)

    def chunk() -> float:
        began = time.perf_counter()
        module.train()
        for step in range(steps):
            places = next(batches)
            rows = torch.zeros(len(places), 2)
            inputs, _ = flip(pixels[places], rows, Draw(generator(0, step), spec.height, spec.width))
            inputs = ((inputs - mean) / std).contiguous(memory_format=torch.channels_last)
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(module(inputs), labels[places])
            loss.backward()
            optimiser.step()
            ema.update()
        return time.perf_counter() - began

    return chunk


def endless_batches(n: int, size: int) -> Iterator[torch.Tensor]:
    """Places in a shuffled set, again and again."""
    while True:
        for places in torch.randperm(n).split(size):
            if len(places) == size:
                yield places


def measure(case: dict[str, Any], rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step of both, in turn, and the ratio of each pair."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data_folder = pictures(folder / "pictures", case["side"], max(case["batch"] * steps * 2 // 3, 8))
        recipe = recipe_for(case, data_folder, steps)
        data = read_data(recipe.data, recipe.seed)
        with assembled(recipe, data, folder, lambda text: None) as parts:
            stored = torch.cat([batch.pictures for batch in parts.loader.epoch(0)])
            pixels = stored[: len(data.train)]
            ours, bare = trainer_chunks(parts, folder), bare_chunks(recipe, data, pixels, steps)
            ours(), bare()
            pairs = [(ours(), bare()) for _ in range(rounds)]
    ratios = sorted(one / other for one, other in pairs)
    return {
        "trainer_ms": round(statistics.median(one for one, _ in pairs) / steps * 1e3, 2),
        "bare_ms": round(statistics.median(other for _, other in pairs) / steps * 1e3, 2),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(float(np.percentile(ratios, share)), 4) for share in (25, 75)],
        "rounds": rounds,
        "steps": steps,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=list(CASES), action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=4, help="of each in a round")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: torch's own")
    add_json_flag(parser)
    flags = parser.parse_args()
    keep_freed_memory(TRAINING)
    if flags.threads:
        torch.set_num_threads(flags.threads)
    found = {name: measure(CASES[name], flags.rounds, flags.steps) for name in flags.case or CASES}
    lines = [f"a training step, {flags.rounds} rounds of {flags.steps} steps each, alternating"]
    for name, one in found.items():
        low, high = one["ratio_quartiles"]
        lines.append(
            f"  {name:<8} trainer {one['trainer_ms']:.1f} ms, bare {one['bare_ms']:.1f} ms, ratio {one['ratio']:.3f} "
            f"(quartiles {low:.3f} to {high:.3f}; bar {BAR}): {verdict(one['ratio'], BAR)}"
        )
    publish({"bar": BAR, "threads": torch.get_num_threads(), **found}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
