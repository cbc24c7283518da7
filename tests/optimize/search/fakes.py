"""A training that is a formula: quick, repeatable, resumable, and it can be made to fail or to be killed."""

import csv
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from optimize.data.dataset import Dataset, Pixels, Task
from optimize.data.read import Data
from optimize.data.report import DataReport
from optimize.errors import TrainingError
from optimize.training.compound_run import Tools
from optimize.training.finished import EpochRow, Finished
from optimize.training.recipe import Recipe, parse_recipe
from optimize.training.run_folder import RunFolder

# More threads than a busy machine has cores wait for each other far longer than a Gaussian process takes.
torch.set_num_threads(1)


class BlankPictures:
    """Black pictures of 4×4."""

    def __len__(self) -> int:
        return 40

    def read(self, index: int) -> Pixels:
        return np.zeros((4, 4, 1), np.uint8)

    def identifier(self, index: int) -> str:
        return f"blank[{index}]"

    def digest(self, index: int) -> bytes:
        return bytes([index])


def fake_data(n: int = 40, fingerprint: str = "fingerprint") -> Data:
    """Two classes, alternating; 10 of them validate."""
    labels = (np.arange(n) % 2).reshape(-1, 1).astype(np.int64)
    every = Dataset("blank", BlankPictures(), np.arange(n), labels, (Task("label", ("even", "odd")),))
    report = DataReport(fingerprint, {}, {})
    return Data(every.subset(np.arange(10, n)), every.subset(np.arange(10)), None, None, report)


def best_lr(recipe: Recipe) -> float:
    """Accuracy of the last epoch: 0.9 at lr = 0.01, less with each factor of ten."""
    lr: float = recipe.optimiser.choice.lr  # type: ignore[attr-defined]
    return 0.9 - 0.1 * abs(math.log10(lr) + 2) - 0.02 * abs(recipe.train.batch_size - 64) / 64


@dataclass
class FakeTrainer:
    """Counts the epochs it trained.

    Attributes:
        accuracy: of a recipe's last epoch; earlier epochs have less.
        fails: says why a recipe can't be trained.
        dies: (epoch, what): called after that epoch's row is written.
    """

    accuracy: Callable[[Recipe], float] = best_lr
    fails: Callable[[Recipe], str | None] = lambda recipe: None
    after_epoch: Callable[[Path, int], None] = lambda folder, epoch: None
    epochs: list[tuple[str, int]] = field(default_factory=list)
    data: list[Data | None] = field(default_factory=list)

    def __call__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        data: Data | None = None,
        watch: Callable[[EpochRow], None] | None = None,
    ) -> Finished:
        run = RunFolder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run.checkpoints.mkdir(exist_ok=True)
        self.data.append(data)
        if reason := self.fails(recipe):
            raise TrainingError(reason)
        rows = []
        if run.metrics.exists():
            with run.metrics.open(newline="") as file:
                rows = [self._row(recipe, int(row["epoch"])) for row in csv.DictReader(file)]
        for row in rows:
            if watch is not None:
                watch(row)
        for epoch in range(len(rows) + 1, recipe.train.epochs + 1):
            rows.append(self._row(recipe, epoch))
            self.epochs.append((folder.name, epoch))
            with run.metrics.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["epoch", "val_loss", "val_top1"])
                writer.writerows([one.epoch, one.val_loss, one.val_top1] for one in rows)
            self.after_epoch(folder, epoch)
            if watch is not None:
                watch(rows[-1])
        bundle = run.store / recipe.name / "1"
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "CARD.md").write_text(folder.name)
        top1 = rows[-1].val_top1 or 0.0
        return Finished(run, bundle, tuple(rows), len(rows), top1, None, 1.0)

    def _row(self, recipe: Recipe, epoch: int) -> EpochRow:
        top1 = self.accuracy(recipe) * (1 - 0.5**epoch)
        return EpochRow(epoch, 0.1, 1 - top1, top1, val_loss=1 - top1, val_top1=top1)


def never(*_: object) -> object:
    raise AssertionError("a search has no use for this")


def fake_tools(train: FakeTrainer | None = None, said: list[str] | None = None) -> Tools:
    """Tools around a fake trainer."""
    return Tools(
        train=train or FakeTrainer(),
        read=lambda recipe: fake_data(),
        predict=never,  # type: ignore[arg-type]
        inputs=never,  # type: ignore[arg-type]
        open=never,  # type: ignore[arg-type]
        say=(lambda line: None) if said is None else said.append,
    )


def dying_tools() -> Tools:
    """For another process: it is killed in epoch 2 of trial 3, the first time."""
    mark = Path(os.environ["QUICKEYE_TEST_MARK"])

    def after_epoch(folder: Path, epoch: int) -> None:
        if folder.name == "0003" and epoch == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)

    return fake_tools(FakeTrainer(after_epoch=after_epoch))


def failing_tools() -> Tools:
    """For another process: no training succeeds."""
    return fake_tools(FakeTrainer(fails=lambda recipe: "no memory"))


def recipe_with(search: dict[str, object], **tables: object) -> Recipe:
    """A small recipe with this ``[search]``."""
    content: dict[str, object] = {
        "name": "searched",
        "data": {"train": "nowhere"},
        "model": {"architecture": "grey28"},
        "train": {"epochs": 4},
        "optimiser": {"name": "adamw", "lr": 0.001},
        **tables,
    }
    return parse_recipe({**content, "search": search})


LR = {"optimiser.lr": {"low": 1e-4, "high": 1.0, "log": True}}
