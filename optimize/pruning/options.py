"""What a recipe says of pruning; free of torch."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.recipe_entries import Entry, entry_of

if TYPE_CHECKING:
    from optimize.pruning.criterion import Criterion
else:
    Criterion = object

MACS = 0.5
Share = Annotated[float, Field(gt=0, lt=1)]

_CRITERION = entry_of("optimize.pruning:CRITERIA")


class PruneOptions(Choice):
    """How much goes, and which channels.

    Attributes:
        macs: share of the multiply-adds of one picture to keep; rounding lets it be met nearly, the nearest is taken.
            A half, where nothing is said of ``latency``.
        latency: instead of it, share of the time of one picture, as measured.
        criterion: an entry of ``CRITERIA``: which channels matter least.
        scope: "global" compares channels of all layers, so that some layers lose more; "uniform" takes
            the same share of each; "latency" compares what channels matter for the time that they take, as
            measured, and is what ``latency`` goes with by default.
        round_to: layers that lose channels keep a multiple of this, and never fewer.
        steps: in how many steps; between two of them the network is to be fine-tuned.
        keep: names of layers, or of blocks of them, whose outputs all stay.
        reestimate: batches by which batch norms' statistics are computed anew afterwards.
    """

    macs: Share | None = None
    latency: Share | None = None
    criterion: Annotated[Entry[Criterion], *_CRITERION] = Field(default="l2", validate_default=True)
    scope: Literal["global", "uniform", "latency"] = "global"
    round_to: Annotated[int, Field(ge=1, le=256)] = 8
    steps: Annotated[int, Field(ge=1, le=100)] = 1
    keep: Annotated[tuple[str, ...], Field(strict=False)] = ()
    reestimate: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="before")
    @classmethod
    def _with_usual(cls, said: Any) -> Any:  # noqa: ANN401
        """What is meant by what is left out depends on what is said."""
        if not isinstance(said, dict):
            return said
        return {"scope": "latency", **said} if said.get("latency") is not None else {"macs": MACS, **said}

    @model_validator(mode="after")
    def _one_share(self) -> Self:
        if (self.macs is None) == (self.latency is None):
            raise ValueError("say how much to keep: macs or latency, one of them")
        return self

    @property
    def is_timed(self) -> bool:
        """Whether the time of narrower networks must be measured."""
        return self.latency is not None or self.scope == "latency"

    def share_after(self, step: int) -> float:
        """Share of the unpruned network's multiply-adds (or time) after a step, from 1: each keeps the same share.

        Raises:
            RecipeError: there is no such step.
        """
        if not 1 <= step <= self.steps:
            raise RecipeError(f"there is no step {step} of pruning: steps = {self.steps}")
        return float((self.macs or self.latency or MACS) ** (step / self.steps))
