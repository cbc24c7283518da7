"""``train``: from a recipe to a finished run; resumable at any moment.

Everything random is drawn by place (seed, epoch, step), everything else is in the
checkpoint of the last whole epoch. So it makes no difference where a run is killed:
the same call goes on after that epoch and comes to the same metrics and, on the same
machine with as many threads of its CPU, to the same bytes of ``model.onnx``. On a GPU
some sums are taken in whatever order they arrive, and the last digits may differ.
"""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from optimize.data.read import Data, read_data
from optimize.errors import DataError, RunError
from optimize.training import checkpointing
from optimize.training.assembly import Assembly, assembled
from optimize.training.checkpoint_names import checkpoints
from optimize.training.checkpointing import Standing
from optimize.training.durable import write_whole
from optimize.training.epoch_log import EpochLog, EpochTime, read_metrics
from optimize.training.evaluate_network import EvaluationSet, looked_at
from optimize.training.finish import finish
from optimize.training.finished import EpochRow, Finished
from optimize.training.loss_watch import LossWatch, require_finite
from optimize.training.recipe import Recipe
from optimize.training.reporter import Reporter, Silent, Stopwatch
from optimize.training.run_folder import RunFolder
from optimize.training.run_state import RunState, alone, begin, require_same_data, take
from optimize.training.step_loop import EpochSums, StepLoop

Watch = Callable[[EpochRow], None]


def train(
    recipe: Recipe,
    folder: Path,
    *,
    data: Data | None = None,
    watch: Watch | None = None,
    reporter: Reporter | None = None,
    export: bool = True,
) -> Finished:
    """Train, or go on training, in ``folder``.

    Args:
        folder: of the run; made where it is absent. A finished run is only read.
        data: read from the recipe's ``[data]`` by default; given, a finished run is asked for them too.
        watch: told of every epoch, those of an earlier call too; what it raises ends the run, which can go on later.
        reporter: tells a person how it goes.
        export: make a bundle, judge it and write the report; else stop at predictions.
    Raises:
        RunError: the folder holds something else, another recipe's run or other data's, or the disk refused.
        RecipeError: techniques that do not fit each other, the network or the data.
        DataError: data that can't be trained on.
        CheckpointError: a checkpoint, starting weights or a teacher that can't be read.
        TrainingError: the loss is no longer a number.
    """
    run = RunFolder(folder)
    with alone(run):
        state = take(run, recipe)
        if state is not None and state.status == "finished" and (state.bundle or not export):
            if data is not None:
                require_same_data(run, state, data.report.fingerprint)
            return _read_finished(run, state, watch)
        return _Training(recipe, run, state, reporter or Silent(), watch).run(data, export=export)


