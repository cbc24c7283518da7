"""k-fold cross-validation: what a recipe is worth, judged by every picture of its data once.

The labelled pictures that are not the test set are cut into folds of like shares of the
classes, copies of a picture together. Each fold is left out of one training, a run
of its own in ``folds/``, and answered by it. All answers together are judged as one set of
predictions; the folds' own figures tell how far a training's luck goes.

The interval over folds is Student's. The folds' trainings share most of their pictures, so
it is a little too narrow (Bengio and Grandvalet, 2004); so is the interval over pictures,
which knows nothing of the trainings. Where a recipe chooses by validation (early stopping,
the best epoch, a temperature), it chose by the very fold that judges it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from optimize.choice import Choice
from optimize.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optimize.data.dataset import Dataset
    from optimize.data.read import Data
    from optimize.judging.predictions import Predictions
    from optimize.training.compound_run import Tools
    from optimize.training.recipe import Recipe

POOLED = "val"


class CrossValidationOptions(Choice):
    """``[cross_validation]``.

    Attributes:
        folds: parts of the data; each is left out of one training and judged by it.
        bundle: "average" exports the folds' networks as one ensemble; "none" exports nothing beside each fold's own.
    """

    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    bundle: Literal["none", "average"] = "none"


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What came out; accuracies are fractions.

    Attributes:
        folds: top-1 of each fold, in order.
        mean, ci95: over folds, Student's interval; it may leave 0 to 1, so it is cut there.
        spread: standard deviation over folds.
        pooled: top-1 and Wilson's interval of all answers together.
        n: pictures answered.
        bundle: the folds' ensemble, where one was asked for.
    """

    folds: tuple[float, ...]
    mean: float
    ci95: tuple[float, float]
    spread: float
    n: int
    pooled: float
    pooled_ci95: tuple[float, float]
    bundle: Path | None = None


def cross_validate(recipe: "Recipe", folder: Path, tools: "Tools") -> CrossValidated:
    """Train and judge every fold; folds that are there already are not trained again.

    Args:
        recipe: with ``[cross_validation]``.
        folder: of the run: ``folds/1`` …, ``cross_validation.json``, and the files of any run for all answers together.
    Raises:
        RecipeError: there is no ``[cross_validation]``.
        RunError: the folder holds something else, or the disk refused.
        DataError: fewer pictures than folds.
    """
    from optimize.judging.predictions import Predictions
    from optimize.search.space import single
    from optimize.training.compound_run import open_folder, write_data_report
    from optimize.training.recipe import parse_recipe
    from optimize.training.run_folder import RunFolder

    if recipe.cross_validation is None:
        raise RecipeError("the recipe has no [cross_validation]")
    options = recipe.cross_validation
    own, data = parse_recipe(single(recipe)), tools.read(recipe)
    if options.bundle == "average" and len(data.train.tasks) > 1:
        raise RecipeError('an ensemble answers one question, and the data have several labels: bundle = "none"')
    open_folder(folder, "cross_validation", recipe)
    write_data_report(folder, data)
    answers = []
    for number, fold in enumerate(folds_of(data, options.folds, recipe.seed), 1):
        run = folder / "folds" / str(number)
        finished = tools.train(own, run, data=fold)
        tools.say(f"fold {number} of {options.folds}: top-1 {100 * finished.val_top1:.1f} %")
        answers.append(Predictions.load(RunFolder(run).predictions("val")))
    pooled = together(answers)
    pooled.save(RunFolder(folder).predictions(POOLED))
    found = figures(answers, pooled)
    if options.bundle == "average":
        found = replace(found, bundle=_average(recipe, folder, tools, data, options.folds))
    _write(folder, recipe, pooled, found)
    return found


def folds_of(data: "Data", folds: int, seed: int) -> "list[Data]":
    """The data of each fold, with fingerprints of their own.

    Validation pictures that were taken from training are put back first; a validation set of another
    source stays out of it.
    """
    from optimize.data.checks import counts
    from optimize.data.splits import copy_groups, k_folds

    whole = _whole(data)
    cut = k_folds(whole.first_labels, folds, seed, groups=copy_groups(whole))
    made = []
    for number, (inside, outside) in enumerate(cut, 1):
        train, val = whole.subset(inside, "train"), whole.subset(outside, "val")
        said = f"{data.report.fingerprint}\nfold {number} of {folds}, seed {seed}"
        report = replace(
            data.report,
            fingerprint=hashlib.sha256(said.encode()).hexdigest(),
            counts={"train": counts(train), "val": counts(val)},
            pictures={"train": len(train), "val": len(val)},
            warnings=data.report.warnings if number == 1 else (),
        )
        made.append(replace(data, train=train, val=val, test=None, report=report))
    return made


def _whole(data: "Data") -> "Dataset":
    """Training and, where it is of the same source, validation, in the source's order."""
    import numpy as np

    train, val = data.train, data.val
    if val.source is not train.source:
        return train
    positions = np.concatenate([train.positions, val.positions])
    order = np.argsort(positions, kind="stable")
    labels = np.concatenate([train.labels, val.labels])
    return replace(train, positions=positions[order], labels=labels[order])


def together(answers: "list[Predictions]") -> "Predictions":
    """Answers of all folds as one, in the order of the folds."""
    import numpy as np

    from optimize.judging.predictions import Predictions

    return Predictions(
        np.concatenate([one.logits for one in answers]),
        np.concatenate([one.labels for one in answers]),
        answers[0].classes,
        tuple(name for one in answers for name in one.identifiers),
    )


def figures(answers: "list[Predictions]", pooled: "Predictions") -> CrossValidated:
    """Of each fold, over folds, and of all answers."""
    import numpy as np

    from optimize.judging.agreement import top_k_hits

    each = np.array([top_k_hits(one.logits, one.labels).value for one in answers])
    hits = top_k_hits(pooled.logits, pooled.labels)
    return CrossValidated(
        folds=tuple(each.tolist()),
        mean=float(each.mean()),
        ci95=students_interval(each),
        spread=float(each.std(ddof=1)),
        n=hits.n,
        pooled=hits.value,
        pooled_ci95=hits.ci95,
    )


def students_interval(values: "NDArray[np.float64]") -> tuple[float, float]:
    """Student's 95 % interval of the mean of shares, cut to 0 to 1."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return max(0.0, float(values.mean()) - half), min(1.0, float(values.mean()) + half)


def _average(recipe: "Recipe", folder: Path, tools: "Tools", data: "Data", folds: int) -> Path:
    """The folds' networks as one bundle in the run's store."""
    from optimize.ensembles.composite import mean_of
    from optimize.ensembles.run import export
    from optimize.ensembles.workshop import Workshop

    workshop = Workshop(recipe, folder.absolute(), tools, data)
    members = [workshop.open(str(folder / "folds" / str(number + 1))) for number in range(folds)]
    return export(workshop, mean_of(members), {}, 1.0).folder


def _write(folder: Path, recipe: "Recipe", pooled: "Predictions", found: CrossValidated) -> None:
    """``cross_validation.json``, ``judgement.json`` and the report of all answers together."""
    from optimize.judging.run_judgement import judge_run
    from optimize.report.write import write_report
    from optimize.training.durable import write_whole
    from optimize.training.run_folder import RunFolder

    run = RunFolder(folder)
    content: dict[str, Any] = asdict(found) | {"bundle": None if found.bundle is None else str(found.bundle)}
    write_whole(folder / "cross_validation.json", (json.dumps(content, indent=1) + "\n").encode())
    judge_run(run, {POOLED: pooled}, seed=recipe.seed)
    write_report(run)
