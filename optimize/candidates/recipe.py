"""A recipe of ``quickeye optimize``: which model, which pictures, how much it may lose, and what is tried.

``[[candidate]]`` names a chain of steps (``steps.py``); chains that begin alike share what
they begin with. ``[finetune]`` is the part of a training recipe (``docs/training.md``) that
every step which trains starts from.
"""

import re
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from model_zoo.manifest import NAME_PATTERN
from optimize.candidates.photo_views import CalibrationPhotos
from optimize.candidates.publishing import Publishing
from optimize.candidates.search_options import Searching
from optimize.choice import Choice, WholeRecipe
from optimize.data.options import DataOptions
from optimize.judging.threshold import Wanted
from optimize.training.recipe_entries import Entry, entry_of

_STEP = entry_of("optimize.candidates.steps:STEPS")
NAME_LENGTH = 39
# The parent's own place on the front; no candidate may take its name.
PARENT = "parent"
# Names of what a search proposes.
_PROPOSED = re.compile(r"search-[0-9]+")
# Training pictures that are shown where nobody says how many.
SHOWN = 128

_Count = Annotated[int, Field(ge=1, le=100_000), Tag("number")]
_Photos = Annotated[CalibrationPhotos, Tag("photos")]
_Calibration = Annotated[_Count | _Photos, Discriminator(lambda said: "number" if isinstance(said, int) else "photos")]


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


class Abstaining(Choice):
    """``[abstain]``: bundles of the front hold a score below which they answer "unknown"; ``judging/abstain.py``.

    Attributes:
        max_error: at most so many per cent of the answers given are wrong.
        max_unknown: at most so many per cent of the pictures are unknown.
    """

    max_error: Annotated[float, Field(ge=0.01, lt=100)] | None = None
    max_unknown: Annotated[float, Field(ge=0.01, lt=100)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.max_error is None) == (self.max_unknown is None):
            raise ValueError("abstain takes max_error or max_unknown, one of them")
        return self

    @property
    def wanted(self) -> Wanted:
        """As ``judging/abstain.py`` has it."""
        if self.max_error is not None:
            return Wanted("max_error", self.max_error / 100)
        return Wanted("max_unknown", (self.max_unknown or 0.0) / 100)


class CandidateEntry(Choice):
    """``[[candidate]]``: a name, and the steps from the parent to it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=NAME_LENGTH)]
    steps: Annotated[tuple[Annotated[Entry[Any], *_STEP], ...], Field(strict=False, min_length=1, max_length=16)]


class OptimizeRecipe(WholeRecipe):
    """See the module.

    Attributes:
        name: of the run; candidates' bundles are called NAME-CANDIDATE.
        model: the parent, as ``quickeye evaluate`` takes one.
        labelled: False: the pictures' labels are not looked at; what is guarded is agreement with the parent.
        calibration: how many training pictures passes are shown, or photos in their place.
        finetune: tables of a training recipe.
        rescue: INT8 candidates that lose too much, where float does not, are tried otherwise; ``rescues.py``.
        search: candidates that are proposed after those named here.
        publish: what the best one is called, and what is told of it.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=24)]
    model: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    data: DataOptions
    labelled: bool = True
    calibration: _Calibration = SHOWN
    budget: Budget = Budget()
    measure: Measuring = Measuring()
    abstain: Abstaining | None = None
    finetune: dict[str, Any] = Field(default={})
    rescue: bool = False
    search: Searching = Searching()
    publish: Publishing | None = None
    candidate: Annotated[tuple[CandidateEntry, ...], Field(strict=False, min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _errors_are_known(self) -> Self:
        if not self.labelled and self.abstain is not None and self.abstain.max_error is not None:
            raise ValueError("without labels nobody knows which answers are wrong; abstain takes max_unknown then")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [PARENT, *(one.name for one in self.candidate)]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"candidates need names of their own, and not {PARENT!r}: {', '.join(doubled)}")
        if taken := [name for name in names if _PROPOSED.fullmatch(name)]:
            raise ValueError(f"search-1, search-2 … are what a search calls its own candidates: {', '.join(taken)}")
        return self

    @model_validator(mode="after")
    def _what_is_published_is_no_candidate(self) -> Self:
        if self.publish is not None and self.publish.name.startswith(f"{self.name}-"):
            raise ValueError(
                f"publish.name: names that begin with {self.name}- are the candidates' own; {self.name} is free"
            )
        return self


def parse_optimize_recipe(content: dict[str, Any], *, origin: str = "the recipe") -> OptimizeRecipe:
    """A recipe of ``quickeye optimize``; see ``WholeRecipe.parse``."""
    return OptimizeRecipe.parse(content, origin)
