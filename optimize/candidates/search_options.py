"""``[search]`` of an optimising recipe: how many candidates are proposed, and of what."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from optimize.candidates.steps import STEPS
from optimize.choice import Choice, nearest
from optimize.errors import RecipeError
from optimize.search.options import SearchOptions, Span, Value, as_table

if TYPE_CHECKING:
    from pydantic import BaseModel


class Searching(Choice):
    """``[search]``.

    Attributes:
        candidates: how many are proposed, beside those that the recipe names; 0: none.
        space: by ``"STEP.setting"`` what it may be, as in ``[search.space]`` of a training recipe; by ``"STEP"``
            whether the step is taken, true or false. The plan's for this parent by default.
    """

    candidates: Annotated[int, Field(ge=0, le=10_000)] = 0
    space: dict[str, Annotated[Span, BeforeValidator(as_table)]] | None = None

    @model_validator(mode="after")
    def _names_steps(self) -> Self:
        try:
            for path, span in (self.space or {}).items():
                _require_values(path, span)
        except RecipeError as error:
            raise PydanticCustomError("technique", "{message}", {"message": str(error)}) from error
        if self.space is not None:
            as_search(self.space)
        return self


def as_search(space: dict[str, Span], sampler: Literal["tpe", "random"] = "tpe") -> SearchOptions:
    """What Optuna is asked by."""
    settings = {"startup": 8} if sampler == "tpe" else {}
    return SearchOptions(space=space, sampler={"name": sampler, **settings}, second="latency_ms")


def _require_values(path: str, span: Span) -> None:
    """See that a step takes the span's ends, or each of its choices, whatever its other settings are.

    Raises:
        RecipeError: there is no such step or setting, or a value that it does not take.
    """
    step, _, setting = path.partition(".")
    config: type[BaseModel] = STEPS.find(step)
    values: list[Value] = list(span.choices) if span.choices is not None else list(span.ends())
    if not setting:
        if not all(isinstance(one, bool) for one in values):
            raise RecipeError(f"{path}: whether the step is taken is true or false; settings are {step}.SETTING")
        return
    if setting not in config.model_fields:
        raise RecipeError(f"{path}: {step} has no setting {setting!r}{nearest(setting, config.model_fields)}")
    for value in values:
        try:
            config.model_validate({setting: value})
        except ValidationError as error:
            for fault in error.errors():
                if fault["loc"][:1] == (setting,):  # others may be mended by other settings
                    raise RecipeError(f"{path} = {value!r}: {fault['msg']}") from error
