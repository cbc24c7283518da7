"""What a model takes and gives, as plain frozen data.

``manifest.py`` reads these from a bundle's ``manifest.json`` (a stranger's
data, validated there); everything else in the project trusts them.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

Task = Literal["classification", "detection", "embedding", "multitask"]
Colour = Literal["rgb", "grey"]
ResizeMode = Literal["shorter_side", "stretch", "letterbox"]
ResizeFilter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Crop = Literal["centre", "none"]
OutputKind = Literal["logits", "scores", "boxes", "embedding", "class_activation"]
Activation = Literal["softmax", "sigmoid", "none"]
Precision = Literal["fp32", "fp16", "int8"]

# The name of the output of kind "class_activation", as "logits" is that of a classifier's first.
CLASS_ACTIVATION: Final = "class_activation"


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture of any size is brought to the model's.

    ``shorter_side``: the shorter side becomes ``size`` px, the ratio is kept;
    ``stretch``: to height × width, the ratio is not kept (``size`` is unused);
    ``letterbox``: fits inside height × width, the ratio is kept, the rest is grey 114 (``size`` is unused).
    """

    mode: ResizeMode
    size: int
    filter: ResizeFilter = "bicubic"
    antialias: bool = True


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The graph's input: uint8 NHWC, (N, height, width, channels).

    ``graph_mean`` and ``graph_std`` (0–255 units, one per channel) record what
    the graph does inside; they are never applied again. ``max_batch`` is the
    largest N the graph takes, None for any.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    colour: Colour
    resize: Resize
    crop: Crop
    graph_mean: tuple[float, ...]
    graph_std: tuple[float, ...]
    max_batch: int | None = None

    def at_size(self, height: int, width: int) -> "InputSpec":
        """The same for a network of another input size: the crop keeps its share of the resized picture."""
        if (height, width) == (self.height, self.width):
            return self
        share = self.resize.size / max(self.height, self.width)
        resize = replace(self.resize, size=round(max(height, width) * share))
        return replace(self, height=height, width=width, resize=resize)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One float32 output of the graph, in graph order."""

    name: str
    kind: OutputKind
    activation: Activation


@dataclass(frozen=True, slots=True)
class ArchitectureRef:
    """Which entry of ``ARCHITECTURES`` the float weights belong to."""

    name: str
    arguments: dict[str, int | float | str | bool]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One version of a model: what it takes, gives, and where it runs."""

    name: str
    version: int
    task: Task
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    precision: Precision
    runs_on: tuple[str, ...]
    licence: str
    source: str
    architecture: ArchitectureRef | None = None
    parent: str | None = None

    @property
    def offers_class_activation(self) -> bool:
        """Whether the graph can say which places of a picture speak for its best class."""
        return any(output.kind == CLASS_ACTIVATION for output in self.outputs)
