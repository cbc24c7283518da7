"""A training recipe: what is trained, on what and how, in one validated value.

A recipe is a TOML file of tables, every one optional but ``[data]``; ``Recipe`` is
the same, checked, with every default filled in. A name or a setting that is not
there is refused with the nearest that is. ``recipe_file.py`` reads and writes the
files; ``docs/training.md`` explains each table.
"""

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from model_zoo.manifest import NAME_PATTERN
from optimize.choice import WholeRecipe
from optimize.data.options import DataOptions
from optimize.ensembles.options import EnsembleOptions
from optimize.search.options import SearchOptions
from optimize.training.cross_validation import CrossValidationOptions
from optimize.training.network.options import ModelOptions
from optimize.training.recipe_entries import Entry, entry_of
from optimize.training.sparsity.options import SparsityOptions
from optimize.training.teacher.options import TeacherOptions
from optimize.training.terms import HOLD_THE_LOSSES
from optimize.training.train_options import TrainOptions

if TYPE_CHECKING:
    from optimize.training.augmentations import Augmentation, Mix
    from optimize.training.optimisers import OptimiserChoice
    from optimize.training.schedules import Schedule
    from optimize.training.step import Loss, TermChoice
    from optimize.training.transfer import Plan
else:  # pydantic reads annotations when the class is made; the protocols need torch
    Augmentation = Mix = Loss = TermChoice = OptimiserChoice = Schedule = Plan = Any

_AUGMENT = entry_of("optimize.training.augmentations:AUGMENTATIONS")
_MIX = entry_of("optimize.training.augmentations:MIXES")
_LOSS = entry_of("optimize.training.losses:LOSSES", weighted=True)
_TERM = entry_of("optimize.training.terms:TERMS", weighted=True)
_OPTIMISER = entry_of("optimize.training.optimisers:OPTIMISERS")
_SCHEDULE = entry_of("optimize.training.schedules:SCHEDULES")
_TRANSFER = entry_of("optimize.training.transfer:PLANS")


class Recipe(WholeRecipe):
    """See the module.

    Attributes:
        name: of the bundle that comes out.
        seed: of every random number of the run.
        licence, source: for the bundle's manifest and card.
        check_pictures: what lies in the bundle for engines to check themselves by: ``synthetic`` patterns, or four
            ``validation`` pictures, which whoever gets the bundle then has.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    licence: str = "not stated"
    source: str = ""
    check_pictures: Annotated[str, Field(pattern="^(synthetic|validation)$")] = "synthetic"
    data: DataOptions
    model: ModelOptions
    transfer: Annotated[Entry[Plan], *_TRANSFER] = Field(default="full", validate_default=True)
    augment: tuple[Annotated[Entry[Augmentation], *_AUGMENT], ...] = Field(default=(), strict=False)
    mix: tuple[Annotated[Entry[Mix], *_MIX], ...] = Field(default=(), strict=False)
    loss: tuple[Annotated[Entry[Loss], *_LOSS], ...] = Field(
        default=("cross_entropy",), validate_default=True, strict=False
    )
    term: tuple[Annotated[Entry[TermChoice], *_TERM], ...] = Field(default=(), strict=False)
    teacher: TeacherOptions | None = None
    optimiser: Annotated[Entry[OptimiserChoice], *_OPTIMISER] = Field(default="adamw", validate_default=True)
    schedule: Annotated[Entry[Schedule], *_SCHEDULE] = Field(default="cosine", validate_default=True)
    train: TrainOptions = TrainOptions()
    sparsity: SparsityOptions | None = None
    search: SearchOptions | None = None
    ensemble: EnsembleOptions | None = None
    cross_validation: CrossValidationOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _losses_in_terms(cls, content: object) -> object:
        if not isinstance(content, dict) or "loss" in content or not isinstance(content.get("term"), list | tuple):
            return content
        named = {term.get("name") if isinstance(term, dict) else term for term in content["term"]}
        return {**content, "loss": ()} if any(name in HOLD_THE_LOSSES for name in named) else content

    @model_validator(mode="after")
    def _has_an_objective(self) -> Self:
        if not self.loss and not self.term:
            raise ValueError("there is neither a loss nor a term, so nothing can be learnt")
        return self

    @model_validator(mode="after")
    def _zeros_have_time(self) -> Self:
        if self.sparsity is not None:
            self.sparsity.require_whole_run(self.transfer.name, self.train)
            if self.ensemble is not None and self.ensemble.name == "soup":
                raise ValueError("sparsity: a soup is 0 only where all its members are; leave one of the two out")
        return self


def parse_recipe(content: dict[str, Any], *, origin: str = "the recipe") -> Recipe:
    """A training recipe; see ``WholeRecipe.parse``."""
    return Recipe.parse(content, origin)
