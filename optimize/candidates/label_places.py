"""Where names stand beside their points, so that none lies on another or on a point.

One after the other takes the first of six places about its point that is free; one that finds none is not written,
and its point tells the name when it is pointed at. Widths are guessed from the number of letters.
"""

from collections.abc import Sequence
from typing import NamedTuple

LETTER, LINE = 6.6, 12.0  # px, of a name at 12 px
NEAR = 6.0  # px about a point
# From the point to the start of the name's baseline, and whether the name ends there: above, below, beside.
SIDES = (
    (8.0, -7.0, False),
    (-8.0, -7.0, True),
    (8.0, 17.0, False),
    (-8.0, 17.0, True),
    (10.0, 4.0, False),
    (-10.0, 4.0, True),
)


class Place(NamedTuple):
    """Of a name, in px: its baseline, and "start" or "end" as ``text-anchor``."""

    x: float
    y: float
    anchor: str


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def label_places(
    names: Sequence[str | None], points: Sequence[tuple[float, float]], within: tuple[float, float], *, low: int
) -> list[Place | None]:
    """A place for each name, or None.

    Args:
        names: None: this point has no name, and is kept free all the same.
        points: px.
        within: the least and the greatest x, px.
        low: the index of the point whose name tries below first.
    """
    taken = [_Box(x - NEAR, y - NEAR, x + NEAR, y + NEAR) for x, y in points]
    places: list[Place | None] = []
    for index, (name, (x, y)) in enumerate(zip(names, points, strict=True)):
        sides = SIDES[2:4] + SIDES[:2] + SIDES[4:] if index == low else SIDES
        found = _free(name, x, y, sides, taken, within) if name else None
        if found:
            taken.append(found[1])
        places.append(found[0] if found else None)
    return places


def _free(
    name: str,
    x: float,
    y: float,
    sides: Sequence[tuple[float, float, bool]],
    taken: Sequence[_Box],
    within: tuple[float, float],
) -> tuple[Place, _Box] | None:
    width = LETTER * len(name)
    for across, down, ends in sides:
        start = x + across - (width if ends else 0.0)
        box = _Box(start, y + down - LINE + 2, start + width, y + down + 2)
        if within[0] <= box.left and box.right <= within[1] and not any(box.meets(other) for other in taken):
            return Place(x + across, y + down, "end" if ends else "start"), box
    return None
