"""The loop: what happens in a step, and a step after another until the epoch ends.

It knows no technique by name. The objective's terms see the step, the plan says what
is frozen, the schedule what the rates are; the rest is forward, backward, step. On a
GPU nothing here waits for it: sums stay there until the epoch's end. (A teacher that
runs as a graph does: its pictures leave the GPU. So do pictures kept there: their
places are sent with each batch.)
"""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from optimize.errors import TrainingError
from optimize.seeding import stream_seed
from optimize.training.assembly import Assembly
from optimize.training.batches import Batch, endless
from optimize.training.loss_watch import LossWatch
from optimize.training.schedules.rates import set_rates
from optimize.training.step import Seen, StepView

Tick = Callable[[int], None]  # batches of the epoch that are done
Pair = tuple[Batch, Batch | None]  # and one of the other domain


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
        batches = self._batches(epoch)
        updates = parts.updates
        for update in range(updates):
            progress = (epoch * updates + update) / max(parts.epochs * updates - 1, 1)
            set_rates(parts.optimiser, parts.schedule, progress, epoch, parts.epochs)
            self._update(islice(batches, parts.recipe.train.accumulate), progress, epoch, update, sums)
            tick(min((update + 1) * parts.recipe.train.accumulate, parts.steps))
        self.watch.settle()
        return sums

    def _batches(self, epoch: int) -> Iterator[Pair]:
        """An epoch's batches, made one at a time, each with one of the other domain where a term wants it."""
        parts = self.parts
        size = parts.size_at(epoch / parts.epochs)
        targets = endless(parts.target_loader, epoch) if parts.target_loader else None
        for step, one in enumerate(islice(parts.loader.epoch(epoch), parts.steps)):
            batch = parts.maker.make(one, size, "augment", epoch, step)
            place = divmod(step, parts.recipe.train.accumulate)
            other = parts.target_maker.make(next(targets), size, "augment-target", epoch, *place) if targets else None
            yield batch, other

    def _update(self, group: Iterator[Pair], progress: float, epoch: int, update: int, sums: EpochSums) -> None:
        """Gradients of a group of batches, the mean over its pictures, and one step of the optimiser."""
        parts = self.parts
        pictures = parts.pictures_of(update)
        parts.optimiser.zero_grad(set_to_none=True)
        pairs = list(group) if parts.sam is not None else group  # that looks at each batch twice
        for index, (batch, other) in enumerate(pairs):
            loss, view = self._backward(batch, other, progress, len(batch.targets) / pictures)
            self.watch.look(loss, view, epoch, update * parts.recipe.train.accumulate + index)
            sums.add(loss, view.student.logits.detach()[:, parts.slices[0]], batch.targets[:, parts.slices[0]])
        if parts.sam is not None:
            if parts.sparsity is not None:
                parts.sparsity.hold_gradients()  # what is 0 climbs nowhere
            with parts.sam.climbed():
                for batch, other in pairs:
                    self._backward(batch, other, progress, len(batch.targets) / pictures)
        self._move(epoch * parts.updates + update)

    def _backward(self, batch: Batch, other: Batch | None, progress: float, share: float) -> tuple[Tensor, StepView]:
        """``share``: how much of its group's pictures the batch is."""
        parts = self.parts
        with parts.precision.context():
            view = self._view(batch, other, progress)
        loss = parts.objective(view)  # in fp32, whatever the networks run in
        parts.scaler.scale(loss * share if share != 1 else loss).backward()
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
            teacher=_in_fp32(parts.teach(batch)) if parts.teach else None,
            target_domain=self._look(other.inputs) if other is not None else None,
            network=parts.network.module,
            progress=progress,
            is_plain=parts.is_plain,
        )

    def _look(self, inputs: Tensor) -> Seen:
        try:
            logits = self.parts.forward(inputs)
        except ValueError as error:
            if len(inputs) > 1:
                raise
            raise TrainingError(
                f"the network can't train on a batch of one picture: {error}. Take a train.batch_size of 2 or more, "
                'train.drop_last = true, or model.batch_norm = "frozen"'
            ) from error
        return _in_fp32(Seen(logits, self.parts.taps.take() if self.parts.taps else {}))

    def _move(self, update: int) -> None:
        """Clip, step, average; ``update`` counts from the run's beginning."""
        parts = self.parts
        clip = parts.recipe.train.clip_norm
        if clip or parts.sparsity is not None:
            parts.scaler.unscale_(parts.optimiser)
        if parts.sparsity is not None:
            parts.sparsity.see_gradients()
        if clip:
            torch.nn.utils.clip_grad_norm_(parts.trained, clip, foreach=True)
        parts.scaler.step(parts.optimiser)
        parts.scaler.update()
        if parts.sparsity is not None:
            parts.sparsity.moved(update)
        if parts.ema is not None:
            parts.ema.update()
            if parts.sparsity is not None:
                parts.sparsity.average_moved()


def _in_fp32(seen: Seen) -> Seen:
    return Seen(seen.logits.float(), {name: one.float() for name, one in seen.features.items()})
