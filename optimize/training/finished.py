"""What a training run came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from optimize.training.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at the validation set: mean cross-entropy, shares, expected calibration error."""

    loss: float
    top1: float
    top5: float
    ece: float


@dataclass(frozen=True, slots=True)
class EpochRow:
    """A row of metrics.csv: nothing here depends on a clock. Rates are fractions; None where it was not looked at.

    Attributes:
        epoch: from 1.
        lr: of the parameter group with the highest rate, at the epoch's last step.
        train_loss: mean of the objective over the epoch's pictures.
        train_top1: on augmented pictures, of the weights as they moved.
        val_loss: cross-entropy of the weights that are judged (the average, where there is one).
        val_top1, val_top5, val_ece: of the first task.
        other_top1: of each further task, by its name.
    """

    epoch: int
    lr: float
    train_loss: float
    train_top1: float
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_ece: float | None = None
    other_top1: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run.

    Attributes:
        folder: where everything is; ``predictions("val")`` is written, ``predictions("test")`` where there is a test.
        bundle: the bundle's own folder, ``store/NAME/1``; None when the run was trained without exporting.
        rows: one for each epoch.
        best_epoch: highest top-1 on the validation set, from 1; the exported one where the recipe keeps the best.
        val_top1: of the exported weights.
        test_top1: likewise; None without a test set.
        temperature: that the bundle's logits were divided by.
        was_finished: the run had been finished before, and nothing was done.
    """

    folder: RunFolder
    bundle: Path | None
    rows: tuple[EpochRow, ...]
    best_epoch: int
    val_top1: float
    test_top1: float | None
    temperature: float
    was_finished: bool = False
