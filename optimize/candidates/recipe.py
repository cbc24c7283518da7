"""A recipe of ``quickeye optimize``: which model, which pictures, how much it may lose, and what is tried.

``[[candidate]]`` names a chain of steps (``steps.py``); chains that begin alike share what
they begin with. ``[finetune]`` is the part of a training recipe (``docs/training.md``) that
every step which trains starts from.
"""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from model_zoo.manifest import NAME_PATTERN
from optimize.choice import Choice, WholeRecipe
from optimize.data.options import DataOptions
from optimize.training.recipe_entries import Entry, entry_of

_STEP = entry_of("optimize.candidates.steps:STEPS")
# The parent's own place on the front; no candidate may take its name.
PARENT = "parent"


class Budget(Choice):
    """``[budget]``.

    Attributes:
        max_drop: how many points of top-1 a candidate may lose on the same pictures.
        strict: the bad end of the drop's interval must lie within, too.
        minutes: no step is begun after so many, 0: no limit. What is there then is judged.
    """

    max_drop: Annotated[float, Field(ge=0, le=100)] = 1.0
    strict: bool = False
    minutes: Annotated[float, Field(ge=0)] = 0.0


class Measuring(Choice):
    """``[measure]``.

    Attributes:
        backend: engine; the first that passes the bundle's check by default.
        threads: of the engine; all cores by default.
        batch: pictures of one run when throughput is measured.
        seconds: for each candidate and each of the two figures, about.
    """

    backend: str | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    batch: Annotated[int, Field(ge=1, le=8)] = 8
    seconds: Annotated[float, Field(gt=0, le=600)] = 3.0


class CandidateEntry(Choice):
    """``[[candidate]]``: a name, and the steps from the parent to it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,38}$")]
    steps: Annotated[tuple[Annotated[Entry[Any], *_STEP], ...], Field(strict=False, min_length=1, max_length=16)]


class OptimizeRecipe(WholeRecipe):
    """See the module.

    Attributes:
        name: of the run; candidates' bundles are called NAME-CANDIDATE.
        model: the parent, as ``quickeye evaluate`` takes one.
        labelled: False: the pictures' labels are not looked at; what is guarded is agreement with the parent.
        calibration: how many training pictures passes are shown.
        finetune: tables of a training recipe.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=24)]
    model: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    data: DataOptions
    labelled: bool = True
    calibration: Annotated[int, Field(ge=1, le=100_000)] = 128
    budget: Budget = Budget()
    measure: Measuring = Measuring()
    finetune: dict[str, Any] = Field(default={})
    candidate: Annotated[tuple[CandidateEntry, ...], Field(strict=False, min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [PARENT, *(one.name for one in self.candidate)]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"candidates need names of their own, and not {PARENT!r}: {', '.join(doubled)}")
        return self


def parse_optimize_recipe(content: dict[str, Any], *, origin: str = "the recipe") -> OptimizeRecipe:
    """A recipe of ``quickeye optimize``; see ``WholeRecipe.parse``."""
    return OptimizeRecipe.parse(content, origin)
