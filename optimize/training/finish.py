"""The end of a run: the final weights judged, made into a bundle, and a report.

Each step can be done again: a run that is killed here does all of it once more, from
the last checkpoint. The bundle appears in ``store`` whole, or not at all.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import ModelZooError
from model_zoo.store import Store
from optimize.data.dataset import Dataset
from optimize.data.read import Data
from optimize.errors import RunError, TrainingError
from optimize.judging.judged_model import BundleModel
from optimize.judging.predictions import Predictions
from optimize.judging.run_judgement import judge_run
from optimize.judging.temperature import fit_temperature
from optimize.report.write import write_report
from optimize.store_swap import swap_store
from optimize.training.assembly import Assembly
from optimize.training.bundle_names import bundle_names, slug
from optimize.training.checkpointing import Standing
from optimize.training.durable import reason
from optimize.training.evaluate_network import EvaluationSet
from optimize.training.export_run import PARITY_PICTURES, Export, write_run_bundle
from optimize.training.final_weights import final_network
from optimize.training.finished import Finished
from optimize.training.network.network import Network
from optimize.training.recipe import Recipe
from optimize.training.run_folder import RunFolder
from optimize.training.tasks.task_networks import task_networks
from server.backends.errors import BackendError

# With fewer labelled validation pictures a temperature would say more of them than of the network.
LEAST_FOR_TEMPERATURE = 100


@dataclass(frozen=True, slots=True)
class _Answers:
    """Logits of a split, of all tasks, before any temperature."""

    pictures: EvaluationSet
    logits: NDArray[np.float32]

    def of(self, task: int) -> Predictions:
        return self.pictures.predictions(self.logits, task)


_Splits = Mapping[str, _Answers]


def _labelled(answers: _Splits, task: int) -> dict[str, Predictions]:
    """What is said of each split that has labels for the task."""
    found = {split: one.of(task) for split, one in answers.items()}
    return {split: predictions for split, predictions in found.items() if len(predictions)}


def finish(
    recipe: Recipe,
    folder: RunFolder,
    parts: Assembly,
    standing: Standing,
    data: Data,
    validation: EvaluationSet,
    *,
    export: bool,
) -> Finished:
    """Judge, export and report.

    Raises:
        TrainingError: answers that are not numbers, the graph and torch disagree, or the export failed.
        RunError: the disk refused.
    """
    network = final_network(parts, standing, data)
    answers = {"val": _Answers(validation, validation.logits(network.module))}
    if data.test is not None:
        answers["test"] = _test_answers(parts, data.test, network)
    for number, task in enumerate(network.tasks):
        for split, predictions in _labelled(answers, number).items():
            suffix = "" if number == 0 else f"-{slug(task.name)}"
            predictions.save(folder.predictions(f"{split}{suffix}"))
    temperatures = [chosen_temperature(answers["val"].of(number)) for number in range(len(network.tasks))]
    bundles = _bundles(recipe, folder, network, answers, temperatures, data, parts, standing) if export else []
    if bundles:
        _judge(recipe, folder, bundles[0], answers, temperatures[0], data)
        write_report(folder)
    first = _labelled(answers, 0)
    return Finished(
        folder=folder,
        bundle=bundles[0].folder if bundles else None,
        rows=tuple(standing.rows),
        best_epoch=standing.best_epoch,
        val_top1=_top1(first["val"]),
        test_top1=_top1(first["test"]) if "test" in first else None,
        temperature=temperatures[0],
    )


def _test_answers(parts: Assembly, test: Dataset, network: Network) -> _Answers:
    pictures = EvaluationSet(
        test,
        network.spec,
        parts.device,
        memory_mb=parts.recipe.data.memory_mb,
        workers=parts.recipe.data.workers,
        channels_last=parts.recipe.train.channels_last,
    )
    try:
        return _Answers(pictures, pictures.logits(network.module))
    finally:
        pictures.close()


def chosen_temperature(validation: Predictions) -> float:
    """The one that fits the validation pictures best; 1 where they can't say.

    They are too few, or all are answered rightly: then the surer a network the better it would fit, without end.
    """
    if len(validation) < LEAST_FOR_TEMPERATURE or _top1(validation) == 1.0:
        return 1.0
    return fit_temperature(validation)


def _top1(predictions: Predictions) -> float:
    return float((predictions.logits.argmax(1) == predictions.labels).mean())


def _bundles(
    recipe: Recipe,
    folder: RunFolder,
    network: Network,
    answers: _Splits,
    temperatures: list[float],
    data: Data,
    parts: Assembly,
    standing: Standing,
) -> list[Bundle]:
    """One for each task, in a new store that takes the old one's place when all are there."""
    making = folder.root / ".store-making"
    shutil.rmtree(making, ignore_errors=True)
    validation = answers["val"]
    few = np.arange(min(PARITY_PICTURES, len(validation.pictures.dataset)))
    pictures = np.ascontiguousarray(validation.pictures.bytes(few).cpu().numpy().transpose(0, 2, 3, 1))
    names = bundle_names(recipe.name, network.tasks)
    best = recipe.train.keep == "best" and standing.best is not None
    alone = task_networks(replace(network, module=network.module.cpu()))
    made = []
    try:
        for number, one in enumerate(alone.values()):
            export = Export(
                recipe=recipe,
                name=names[number],
                network=one,
                temperature=temperatures[number],
                splits=_labelled(answers, number),
                pictures=pictures,
                logits=validation.logits[few, network.slices[number]],
                fingerprint=data.report.fingerprint,
                teacher=parts.teacher,
                epochs=standing.done,
                epoch=standing.best_epoch if best else standing.done,
            )
            made.append(write_run_bundle(export, Store(making)))
        swap_store(making, folder.store)
    except ModelZooError as error:
        raise TrainingError(f"the network is trained, and no bundle can be made of it: {error}") from error
    except OSError as error:
        raise RunError(f"{folder.store} can't be written: {reason(error)}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return [read_bundle(_moved(one.folder, making, folder.store)) for one in made]


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new.absolute() / path.relative_to(old.absolute())


def _judge(
    recipe: Recipe,
    folder: RunFolder,
    bundle: Bundle,
    answers: _Splits,
    temperature: float,
    data: Data,
) -> None:
    first = _labelled(answers, 0)
    labelled = {
        split: found.subset(np.flatnonzero(found.first_labels >= 0))
        for split, found in (("val", data.val), ("test", data.test))
        if found is not None and split in first
    }
    try:
        model = BundleModel(bundle)
    except BackendError as error:
        raise TrainingError(f"{bundle.folder}: no engine of this machine runs the bundle: {error}") from error
    except ModelZooError as error:  # altered since it was written
        raise TrainingError(f"the run's bundle can't be judged: {error}") from error
    try:
        judge_run(
            folder,
            first,
            seed=recipe.seed,
            temperature=temperature,
            model=model,
            datasets=labelled,
        )
    finally:
        model.close()
