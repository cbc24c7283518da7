"""Stops a run whose loss is no longer a number, with the batch that did it.

On a GPU, asking for the loss would make every step wait for the one before. So the
verdict is copied over in the background and looked at when it has arrived, a few
steps late; what is written of a bad batch is kept that long. Nothing is lost: checkpoints
are written at the end of an epoch, after every verdict is in. The last step's loss was
taken before its weights moved, so that the weights are looked at too, once an epoch.
"""

import io
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimize.errors import RunError, TrainingError
from optimize.training.durable import write_whole
from optimize.training.step import StepView

LATEST = 8  # steps that a verdict may be late


@dataclass(frozen=True, slots=True)
class _Waiting:
    is_finite: Tensor
    arrived: "torch.cuda.Event | None"
    loss: Tensor
    batch: dict[str, Tensor]
    epoch: int
    step: int


def require_finite(weights: Iterable[Tensor], epoch: int) -> None:
    """See that an epoch's last step has not ruined the weights; waits for the device once.

    Args:
        epoch: the one that is done, from 0.
    Raises:
        TrainingError: one of them is NaN or infinite.
    """
    verdicts = [torch.isfinite(weight.detach()).all() for weight in weights]
    if verdicts and not bool(torch.stack(verdicts).all()):
        raise TrainingError(
            f"the weights are not numbers after the last step of epoch {epoch + 1}: training has stopped, and "
            "nothing of this epoch is kept. Most often the learning rate is too high: try a tenth of it, "
            "train.clip_norm=1, or a longer warm-up of the schedule, in a new folder"
        )


class LossWatch:
    """Sees each step's loss."""

    def __init__(self, bad_batch: Path) -> None:
        """
        Args:
            bad_batch: where the batch is written.
        """
        self.bad_batch = bad_batch
        self._waiting: deque[_Waiting] = deque()

    def look(self, loss: Tensor, view: StepView, epoch: int, step: int) -> None:
        """Note a step; look at those whose verdict has arrived.

        Raises:
            TrainingError: a loss is NaN or infinite.
        """
        loss = loss.detach()
        is_finite = torch.isfinite(loss)
        arrived = None
        if loss.is_cuda:
            is_finite = is_finite.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(loss.device))
        batch = {
            "pictures": view.pictures,
            "targets": view.targets,
            "indices": view.indices,
            "logits": view.student.logits.detach(),
        }
        self._waiting.append(_Waiting(is_finite, arrived, loss, batch, epoch, step))
        while self._waiting and (len(self._waiting) > LATEST or self._is_there(self._waiting[0])):
            self._judge(self._waiting.popleft())

    def settle(self) -> None:
        """Wait for all verdicts.

        Raises:
            TrainingError: as ``look``.
        """
        while self._waiting:
            self._judge(self._waiting.popleft())

    @staticmethod
    def _is_there(one: _Waiting) -> bool:
        return one.arrived is None or bool(one.arrived.query())  # type: ignore[no-untyped-call]

    def _judge(self, one: _Waiting) -> None:
        if one.arrived is not None:
            one.arrived.synchronize()
        if not bool(one.is_finite):
            self._stop(one)

    def _stop(self, one: _Waiting) -> NoReturn:
        content = {name: tensor.float().cpu().numpy() for name, tensor in one.batch.items()}
        content |= {"loss": one.loss.cpu().numpy(), "epoch": np.array(one.epoch + 1), "step": np.array(one.step + 1)}
        raise TrainingError(
            f"the loss is {float(one.loss)} in epoch {one.epoch + 1}, step {one.step + 1}: training has stopped. "
            f"{self._kept(content)}. Most often the learning rate is too high: try a tenth of it, "
            "train.clip_norm=1, or a longer warm-up of the schedule"
        )

    def _kept(self, content: dict[str, NDArray[Any]]) -> str:
        """Write the batch, whole or not at all; says where it is."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **content)
        try:
            write_whole(self.bad_batch, buffer.getvalue())
        except RunError as error:
            return f"The batch could not be kept ({error})"
        return f"The batch is in {self.bad_batch}"
