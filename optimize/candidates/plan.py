"""What is tried where no recipe says: a plan for this parent, the cheap and the likely first."""

from typing import Any

from model_zoo.bundle import Bundle
from optimize.errors import RecipeError

Content = dict[str, Any]

SHARES = (0.75, 0.5, 0.35)
# Of the parent's input side.
SIDES = (6 / 7, 5 / 7)
# Smaller pictures than this are not made smaller still.
SMALLEST_SIDE = 96
_SIDE_STEP = 32

INT8: Content = {"name": "quantize_int8"}
# What an importer leaves around a graph, quantising does not know.
FOLD: Content = {"name": "fold"}


def plan(parent: Bundle, epochs: int) -> list[Content]:
    """Tables of ``[[candidate]]``.

    Args:
        epochs: of every recovery.
    Raises:
        RecipeError: an INT8 parent.
    """
    if parent.spec.precision == "int8":
        raise RecipeError(
            f"{parent.spec.name}/{parent.spec.version} is quantised already: nothing here makes it faster. Give the "
            "float model that it came from, such as a run's folder or zoo:NAME"
        )
    is_stranger = parent.weights_path is None or parent.spec.architecture is None
    found = [
        {"name": "int8", "steps": [FOLD, INT8] if is_stranger else [INT8]},
        {"name": "half", "steps": [{"name": "float16"}]},
        {"name": "clustered", "steps": [{"name": "cluster_weights"}]},
    ]
    if is_stranger:
        return found
    recover = {"name": "finetune", "epochs": epochs}
    for share in SHARES:
        steps = [{"name": "prune", "macs": share}, recover]
        found += _with_int8(f"macs{round(100 * share)}", steps)
    for side in _sides(parent):
        found += _with_int8(f"px{side}", [{"name": "resize", "height": side, "width": side}, recover])
    return found


def _with_int8(name: str, steps: list[Content]) -> list[Content]:
    return [{"name": name, "steps": steps}, {"name": f"{name}-int8", "steps": [*steps, INT8]}]


def _sides(parent: Bundle) -> list[int]:
    """Smaller square inputs, px."""
    spec = parent.spec.input
    if spec.height != spec.width:
        return []
    sides = dict.fromkeys(round(spec.height * share / _SIDE_STEP) * _SIDE_STEP for share in SIDES)
    return [side for side in sides if SMALLEST_SIDE <= side < spec.height]
