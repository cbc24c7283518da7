"""What a recipe says of a search: ``[search]`` and ``[search.space]``."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.search import PRUNERS, SAMPLERS

if TYPE_CHECKING:
    from optimize.search import PrunerChoice, SamplerChoice

Scalar = str | bool | int | float
# What a recipe field may be set to; tables and lists as TOML has them.
Value = Scalar | list[object] | dict[str, object]
Objective = Literal["val_top1", "val_loss"]
Cost = Literal["latency_ms", "parameters", "macs"]


class Span(Choice):
    """The values that one field may take: a range, or a list of choices.

    Attributes:
        low, high: both ends belong to it; two integers make a range of integers.
        log: evenly spread over the logarithm.
        step: distance of neighbouring values; not with ``log``.
        points: for the grid sampler: how many values of the range, both ends included.
        choices: instead of a range; whatever the field may be, whole tables too.
        when: only where other fields of the space have these values, as ``{"optimiser.name" = "sgd"}``.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    points: Annotated[int, Field(ge=2, le=1000)] | None = None
    choices: Annotated[list[Value], Field(min_length=1, max_length=1000)] | None = None
    when: dict[str, Scalar] = Field(default_factory=dict)

    @property
    def is_integer(self) -> bool:
        """A range of whole numbers."""
        return all(type(one) is int for one in (self.low, self.high) if one is not None) and self.choices is None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.points, self.log) != (None, None, None, None, False):
                raise ValueError("choices stand alone, without low, high, log, step or points")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs low and high, or choices")
        self._refuse_odd_range(self.low, self.high)
        return self

    def _refuse_odd_range(self, low: float, high: float) -> None:
        if not low <= high:
            raise ValueError(f"low = {low} is above high = {high}")
        if self.log and low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, not at {low}")
        if self.step is not None and (self.log or self.step <= 0):
            raise ValueError("step is a positive distance, and not with log")
        if self.step is not None and self.is_integer and not float(self.step).is_integer():
            raise ValueError(f"a range of whole numbers can't have steps of {self.step}")

    def grid(self) -> list[Value]:
        """Every value that a grid tries, in order; empty where the range does not say which.

        Whole numbers without ``step`` or ``points`` are all tried.
        """
        if self.choices is not None:
            return list(self.choices)
        low, high = self.ends()
        if self.points is not None:
            return self._spread(low, high, self.points)
        step = self.step if self.step is not None else (1 if self.is_integer else None)
        if step is None:
            return []
        values = [stepped(low, step, index) for index in range(steps_within(low, high, step) + 1)]
        return [round(value) if self.is_integer else value for value in values]

    def has(self, value: float) -> bool:
        """Whether a range may give this value: between its ends, on one of its steps, whole where they are."""
        low, high = self.ends()
        if not low <= value <= high or (self.is_integer and type(value) is not int):
            return False
        return self.step is None or stepped(low, self.step, steps_within(low, value, self.step)) == value

    def ends(self) -> tuple[float, float]:
        """``low`` and ``high`` of a range."""
        if self.low is None or self.high is None:
            raise ValueError("choices have no ends")
        return self.low, self.high

    def _spread(self, low: float, high: float, points: int) -> list[Value]:
        shares = [index / (points - 1) for index in range(points)]
        if self.log:
            values = [low * (high / low) ** share for share in shares]
        else:
            values = [low + (high - low) * share for share in shares]
        if self.is_integer:
            return list(dict.fromkeys(round(value) for value in values))
        return [*map(float, values[:-1]), float(high)]


def steps_within(low: float, high: float, step: float) -> int:
    """How often ``step`` fits between the ends, as these numbers are written: 0.3 fits three times below 0.9."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def stepped(low: float, step: float, index: int) -> float:
    """``low + index * step`` in decimals, as a person counts: 0.9 after three times 0.3, not 0.8999999999999999."""
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def as_table(said: object) -> object:
    """A bare list is short for ``{choices = [...]}``."""
    return {"choices": said} if isinstance(said, list) else said


def _named(said: object) -> object:
    """A bare name is short for ``{name = "..."}``."""
    return {"name": said} if isinstance(said, str) else said


def _tpe() -> dict[str, Scalar]:
    return {"name": "tpe"}


Named = Annotated[dict[str, Scalar], BeforeValidator(_named)]


class SearchOptions(Choice):
    """``[search]``.

    Attributes:
        space: by dotted path of a field: ``"optimiser.lr"``, ``"augment.rotate.degrees"``, ``"augment.0.degrees"``.
        sampler: an entry of ``SAMPLERS``, or a table of its name and settings.
        pruner: an entry of ``PRUNERS``, likewise; by default "median", and "none" with a second objective.
        objective: "val_top1" is made large, "val_loss" small.
        second: made small beside it; the result is then a front. With several workers, "latency_ms" is measured
            while the others train.
        n_trials: how many in all, whatever becomes of them; the same command continues up to it.
        time_limit_min: minutes after which no further trial begins, from each start of the command.
        storage: a database URL (``sqlite:///…``, ``postgresql://…``, ``mysql://…``) or ``journal:PATH``;
            by default a file in the run's folder.
        workers: processes that this command starts; threads are divided among them.
    """

    space: Annotated[dict[str, Annotated[Span, BeforeValidator(as_table)]], Field(min_length=1, max_length=100)]
    sampler: Named = Field(default_factory=_tpe)
    pruner: Named | None = None
    objective: Objective = "val_top1"
    second: Cost | None = None
    n_trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    time_limit_min: Annotated[float, Field(gt=0)] | None = None
    storage: str | None = None
    workers: Annotated[int, Field(ge=1, le=256)] = 1

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        try:
            self.sampler_choice()
            self.pruner_choice()
        except RecipeError as error:
            raise PydanticCustomError("technique", "{message}", {"message": str(error)}) from error
        if self.second is not None and self.pruner is not None and self.pruner.get("name") != "none":
            raise ValueError('trials of two objectives can\'t be pruned: pruner = "none", or no second objective')
        self._refuse_odd_conditions()
        return self

    def _refuse_odd_conditions(self) -> None:
        for path, span in self.space.items():
            for other in span.when:
                if other not in self.space:
                    raise ValueError(f"{path!r} asks for {other!r}, which is not in the space")
        settled: set[str] = set()
        while more := {path for path, span in self.space.items() if path not in settled and set(span.when) <= settled}:
            settled |= more
        if circle := sorted(set(self.space) - settled):
            raise ValueError(f"these fields wait for each other: {', '.join(circle)}")

    def sampler_choice(self) -> "SamplerChoice":
        """The entry of ``SAMPLERS``."""
        return SAMPLERS.choose(*_name_and_settings(self.sampler, "sampler"))

    def pruner_choice(self) -> "PrunerChoice":
        """The entry of ``PRUNERS``."""
        default: dict[str, Scalar] = {"name": "median" if self.second is None else "none"}
        return PRUNERS.choose(*_name_and_settings(self.pruner or default, "pruner"))


def _name_and_settings(said: dict[str, Scalar], kind: str) -> tuple[str, dict[str, object]]:
    name = said.get("name")
    if not isinstance(name, str):
        raise RecipeError(f"{kind}: needs a name")
    return name, {key: value for key, value in said.items() if key != "name"}
