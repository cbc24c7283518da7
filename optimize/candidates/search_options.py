"""``[search]`` of an optimising recipe: how many candidates are proposed, and of what."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from optimize.candidates.steps import STEPS
from optimize.choice import Choice, nearest
from optimize.errors import RecipeError
from optimize.search.options import SearchOptions, Span


def _as_table(said: object) -> object:
    return {"choices": said} if isinstance(said, list) else said


class Searching(Choice):
    """``[search]``.

    Attributes:
        candidates: how many are proposed, beside those that the recipe names; 0: none.
        space: by ``"STEP.setting"`` what it may be, as in ``[search.space]`` of a training recipe; by ``"STEP"``
            whether the step is taken, true or false. The plan's for this parent by default.
    """

    candidates: Annotated[int, Field(ge=0, le=10_000)] = 0
    space: dict[str, Annotated[Span, BeforeValidator(_as_table)]] | None = None

    @model_validator(mode="after")
    def _names_steps(self) -> Self:
        try:
            for path in self.space or ():
                step, _, setting = path.partition(".")
                known = STEPS.find(step).model_fields
                if setting and setting not in known:
                    raise RecipeError(f"{path}: {step} has no setting {setting!r}{nearest(setting, known)}")
        except RecipeError as error:
            raise PydanticCustomError("technique", "{message}", {"message": str(error)}) from error
        if self.space is not None:
            as_search(self.space)
        return self


def as_search(space: dict[str, Span]) -> SearchOptions:
    """What Optuna is asked by."""
    return SearchOptions(space=space, sampler={"name": "tpe", "startup": 8}, second="latency_ms")
