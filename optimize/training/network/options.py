"""What ``[model]`` in a recipe says; free of torch, as the command line reads it first."""

from typing import Annotated, Literal

from pydantic import Field

from optimize.choice import Choice

# ``weights`` of a recipe: the published ones of the zoo.
PRETRAINED_WEIGHTS = "pretrained"

Side = Annotated[int, Field(ge=8, le=4096)]


class ModelOptions(Choice):
    """Which network, from which weights, and how it behaves in training.

    Attributes:
        architecture: an entry of ``ARCHITECTURES``, ``timm:NAME`` or ``torchvision:NAME``.
        weights: "pretrained", or a path: a checkpoint, a bundle, a store with one model, a run's folder;
            those of a pruned network make the network as narrow.
        height: of the bundle's input, px; the starting weights' own by default, the width's where that alone is given.
        width: likewise.
        arguments: of the architecture.
        dropout: share of the head's inputs that a step leaves out; the architecture's own by default.
        drop_path: share of the steps in which the last residual branch is left out; earlier ones less.
        batch_norm: "frozen" keeps the starting weights' statistics.
        batch_norm_momentum: share of a step's statistics in the running ones; the architecture's own by default.
        sharing: with several tasks, "hard" is one trunk for all, "soft" one for each, tied by the term "soft_sharing".
    """

    architecture: str = "efficientnet_lite0"
    weights: str | None = None
    height: Side | None = None
    width: Side | None = None
    arguments: dict[str, int | float | str | bool] = Field(default={})
    dropout: float | None = Field(default=None, ge=0, lt=1)
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    batch_norm: Literal["train", "frozen"] = "train"
    batch_norm_momentum: float | None = Field(default=None, gt=0, le=1)
    sharing: Literal["hard", "soft"] = "hard"
