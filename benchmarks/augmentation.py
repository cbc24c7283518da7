"""What augmentation costs for each picture, beside kornia's where that is installed.

Ours and kornia's in turn, on one thread, on the same pictures; seconds are of the
processor (``process_time``), so that others on the machine disturb less. Kornia gets
the settings nearest to ours; its random resized crop does not antialias.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import add_json_flag, publish
from model_zoo.memory_allocator import TRAINING, keep_freed_memory
from optimize.seeding import generator
from optimize.training.augmentations import AUGMENTATIONS
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.step import Draw

BATCHES = {"photos": (32, 3, 128), "small": (256, 1, 28)}
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "random_resized_crop": [("random_resized_crop", {})],
    "crop": [("crop", {"padding": 4})],
    "flip": [("flip", {})],
    "rotate": [("rotate", {})],
    "colour_jitter": [("colour_jitter", JITTER)],
    "blur": [("blur", {})],
    "noise": [("noise", {})],
    "erasing": [("erasing", {})],
    "photo recipe": [("random_resized_crop", {}), ("flip", {}), ("colour_jitter", JITTER), ("erasing", {})],
    "small recipe": [("crop", {"padding": 4}), ("flip", {}), ("erasing", {})],
    "trivial_augment": [("trivial_augment", {})],
    "rand_augment": [("rand_augment", {})],
}


def ours(names: list[tuple[str, dict[str, Any]]], pictures: Tensor) -> Callable[[], object]:
    """A call that augments the batch once."""
    pipeline = Pipeline([AUGMENTATIONS.choose(name, settings) for name, settings in names])
    targets, side = torch.zeros(len(pictures), 10), pictures.shape[3]
    return lambda: pipeline(pictures, targets, Draw(generator(1), side, side))


def kornias(names: list[tuple[str, dict[str, Any]]], pictures: Tensor) -> Callable[[], object] | None:
    """The same by kornia; None where it is not installed, or has nothing of the kind for such pictures."""
    try:
        import kornia.augmentation as kornia
    except ImportError:
        return None
    side = pictures.shape[3]
    table = {
        "random_resized_crop": lambda: kornia.RandomResizedCrop((side, side), cropping_mode="resample"),
        "crop": lambda: kornia.RandomCrop((side, side), padding=4),
        "flip": lambda: kornia.RandomHorizontalFlip(),
        "rotate": lambda: kornia.RandomRotation(15.0, p=1.0),
        "colour_jitter": lambda: kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0),
        "blur": lambda: kornia.RandomGaussianBlur((9, 9), (0.1, 2.0), p=0.5),
        "noise": lambda: kornia.RandomGaussianNoise(std=0.05, p=0.5),
        "erasing": lambda: kornia.RandomErasing(p=0.25),
    }
    if any(name not in table or (name == "colour_jitter" and pictures.shape[1] == 1) for name, _ in names):
        return None
    chain = torch.nn.Sequential(*(table[name]() for name, _ in names))
    return lambda: chain(pictures.float().div_(255))


def timed(calls: dict[str, Callable[[], object]], repeats: int, count: int) -> dict[str, float]:
    """Median microseconds of the processor for a picture, each call in turn."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            spent[name].append(time.process_time() - start)
    return {name: statistics.median(seconds[1:]) / count * 1e6 for name, seconds in spent.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30, help="batches of each kind (30)")
    add_json_flag(parser)
    arguments = parser.parse_args()
    keep_freed_memory(TRAINING)
    torch.set_num_threads(1)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for batch, (count, channels, side) in BATCHES.items():
        shape = (count, channels, side, side)
        pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(0, batch))
        rows[batch] = {}
        for case, names in CASES.items():
            theirs = kornias(names, pictures)
            calls = {"ours": ours(names, pictures), **({"kornia": theirs} if theirs else {})}
            with torch.no_grad():
                rows[batch][case] = timed(calls, arguments.repeats, count)
    lines = [
        f"{batch:8} {case:20} ours {row['ours']:8.1f} µs"
        + (f"   kornia {row['kornia']:8.1f} µs" if "kornia" in row else "")
        for batch, cases in rows.items()
        for case, row in cases.items()
    ]
    result = {"unit": "µs of processor time for a picture, median", "repeats": arguments.repeats, "batches": rows}
    publish(result, lines, as_json=arguments.json)


if __name__ == "__main__":
    main()
