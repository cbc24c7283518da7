"""An ensemble, from a recipe with ``[ensemble]`` to a bundle.

Members resume by themselves, and what is made of them is made again each time from
the same numbers: so a run that was killed goes on with the first member that is not
finished. A kill while the bundle is written leaves the store as it was and an unfinished
one beside it, ``.store-making``; a kill in the moment of the swap may leave no store and
the old one as ``.store-before`` (``store_swap.py``). The same command clears both.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.errors import ModelZooError
from model_zoo.export import Provenance, export_bundle
from model_zoo.manifest import Lineage, Pass
from model_zoo.store import Store
from optimize.data.dataset import Dataset
from optimize.ensembles.judgement import EnsembleFigures, judge_members, write_figures
from optimize.ensembles.workshop import Made, Workshop
from optimize.errors import RecipeError, TrainingError
from optimize.judging.judged_model import BundleModel
from optimize.judging.predictions import Predictions
from optimize.judging.run_judgement import judge_run
from optimize.report.write import write_report
from optimize.store_swap import swap_store
from optimize.training.compound_run import Tools, open_folder, write_data_report
from optimize.training.export_run import accuracies
from optimize.training.finish import chosen_temperature
from optimize.training.recipe_file import without_paths
from optimize.training.run_folder import RunFolder
from server.backends.errors import BackendError

if TYPE_CHECKING:
    from optimize.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """A finished ensemble; ``figures`` by split."""

    folder: Path
    bundle: Path
    made: Made
    figures: dict[str, EnsembleFigures]


def train_ensemble(recipe: "Recipe", folder: Path, tools: Tools) -> EnsembleResult:
    """Train the members that are missing, put them together, judge and export.

    Args:
        recipe: with ``[ensemble]``.
        folder: the run's; one that was begun is continued.
    Returns:
        Where everything is: ``members/``, ``ensemble.json``, and the files of any run.
    Raises:
        RecipeError: there is no ``[ensemble]``, or it does not fit the recipe or its sources.
        RunError: the folder holds something else, or the disk refused.
        TrainingError: a member could not be trained, or the ensemble can't be exported, or run by no engine here.
    """
    workshop = begin(recipe, folder, tools)
    if recipe.ensemble is None:
        raise RecipeError("the recipe has no [ensemble]")
    made = recipe.ensemble.choice().make(workshop)
    splits = {"val": workshop.data.val, **({"test": workshop.data.test} if workshop.data.test is not None else {})}
    answers = {split: workshop.predict(made.network, dataset) for split, dataset in splits.items()}
    temperature = chosen_temperature(answers["val"])
    for split, one in answers.items():
        one.save(RunFolder(folder).predictions(split))
    figures = {
        split: judge_members(
            replace(one, logits=(one.logits / temperature).astype(np.float32)),
            [workshop.predict(member.network, splits[split]) for member in made.members],
            made,
            seed=recipe.seed,
        )
        for split, one in answers.items()
    }
    made.set_temperature(temperature)
    write_figures(folder / "ensemble.json", recipe.ensemble.name, made, figures, temperature)
    bundle = export(workshop, made, answers, temperature)
    judge(workshop, bundle, answers, temperature, splits)
    return EnsembleResult(folder, bundle.folder, made, figures)


def begin(recipe: "Recipe", folder: Path, tools: Tools) -> Workshop:
    """Read the data and take the folder."""
    data = tools.read(recipe)
    if len(data.train.tasks) > 1:
        names = ", ".join(task.name for task in data.train.tasks)
        raise RecipeError(f"an ensemble answers one question, and the data have several labels ({names}); name one")
    open_folder(folder, "ensemble", recipe)
    write_data_report(folder, data)
    return Workshop(recipe, folder.absolute(), tools, data)


def export(workshop: Workshop, made: Made, answers: dict[str, Predictions], temperature: float) -> Bundle:
    """Write the bundle to the run's store, in place of what was there when it is whole; see ``swap_store``.

    Raises:
        TrainingError: the graph and torch disagree, or no bundle can be made.
        RunError: the disk refused.
    """
    recipe, folder = workshop.recipe, RunFolder(workshop.folder)
    making = workshop.folder / ".store-making"
    shutil.rmtree(making, ignore_errors=True)
    accuracy = tuple(one for split, found in answers.items() for one in accuracies(recipe.name, split, found))
    provenance = Provenance(
        licence=recipe.licence,
        source=recipe.source or f"trained by Quickeye with the recipe {recipe.name!r}",
        note=_note(workshop, made, temperature),
        lineage=_lineage(workshop, made, temperature),
        accuracy=accuracy,
    )
    try:
        written = export_bundle(
            made.network.module,
            name=recipe.name,
            store=Store(making),
            spec=made.network.spec,
            labels=made.network.tasks[0].classes,
            provenance=provenance,
            architecture=made.network.architecture,
        )
        swap_store(making, folder.store)
    except ModelZooError as error:
        raise TrainingError(f"the members are trained, and no bundle can be made of them: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return read_bundle(folder.store / recipe.name / str(written.spec.version))


def _lineage(workshop: Workshop, made: Made, temperature: float) -> Lineage:
    recipe = workshop.recipe
    said: dict[str, Any] = {"recipe": without_paths(recipe.to_content()), "data": workshop.data.report.fingerprint}
    return Lineage(
        passes=(
            Pass(name="train", parameters=said),
            Pass(name="ensemble", parameters={"members": ", ".join(one.name for one in made.members)}),
            Pass(name="temperature", parameters={"value": temperature}),
        ),
        seed=recipe.seed,
        recipe=recipe.name,
    )


def _note(workshop: Workshop, made: Made, temperature: float) -> str:
    kind = workshop.recipe.ensemble.name if workshop.recipe.ensemble else "the folds of a cross-validation"
    members = ", ".join(one.name for one in made.members)
    return (
        f"An ensemble ({kind}) of {len(made.members)}: {members}. Logits are divided by a temperature of "
        f"{temperature:.4f}, fitted on the validation pictures, on which choices were made too."
    )


def judge(
    workshop: Workshop, bundle: Bundle, answers: dict[str, Predictions], temperature: float, splits: dict[str, Dataset]
) -> None:
    """Write ``judgement.json`` and the report.

    Args:
        answers: by split, before the temperature.
    Raises:
        TrainingError: no engine of this machine runs the bundle.
        RunError: the disk refused.
    """
    folder = RunFolder(workshop.folder)
    try:
        model = BundleModel(bundle)
    except BackendError as error:
        raise TrainingError(f"{bundle.folder}: no engine of this machine runs the bundle: {error}") from error
    try:
        judge_run(
            folder,
            answers,
            seed=workshop.recipe.seed,
            temperature=temperature,
            model=model,
            datasets={split: one.subset(np.flatnonzero(one.first_labels >= 0)) for split, one in splits.items()},
        )
    finally:
        model.close()
    write_report(folder)
