"""What a manifest says of a candidate's accuracy: on the run's pictures and on labelled sets of the recipe."""

import hashlib
from functools import partial

from model_zoo.bundle import Bundle
from model_zoo.manifest import Accuracy
from optimize.candidates.bench import Bench
from optimize.candidates.judged import answers
from optimize.candidates.publishing import LabelledSet, Publishing
from optimize.candidates.result import Candidate, Paired
from optimize.data.dataset import Dataset
from optimize.data.read import read_dataset
from optimize.judging.agreement import wilson
from optimize.judging.predictions import Predictions
from optimize.training.export_run import accuracies
from optimize.training.run_folder import RunFolder

TWIN = "twin_"  # before the metric's name, where the graph for TensorRT is meant
TWIN_METRICS = ("top1", "top1_agreement")


def figures(bench: Bench, candidate: Candidate, bundle: Bundle, said: Publishing | None) -> tuple[Accuracy, ...]:
    """Of a candidate on the front.

    Args:
        said: where it is the one that is published.
    Raises:
        DataError: a labelled set that can't be read, or is of other classes.
        BackendError: no engine runs the bundle.
    """
    splits = [("validation", candidate.val), ("test", candidate.verdict.paired if candidate.verdict else None)]
    own = [row for split, one in splits if one is not None for row in _own(bench, split, one, said)]
    sets = said.figures if said else ()
    twin = candidate.twin.paired if candidate.twin and candidate.twin.is_kept else None
    if twin is not None:
        rows = _own(bench, "test", twin, said)
        own += [row.model_copy(update={"metric": f"{TWIN}{row.metric}"}) for row in rows if row.metric in TWIN_METRICS]
    return (*own, *(row for one in sets for row in _labelled(bench, bundle, one)))


def _own(bench: Bench, split: str, one: Paired, said: Publishing | None) -> list[Accuracy]:
    row = partial(Accuracy, dataset=_called(bench, split, said), split=split)
    if bench.recipe.labelled:
        reference = f"the parent: {one.parent_top1:.4f} on the same pictures"
        return [row(n=one.n, metric="top1", value=one.top1, ci95=one.top1_ci95, reference=reference)]
    reference = "the parent on the same pictures"
    rows = [row(n=one.n, metric="top1_agreement", value=one.top1, ci95=one.top1_ci95, reference=reference)]
    if one.sure:
        value, ci95 = one.sure_same / one.sure, wilson(one.sure_same, one.sure)
        rows.append(row(n=one.sure, metric="top1_agreement_where_sure", value=value, ci95=ci95, reference=reference))
    return rows


def _called(bench: Bench, split: str, said: Publishing | None) -> str:
    """The guard's pictures may be of ``data.test``, or of the others."""
    own = said and (said.test_dataset if split == "test" and bench.recipe.data.test is not None else said.dataset)
    return own or bench.recipe.name


def _labelled(bench: Bench, bundle: Bundle, said: LabelledSet) -> list[Accuracy]:
    dataset, report = read_dataset(said.data, classes=bench.parent.labels)
    mine, parents = (
        accuracies(said.dataset, "test", _asked(bench, one, dataset, report.fingerprint))
        for one in (bundle, bench.parent)
    )
    return [
        row.model_copy(update={"reference": f"the parent: {other.value:.4f} on the same pictures"})
        for row, other in zip(mine, parents, strict=True)
    ]


def _asked(bench: Bench, bundle: Bundle, dataset: Dataset, fingerprint: str) -> Predictions:
    key = hashlib.sha256(bundle.read_model() + fingerprint.encode()).hexdigest()[:16]
    path = RunFolder(bench.folder).predictions(f"{key}-figures")
    return answers(bundle, dataset, path, bench.recipe.measure.backend)
