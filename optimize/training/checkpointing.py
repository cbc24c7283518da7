"""What of a run goes into a checkpoint, and back."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optimize.errors import CheckpointError
from optimize.training.assembly import Assembly
from optimize.training.checkpoint import State, load_checkpoint, require_same_keys, save_checkpoint
from optimize.training.finished import EpochRow

VERSION = 1


@dataclass(slots=True)
class Standing:
    """Where a run stands, apart from its tensors.

    Attributes:
        rows: one for each epoch that is done.
        best_epoch: highest top-1 on the validation set, at equal ones the lowest loss; 0 before the first look.
        unimproved: looks at the validation set since the best.
        best: the weights of the best epoch; kept where the recipe asks for them.
    """

    rows: list[EpochRow] = field(default_factory=list)
    best_epoch: int = 0
    unimproved: int = 0
    best: dict[str, Tensor] | None = None

    @property
    def done(self) -> int:
        """Epochs."""
        return len(self.rows)

    def observe(self, row: EpochRow, parts: Assembly) -> None:
        """Take a new row in."""
        self.rows.append(row)
        if row.val_top1 is None or row.val_loss is None:
            return
        parts.schedule.observe(row.val_loss)
        if self._is_better(row):
            self.best_epoch, self.unimproved = row.epoch, 0
            if parts.recipe.train.keep == "best":
                self.best = {key: tensor.detach().clone() for key, tensor in parts.judged.state_dict().items()}
        else:
            self.unimproved += 1

    def _is_better(self, row: EpochRow) -> bool:
        if not self.best_epoch:
            return True
        best = self.rows[self.best_epoch - 1]
        return (row.val_top1 or 0.0, -(row.val_loss or 0.0)) > (best.val_top1 or 0.0, -(best.val_loss or 0.0))


def save(folder: Path, parts: Assembly, standing: Standing, fingerprint: str) -> Path:
    """Write the checkpoint of the last epoch done.

    Raises:
        RunError: the disk refused.
    """
    state: dict[str, Any] = {
        "version": VERSION,
        "data": fingerprint,
        "teacher": parts.teacher,
        "start": parts.network.start,
        "rows": [asdict(row) for row in standing.rows],
        "best_epoch": standing.best_epoch,
        "unimproved": standing.unimproved,
        "best": standing.best,
        "state_dict": parts.network.module.state_dict(),
        "optimiser": parts.optimiser.state_dict(),
        "terms": parts.objective.state_dict(),
        "scaler": parts.scaler.state_dict(),
        "schedule": parts.schedule.state(),
    }
    if parts.ema is not None:
        average = parts.ema.state_dict()
        state |= {"state_dict_ema": average["network"], "ema_updates": average["updates"]}
    if parts.sparsity is not None:
        state["sparsity"] = parts.sparsity.state_dict()
    return save_checkpoint(folder, standing.done, state)


def restore(path: Path, parts: Assembly, fingerprint: str) -> Standing:
    """Put a checkpoint into a freshly assembled run.

    Raises:
        CheckpointError: damaged, of another network, or of other data, starting weights or teacher.
    """
    state = load_checkpoint(path)
    if state.get("version") != VERSION:
        raise CheckpointError(f"{path} was written by another version of Quickeye; train in a new folder")
    if state["data"] != fingerprint:
        raise CheckpointError(f"{path} is of a run on other data; train in a new folder")
    _require_same_source(path, state, "teacher", parts.teacher, "with another teacher")
    _require_same_source(path, state, "start", parts.network.start, "from other starting weights")
    require_same_keys("network", parts.network.module.state_dict(), state["state_dict"], path)
    require_same_keys("objective", parts.objective.state_dict(), state["terms"], path)
    parts.network.module.load_state_dict(state["state_dict"])
    parts.objective.load_state_dict(state["terms"])
    _restore_optimiser(path, parts, state)
    if parts.ema is not None:
        if "state_dict_ema" not in state:
            raise CheckpointError(f"{path} has no average of the weights; train in a new folder")
        parts.ema.load_state_dict({"network": state["state_dict_ema"], "updates": state["ema_updates"]})
    if parts.sparsity is not None:
        parts.sparsity.load_state_dict(state.get("sparsity", {}))
    parts.scaler.load_state_dict(state["scaler"])
    parts.schedule.restore(state["schedule"])
    best = {key: tensor.to(parts.device) for key, tensor in state["best"].items()} if state["best"] else None
    return Standing([EpochRow(**row) for row in state["rows"]], state["best_epoch"], state["unimproved"], best)


def _require_same_source(path: Path, state: State, key: str, found: str | None, said: str) -> None:
    """What lies at a place that the recipe names may have been replaced since."""
    if state.get(key, found) != found:
        raise CheckpointError(
            f"{path} is of a run {said}: what the recipe names has changed since. Put back what was there, or train in "
            "a new folder"
        )


def _restore_optimiser(path: Path, parts: Assembly, state: State) -> None:
    try:
        parts.optimiser.load_state_dict(state["optimiser"])
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is of a run with another optimiser: {error}; train in a new folder") from error
    _as_their_weights(parts.optimiser)


def _as_their_weights(optimiser: torch.optim.Optimizer) -> None:
    """Lay each running average out as its weight is, so that sums round as if the run had never stopped."""
    for weight, state in optimiser.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[key] = torch.empty_like(weight).copy_(value)
