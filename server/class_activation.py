"""``explain=cam``: who may ask for a class-activation map, and how a result tells it."""

import base64

from model_zoo.heat_map import grid_png, map_box
from model_zoo.spec import InputSpec, ModelSpec
from server.errors import InvalidRequestError
from server.job import Answer

EXPLAIN = "cam"


def wants_explanation(value: str) -> bool:
    """Read the option ``explain``.

    Raises:
        InvalidRequestError: anything but "cam".
    """
    if value != EXPLAIN:
        raise InvalidRequestError(f"explain must be {EXPLAIN} (a class-activation map), not {value[:40]!r}")
    return True


def refuse_unexplained(explain: bool, spec: ModelSpec) -> None:
    """Refuse to promise a map that the model does not have.

    Raises:
        InvalidRequestError: it was asked for, and the bundle has no such output.
    """
    if explain and not spec.offers_class_activation:
        raise InvalidRequestError(
            f"'{spec.name}' version {spec.version} offers no explanation: its bundle has no class_activation output "
            "(networks that pool their last features and end in one linear layer get one when they are exported)"
        )


def told(answer: Answer, spec: InputSpec, *, as_text: bool) -> dict[str, object] | None:
    """What a result says of its map; None without one.

    Args:
        answer: of an encoded picture.
        spec: the model's input.
        as_text: whether ``png`` is base64, for JSON, or bytes.
    """
    grid = answer.class_activation
    if grid is None:
        return None
    height, width = grid.shape
    png = grid_png(grid)
    return {
        "index": answer.best.index,
        "height": height,
        "width": width,
        "maximum": float(grid.max()),
        "box": [round(edge, 2) for edge in map_box(answer.width, answer.height, spec)],
        "png": base64.b64encode(png).decode() if as_text else png,
    }
