"""What ``quickeye evaluate --report`` shows."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from optimize.data.checks import warnings_about
from optimize.data.dataset import Dataset
from optimize.data.report import DataReport
from optimize.judging.evaluation import Evaluation
from optimize.judging.mistake_pictures import MistakePicture
from optimize.report.content import Judged, ReportContent
from optimize.report.write import data_facts


def evaluation_content(
    found: Evaluation,
    *,
    dataset: Dataset,
    data: DataReport,
    mistakes: Sequence[MistakePicture],
    words: Sequence[str],
) -> ReportContent:
    """Content of the page.

    Args:
        dataset: what was judged; that it lacks most of a large model's classes is no fault of it.
        mistakes: pictures of the worst.
        words: the command line, without the program's name.
    """
    of_counts = warnings_about({dataset.name: dataset})
    warnings = [one for one in data.warnings if one not in of_counts]
    unreadable = [*((one.picture, one.reason) for one in data.unreadable), *found.unreadable]
    return ReportContent(
        kind="evaluation",
        title=f"{found.model.name} on {found.dataset}",
        judged=(Judged(found.dataset, found.judgement),),
        model=found.model,
        latency=found.latency,
        robustness=found.robustness,
        comparison=found.comparison,
        data=data_facts({**asdict(data), **_counted(dataset), "unreadable": unreadable, "warnings": warnings}),
        facts=[("runs on", found.model.runs_on), ("seed", str(found.judgement.seed)), *_unknown(found)],
        mistakes=mistakes,
        mistakes_split=found.dataset,
        commands=[("Judge it again", shlex.join(["quickeye", "evaluate", *words]))],
    )


def _unknown(found: Evaluation) -> list[tuple[str, str]]:
    """What the score does that the bundle holds, and the one that was asked for, or why there is none."""
    held, chosen = found.abstained, found.threshold
    rows = [] if held is None else [("the bundle's answers", held.says)]
    if chosen is not None:
        rows.append(("with the chosen score", chosen.says))
    elif found.no_threshold:
        rows.append(("no score chosen", found.no_threshold))
    return rows


def _counted(dataset: Dataset) -> dict[str, Any]:
    """Of the pictures that were asked about, which ``--limit`` may have made fewer than the folder holds."""
    numbers = np.bincount(dataset.first_labels[dataset.first_labels >= 0], minlength=len(dataset.classes))
    by_class = dict(zip(dataset.classes, numbers.tolist(), strict=True))
    return {"pictures": {"test": len(dataset)}, "counts": {"test": {"class": by_class}}}