class _Training:
    """One call of ``train`` on a run that is not finished."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, state: RunState | None, reporter: Reporter, watch: Watch | None
    ) -> None:
        self.recipe, self.folder, self.state, self.reporter, self.watch = recipe, folder, state, reporter, watch

    def run(self, data: Data | None, *, export: bool) -> Finished:
        if self.recipe.train.threads:
            torch.set_num_threads(self.recipe.train.threads)
        data = data or read_data(self.recipe.data, self.recipe.seed)
        for warning in data.report.warnings:
            self.reporter.say(f"warning: {warning}")
        fingerprint = data.report.fingerprint
        if self.state is not None:
            require_same_data(self.folder, self.state, fingerprint)
        _require_validation(data)
        with assembled(self.recipe, data, self.folder.root, self.reporter.say) as parts:
            self._begin(data, fingerprint)
            with closing(self._evaluation_set(data, parts)) as validation:
                try:
                    standing = self._epochs(parts, validation, fingerprint)
                finally:
                    self.reporter.end()
                self.reporter.say("judging and exporting" if export else "judging")
                made = finish(self.recipe, self.folder, parts, standing, data, validation, export=export)
        self._save_state(standing, fingerprint, status="finished", made=made)
        return made

    def _begin(self, data: Data, fingerprint: str) -> None:
        write_whole(self.folder.data, (json.dumps(data.report.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
        if self.state is None:
            begin(self.folder, self.recipe, RunState(data=fingerprint, epochs=self.recipe.train.epochs))

    def _evaluation_set(self, data: Data, parts: Assembly) -> EvaluationSet:
        return EvaluationSet(
            data.val,
            parts.network.spec,
            parts.device,
            memory_mb=self.recipe.data.memory_mb,
            workers=self.recipe.data.workers,
            channels_last=self.recipe.train.channels_last,
        )

    def _epochs(self, parts: Assembly, validation: EvaluationSet, fingerprint: str) -> Standing:
        """Train what is left; every epoch ends in a checkpoint, and only then in what people read."""
        saved = checkpoints(self.folder.checkpoints)
        standing = checkpointing.restore(saved[-1], parts, fingerprint) if saved else Standing()
        loop = StepLoop(parts, LossWatch(self.folder.bad_batch))
        with closing(EpochLog(self.folder, standing.done)) as log:
            log.write(standing.rows)
            for row in standing.rows:
                self._told(row)
            self.reporter.begin(standing.done, parts.epochs, parts.steps)
            while not self._is_over(standing):
                epoch, clock = standing.done, Stopwatch()
                sums = loop.epoch(epoch, partial(self.reporter.tick, epoch))
                row = self._row(parts, epoch, sums)
                train_s = clock.lap()
                if self._looks(epoch):
                    row = looked(row, parts, validation)
                val_s = clock.lap()
                require_finite(parts.trained, epoch)
                standing.observe(row, parts)
                checkpointing.save(self.folder.checkpoints, parts, standing, fingerprint)
                log.write(standing.rows, EpochTime(epoch + 1, train_s, val_s, sums.pictures / max(train_s, 1e-9)))
                self._save_state(standing, fingerprint)
                seconds = train_s + val_s
                self.reporter.epoch(row, seconds, seconds * (parts.epochs - standing.done))
                self._told(row)
        return standing

    def _row(self, parts: Assembly, epoch: int, sums: EpochSums) -> EpochRow:
        lr = max(float(group["lr"]) for group in parts.optimiser.param_groups)
        return EpochRow(epoch + 1, lr, sums.loss, sums.top1)

    def _looks(self, epoch: int) -> bool:
        options = self.recipe.train
        return (epoch + 1) % options.validate_every == 0 or epoch + 1 == options.epochs

    def _is_over(self, standing: Standing) -> bool:
        patience = self.recipe.train.early_stopping
        return standing.done >= self.recipe.train.epochs or bool(patience and standing.unimproved >= patience)

    def _told(self, row: EpochRow) -> None:
        if self.watch is not None:
            self.watch(row)

    def _save_state(
        self, standing: Standing, fingerprint: str, *, status: str = "training", made: Finished | None = None
    ) -> None:
        found = {
            "status": status,
            "data": fingerprint,
            "epoch": standing.done,
            "epochs": self.recipe.train.epochs,
            "stopped_early": self._is_over(standing) and standing.done < self.recipe.train.epochs,
            "best_epoch": standing.best_epoch or None,
        }
        if made is not None:
            bundle = made.bundle.relative_to(self.folder.root.absolute()).as_posix() if made.bundle else None
            found |= {
                "val_top1": made.val_top1,
                "test_top1": made.test_top1,
                "temperature": made.temperature,
                "bundle": bundle,
            }
        RunState.model_validate(found).save(self.folder)


def looked(row: EpochRow, parts: Assembly, validation: EvaluationSet) -> EpochRow:
    """The row with what the judged weights say of the validation set."""
    logits = validation.logits(parts.judged)
    found = [validation.predictions(logits, task) for task in range(len(parts.network.tasks))]
    first = looked_at(found[0])
    others = zip(parts.network.tasks[1:], found[1:], strict=True)
    return replace(
        row,
        val_loss=first.loss,
        val_top1=first.top1,
        val_top5=first.top5,
        val_ece=first.ece,
        other_top1={task.name: looked_at(one).top1 for task, one in others if len(one)},
    )


def _require_validation(data: Data) -> None:
    """Raises: DataError: no epoch could be told from another."""
    if not (data.val.first_labels >= 0).any():
        raise DataError(
            f"{data.val.name}: no validation picture has a label for {data.val.tasks[0].name!r}, the first column: "
            "label some, or name another column first in data.label_columns"
        )


def _read_finished(folder: RunFolder, state: RunState, watch: Watch | None) -> Finished:
    rows = read_metrics(folder)
    for row in rows:
        if watch is not None:
            watch(row)
    if state.val_top1 is None or state.temperature is None or state.best_epoch is None:
        raise RunError(f"{folder.state} says that the run is finished, and not with what; train in a new folder")
    bundle = folder.root.absolute() / state.bundle if state.bundle else None
    return Finished(
        folder, bundle, rows, state.best_epoch, state.val_top1, state.test_top1, state.temperature, was_finished=True
    )
