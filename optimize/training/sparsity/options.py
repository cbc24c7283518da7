"""``[sparsity]`` of a training recipe: how many weights are 0 in the end, which, and when; free of torch."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from optimize.choice import Choice

if TYPE_CHECKING:
    from optimize.training.train_options import TrainOptions

Part = Annotated[float, Field(ge=0, le=1)]
ScoreName = Literal["magnitude", "movement", "snip"]
# What 2:4 comes to.
HALF = 0.5


class SparsityOptions(Choice):
    """Settings.

    Attributes:
        share: of the weights of convolutions (but for depthwise ones) and linear layers, how many are 0 in the end,
            and, unstructured, never fewer than at the start. 0: those that are 0 at the start stay so, and no
            others come.
        pattern: ``unstructured``: anywhere. ``2:4``: two of every four neighbours along a layer's inputs.
        score: which go: see ``scores.py``.
        begin, end: shares of the run between which zeros come; afterwards they stay, and the others recover.
        rounds: how often in between the zeros are chosen anew.
    """

    share: Annotated[float, Field(ge=0, lt=1)] = HALF
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    score: ScoreName = "magnitude"
    begin: Part = 0.0
    end: Part = 0.7
    rounds: Annotated[int, Field(ge=1, le=100_000)] = 50

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.begin > self.end:
            raise ValueError(f"zeros can't begin to come at {self.begin:g} of the run and end at {self.end:g}")
        if self.pattern == "2:4" and self.share != HALF:
            raise ValueError("2:4 is half of the weights always; leave share out")
        return self

    @property
    def grows(self) -> bool:
        """Whether zeros come, or those that are there stay."""
        return self.share > 0

    def require_whole_run(self, plan: str, options: "TrainOptions") -> None:
        """See that all of the network trains, to the end.

        Raises:
            ValueError: the run may end with, or export, weights of which fewer are 0, or which could not recover.
        """
        if not self.grows:
            return
        if options.keep == "best":
            raise ValueError('sparsity: the best epoch may be one before all zeros were there; set train.keep = "last"')
        if options.early_stopping:
            raise ValueError(
                "sparsity: a run that stops early may stop before all zeros are there; set train.early_stopping = 0"
            )
        if plan != "full":
            raise ValueError(
                f"sparsity: what is frozen can't recover from zeros, and transfer {plan!r} freezes; take 'full'"
            )
