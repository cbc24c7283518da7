"""What ``[teacher]`` in a recipe says; free of torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optimize.choice import Choice

Side = Annotated[int, Field(ge=8, le=4096)]
Weight = Annotated[float, Field(gt=0)]


class TeacherOptions(Choice):
    """Whom the student learns from.

    A source is a path or a name: a bundle's folder, a store with one model, a training run's folder, a
    checkpoint (then ``architecture`` says of what), or NAME or NAME/VERSION in ``store``.

    Attributes:
        source: one teacher.
        sources: several, whose probabilities are averaged.
        weights: of each of ``sources`` in that average; equal by default.
        store: folder in which names are looked up; the shipped bundles by default.
        architecture: of checkpoints, an entry of ``ARCHITECTURES``; bundles know theirs.
        arguments: of that architecture.
        labels: a file with a checkpoint's class names, one per line; by default the student's, in its order.
        runs: "torch" (float weights; GPU, feature maps), "onnx" (the bundle's own graph: any bundle, logits
            only), "auto" (the graph where there are no float weights, and where a float graph on a CPU will
            do: training in fp32, no term on feature maps, size "own").
        size: "own": the student's pictures are resized to the teacher's input; "student": they stay as they are
            (torch alone), which is cheaper where they are smaller.
        cache: whether logits are kept on disk where pictures are not augmented.
        batch_size: pictures at once while the cache is filled, and in the graph.
        threads: of the CPU for a graph; 0: as many as the training has.
    """

    source: str | None = None
    sources: Annotated[tuple[str, ...], Field(strict=False)] = ()
    weights: Annotated[tuple[Weight, ...], Field(strict=False)] | None = None
    store: str | None = None
    architecture: str | None = None
    arguments: dict[str, int | float | str | bool] = Field(default_factory=dict)
    labels: str | None = None
    runs: Literal["auto", "torch", "onnx"] = "auto"
    size: Literal["own", "student"] = "own"
    cache: bool = True
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="after")
    def _names_someone(self) -> Self:
        if (self.source is None) == (not self.sources):
            raise ValueError('a teacher is source = "…" or sources = ["…", "…"], one of the two')
        if self.weights is not None and len(self.weights) != len(self.sources):
            raise ValueError(f"there are {len(self.sources)} sources and {len(self.weights)} weights")
        return self

    @property
    def all_sources(self) -> tuple[str, ...]:
        """One or several."""
        return (self.source,) if self.source is not None else self.sources
