"""What an ensemble is worth beside its members: ``ensemble.json``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from optimize.ensembles.workshop import Made
from optimize.judging.agreement import top_k_hits
from optimize.judging.comparison import compare
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import label_losses
from optimize.training.durable import write_whole


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """One member; shares are fractions.

    Attributes:
        log_loss: mean, of its probabilities as they are.
        weight: in the ensemble's answer, None where there is no such.
        versus: the ensemble against this member on the same pictures (``Comparison``).
    """

    name: str
    top1: float
    ci95: tuple[float, float]
    log_loss: float
    weight: float | None
    versus: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EnsembleFigures:
    """One split.

    Attributes:
        disagreement: mean over pairs of members of the share of pictures that they answer differently; None of one.
        oracle: share of pictures that at least one member gets right.
    """

    n: int
    top1: float
    ci95: tuple[float, float]
    log_loss: float
    disagreement: float | None
    oracle: float
    members: tuple[MemberFigures, ...]


def judge_members(ensemble: Predictions, members: Sequence[Predictions], made: Made, *, seed: int) -> EnsembleFigures:
    """Compare on one split.

    Args:
        ensemble: its answers, at its temperature.
        members: each member's, in the order of ``made.members``.
    """
    hits = top_k_hits(ensemble.logits, ensemble.labels)
    answers = np.stack([_classes(one, ensemble) for one in members])
    weights = made.weights or (None,) * len(members)
    return EnsembleFigures(
        n=len(ensemble),
        top1=hits.value,
        ci95=hits.ci95,
        log_loss=_loss(ensemble),
        disagreement=_disagreement(answers),
        oracle=float((answers == ensemble.labels).any(axis=0).mean()),
        members=tuple(
            _member(member.name, one, ensemble, weight, seed)
            for member, one, weight in zip(made.members, members, weights, strict=True)
        ),
    )


def write_figures(
    path: Path, kind: str, made: Made, figures: Mapping[str, EnsembleFigures], temperature: float
) -> None:
    """Write ``ensemble.json``.

    Raises:
        RunError: the disk refused.
    """
    content = {
        "kind": kind,
        "architecture": made.network.architecture.name,
        "temperature": temperature,
        "facts": dict(made.facts),
        **{split: asdict(one) for split, one in figures.items()},
    }
    write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _member(name: str, one: Predictions, ensemble: Predictions, weight: float | None, seed: int) -> MemberFigures:
    hits = top_k_hits(one.logits, one.labels)
    versus = compare(ensemble, one, seed=seed, names=("the ensemble", name))
    return MemberFigures(name, hits.value, hits.ci95, _loss(one), weight, versus.to_json())


def _classes(one: Predictions, ensemble: Predictions) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """A member's answers, as places in the ensemble's classes."""
    places = np.array([ensemble.classes.index(name) for name in one.classes])
    answers: np.ndarray[Any, np.dtype[np.int64]] = places[one.logits.argmax(axis=1)]
    return answers


def _disagreement(answers: "np.ndarray[Any, np.dtype[np.int64]]") -> float | None:
    pairs = [float((one != other).mean()) for one, other in combinations(answers, 2)]
    return float(np.mean(pairs)) if pairs else None


def _loss(one: Predictions) -> float:
    return float(label_losses(one.logits.astype(np.float64), one.labels).mean())
