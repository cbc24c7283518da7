"""Compression passes by name; nothing is imported until one is chosen.

A pass is a config (what a recipe may say of it, validated) and a transform: the
bytes of an ONNX model and pictures at its input size in, the bytes of a smaller (or
plainer) model out. A pass that looks at no pictures says so, and may be run without any. Adding
one: a file in this folder that ends in ``PASS = Pass(…)``, a line in ``PASSES`` and one
in docs/passes.md. ``tests/optimize/passes`` holds every entry to its contract.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from optimize.errors import RecipeError, UnknownPassError
from optimize.passes.pictures import Pictures

_HERE = "optimize.passes"

PASSES: dict[str, str] = {
    "float32": f"{_HERE}.float32:PASS",
    "fold": f"{_HERE}.fold:PASS",
    "low_rank": f"{_HERE}.low_rank:PASS",
    "sparsify": f"{_HERE}.sparsify:PASS",
    "quantize_int8": f"{_HERE}.quantize_int8:PASS",
    "float16": f"{_HERE}.float16:PASS",
    "cluster_weights": f"{_HERE}.cluster_weights:PASS",
    "sparse_storage": f"{_HERE}.sparse_storage:PASS",
}


class PassConfig(BaseModel):
    """Base of every pass's config: frozen, and strict about what a recipe says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


C = TypeVar("C", bound=PassConfig)


@dataclass(frozen=True, slots=True)
class Pass(Generic[C]):
    """``transform(model, pictures, config)``; pictures are uint8 (N, height, width, channels)."""

    config: type[C]
    transform: Callable[[bytes, Pictures, C], bytes]
    needs_pictures: bool = True

    def run(self, model: bytes, pictures: Pictures, parameters: Mapping[str, object]) -> bytes:
        """Validate what the recipe says, and transform.

        Args:
            model: ONNX, uint8 NHWC in.
            pictures: for calibration, uint8 (N, height, width, channels); any array, an empty
                one too, where ``needs_pictures`` is false.
            parameters: fields of ``config``; what is absent takes its default.
        Raises:
            RecipeError: a parameter that the pass does not have, or of a wrong type.
            PassError: a graph that the pass does not understand.
        """
        return self.transform(model, pictures, self.configure(parameters))

    def configure(self, parameters: Mapping[str, object]) -> C:
        """The config of a recipe's table.

        Raises:
            RecipeError: a parameter that the pass does not have, or of a wrong type.
        """
        try:
            return self.config.model_validate(dict(parameters))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise RecipeError(f"{self.config.__name__}: {faults}") from error


def load_pass(name: str) -> Pass[PassConfig]:
    """The pass called ``name``.

    Raises:
        UnknownPassError: no such entry.
    """
    if name not in PASSES:
        raise UnknownPassError(f"no pass is named {name!r}; there are: {', '.join(PASSES)}")
    module, _, attribute = PASSES[name].partition(":")
    found: Pass[PassConfig] = getattr(importlib.import_module(module), attribute)
    return found
