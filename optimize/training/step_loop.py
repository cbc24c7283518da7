"""The loop: what happens in a step, and a step after another until the epoch ends.

It knows no technique by name. The objective's terms see the step, the plan says what
is frozen, the schedule what the rates are; the rest is forward, backward, step. On a
GPU nothing here waits for it: sums stay there until the epoch's end.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from optimize.data.loader import LoadedBatch
from optimize.seeding import stream_seed
from optimize.training.assembly import Assembly
from optimize.training.batches import Batch, endless
from optimize.training.loss_watch import LossWatch
from optimize.training.schedules.rates import set_rates
from optimize.training.step import Seen, StepView

Tick = Callable[[int], None]  # batches of the epoch that are done


class EpochSums:
    """Sums over an epoch, on the device."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._right = torch.zeros((), device=device)
        self._labelled = torch.zeros((), device=device)
        self.pictures = 0

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """A batch: its loss, and the first task's logits and target rows."""
        self._loss += loss.detach() * len(targets)
        highest, truth = targets.max(1)
        labelled = highest > 0
        self._right += ((logits.argmax(1) == truth) & labelled).sum()
        self._labelled += labelled.sum()
        self.pictures += len(targets)

    @property
    def loss(self) -> float:
        """Mean by picture; waits for the device."""
        return float(self._loss) / max(self.pictures, 1)

    @property
    def top1(self) -> float:
        """Share of labelled pictures whose highest target was the highest logit."""
        return float(self._right) / max(float(self._labelled), 1.0)


class StepLoop:
    """Runs epochs of one assembly."""

    def __init__(self, parts: Assembly, watch: LossWatch) -> None:
        self.parts = parts
        self.watch = watch

    def epoch(self, epoch: int, tick: Tick) -> EpochSums:
        """Train for one epoch.

        Args:
            epoch: from 0.
            tick: told after each batch.
        Raises:
            TrainingError: the loss is no longer a number.
            DataError: a picture that was readable is no longer.
        """
        parts = self.parts
        torch.manual_seed(stream_seed(parts.recipe.seed, "epoch", epoch))
        parts.plan.begin_epoch(parts.network, epoch, parts.epochs)
        parts.objective.train()
        sums = EpochSums(parts.device)
        targets = endless(parts.target_loader, epoch) if parts.target_loader else None
        batches = self._batches(epoch)
        updates = parts.updates
        for update in range(updates):
            group = list(islice(batches, parts.recipe.train.accumulate))
            progress = (epoch * updates + update) / max(parts.epochs * updates - 1, 1)
            set_rates(parts.optimiser, parts.schedule, progress, epoch, parts.epochs)
            others = (
                [self._target(next(targets), epoch, update, index) for index in range(len(group))] if targets else []
            )
            self._update(group, others, progress, epoch, update, sums)
            tick(min((update + 1) * parts.recipe.train.accumulate, parts.steps))
        self.watch.settle()
        return sums

    def _batches(self, epoch: int) -> Iterator[Batch]:
        size = self.parts.size_at(epoch / self.parts.epochs)
        loaded = islice(self.parts.loader.epoch(epoch), self.parts.steps)
        for step, one in enumerate(loaded):
            yield self.parts.maker.make(one, size, "augment", epoch, step)

    def _target(self, loaded: LoadedBatch, epoch: int, update: int, index: int) -> Batch:
        size = self.parts.size_at(epoch / self.parts.epochs)
        return self.parts.target_maker.make(loaded, size, "augment-target", epoch, update, index)

    def _update(
        self, group: list[Batch], others: list[Batch], progress: float, epoch: int, update: int, sums: EpochSums
    ) -> None:
        """Gradients of a group of batches, and one step of the optimiser."""
        parts = self.parts
        parts.optimiser.zero_grad(set_to_none=True)
        for index, batch in enumerate(group):
            other = others[index] if others else None
            loss, view = self._backward(batch, other, progress, len(group))
            self.watch.look(loss, view, epoch, update * parts.recipe.train.accumulate + index)
            sums.add(loss, view.student.logits.detach()[:, parts.slices[0]], batch.targets[:, parts.slices[0]])
        if parts.sam is not None:
            with parts.sam.climbed():
                for index, batch in enumerate(group):
                    self._backward(batch, others[index] if others else None, progress, len(group))
        self._move()

    def _backward(self, batch: Batch, other: Batch | None, progress: float, group: int) -> tuple[Tensor, StepView]:
        parts = self.parts
        with parts.precision.context():
            view = self._view(batch, other, progress)
            loss = parts.objective(view)
        parts.scaler.scale(loss / group if group > 1 else loss).backward()
        return loss, view

    def _view(self, batch: Batch, other: Batch | None, progress: float) -> StepView:
        parts = self.parts
        student = self._look(batch.inputs)
        return StepView(
            pictures=batch.pictures,
            indices=batch.indices,
            targets=batch.targets,
            slices=parts.slices,
            student=student,
            teacher=parts.teach(batch) if parts.teach else None,
            target_domain=self._look(other.inputs) if other is not None else None,
            network=parts.network.module,
            progress=progress,
            is_plain=parts.is_plain,
        )

    def _look(self, inputs: Tensor) -> Seen:
        logits = self.parts.forward(inputs).float()
        return Seen(logits, self.parts.taps.take() if self.parts.taps else {})

    def _move(self) -> None:
        """Clip, step, average."""
        parts = self.parts
        clip = parts.recipe.train.clip_norm
        if clip:
            parts.scaler.unscale_(parts.optimiser)
            torch.nn.utils.clip_grad_norm_(parts.trained, clip, foreach=True)
        parts.scaler.step(parts.optimiser)
        parts.scaler.update()
        if parts.ema is not None:
            parts.ema.update()
