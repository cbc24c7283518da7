"""What a candidate's chain may be made of, by name.

A step makes a bundle from a bundle. Those of ``PASSES`` rewrite the ONNX graph and need
nothing else, so they work on a stranger's model too; those of ``MEASURED`` do so by what they measure, which a pass
does not. The others (``OWN``) take the float
network out of the bundle and must come before any pass that quantises. Adding one: a
``Choice`` with ``make``, and a line in ``OWN`` or ``MEASURED``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from optimize.choice import Table, nearest
from optimize.errors import RecipeError
from optimize.passes import PASSES, load_pass

if TYPE_CHECKING:
    from pathlib import Path

    from model_zoo.bundle import Bundle
    from optimize.candidates.bench import Bench

# Tables of a recipe, as TOML has them.
Content = dict[str, Any]

_HERE = "optimize.candidates"

OWN: dict[str, str] = {
    "resize": f"{_HERE}.resize:Resize",
    "prune": f"{_HERE}.prune_step:PruneStep",
    "finetune": f"{_HERE}.training_steps:Finetune",
    "student": f"{_HERE}.training_steps:Student",
    "sparse_finetune": f"{_HERE}.sparse_step:SparseFinetune",
    "qat": f"{_HERE}.qat_step:Qat",
}

MEASURED: dict[str, str] = {"faster_kernels": f"{_HERE}.faster_step:FasterKernels"}


class StepChoice(Protocol):
    """An entry of ``OWN`` or ``MEASURED``."""

    def make(self, bundle: "Bundle", bench: "Bench", folder: "Path") -> "Bundle":
        """Make the next bundle, anywhere in ``folder``, which is this step's own; what it was at is continued there.

        Raises:
            OptimizeError, ModelZooError: it can't be made of this one; the message says why.
        """
        ...


class _Steps(Table[Any]):
    """``OWN``, ``MEASURED`` and, by the same names as in ``PASSES``, every pass."""

    def __iter__(self) -> Iterator[str]:
        return iter([*self.entries, *PASSES])

    def find(self, name: str) -> type[Any]:
        """As ``Table.find``."""
        if name in PASSES:
            return load_pass(name).config
        if name not in self.entries:
            raise RecipeError(f"no step is named {name!r}{nearest(name, list(self))}")
        return super().find(name)


STEPS: Table[Any] = _Steps("step", {**OWN, **MEASURED})
