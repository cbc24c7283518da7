"""The ``[train]`` table of a recipe: how long, in what portions, and with what numbers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimize.choice import Choice

Share = Annotated[float, Field(ge=0, lt=1)]
Side = Annotated[int, Field(ge=8, le=4096)]
# A recipe holds lists.
Step = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], Side], Field(strict=False)]


class TrainOptions(Choice):
    """Settings of the loop.

    Attributes:
        epochs: passes over the training set.
        batch_size: pictures of one forward pass.
        accumulate: batches whose gradients make one step of the optimiser: their mean, each weighed by its pictures.
        drop_last: leave out the last batch of an epoch where it is not full. One of a single picture is always left
            out where batch norms learn.
        clip_norm: the largest length of the whole gradient; 0 does not clip.
        ema: how much of its past the average of the weights keeps at a step; 0 keeps none. The average is judged
            and exported.
        sam: sharpness-aware minimisation's radius (Foret et al., 2021), two passes a step; 0 is off.
        precision: of the networks' forward and backward pass; weights, losses and terms stay in fp32.
            ``auto``: bf16 where the machine multiplies in it, else fp32. ``fp16`` is for CUDA. ``int8``: fp32, rounded
            where INT8 kernels round, so that quantising afterwards costs less; what is exported is in float.
        channels_last: pictures and weights lie channel by channel (NHWC); most networks are faster so.
        compile: run the network through ``torch.compile``.
        reestimate_batch_norm: batches to compute the final statistics from, once training ends; 0 keeps the averages.
        sizes: progressive resolution: up to which share of the run the pictures have which side, in px, such as
            ``[[0.5, 128], [0.8, 160]]``; after the last, the model's own input size, which none exceeds.
        validate_every: epochs from one look at the validation set to the next; the last epoch always has one.
        early_stopping: looks without a better one after which training ends; 0 never.
        keep: the weights that are exported: those of the ``last`` epoch, or the ``best`` by validation.
        threads: of the CPU; 0 leaves it to torch.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        max_steps: batches of an epoch, 0 for all; for trials.
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1
    drop_last: bool = False
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    ema: Share = 0.0
    sam: Annotated[float, Field(ge=0)] = 0.0
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    channels_last: bool = True
    compile: bool = False
    reestimate_batch_norm: Annotated[int, Field(ge=0)] = 0
    sizes: tuple[Step, ...] = Field(default=(), strict=False)
    validate_every: Annotated[int, Field(ge=1)] = 1
    early_stopping: Annotated[int, Field(ge=0)] = 0
    keep: Literal["last", "best"] = "last"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    max_steps: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        shares = [share for share, _ in self.sizes]
        if shares != sorted(set(shares)):
            raise ValueError("the shares of sizes must grow from one to the next")
        return self

    @model_validator(mode="after")
    def _int8_as_it_is(self) -> Self:
        if self.precision == "int8" and self.compile:
            raise ValueError(
                'precision = "int8" rounds what torch is called for, and a compiled network calls it no '
                "more; set compile to false"
            )
        return self

    def side_at(self, progress: float) -> int | None:
        """The pictures' side in px at this share of the run (0 to 1); None for the model's own."""
        return next((side for until, side in self.sizes if progress < until), None)
