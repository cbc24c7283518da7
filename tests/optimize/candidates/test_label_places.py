"""Names beside points: none on another, none on a point, none outside."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from optimize.candidates.label_places import LETTER, LINE, NEAR, Place, label_places

WITHIN = (70.0, 558.0)
POINTS = st.lists(st.tuples(st.floats(70, 538), st.floats(18, 274)), min_size=1, max_size=14)


def box(name: str, place: Place) -> tuple[float, float, float, float]:
    width = LETTER * len(name)
    left = place.x - width if place.anchor == "end" else place.x
    return left, place.y - LINE + 2, left + width, place.y + 2


def meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return (
        one[0] < other[2] - 1e-6 and other[0] < one[2] - 1e-6 and one[1] < other[3] - 1e-6 and other[1] < one[3] - 1e-6
    )


@given(POINTS)
def test_what_is_written_is_free(points: list[tuple[float, float]]) -> None:
    names = [f"candidate-{number}" for number in range(len(points))]
    places = label_places(names, points, WITHIN, low=0)
    boxes = [box(name, place) for name, place in zip(names, places, strict=True) if place]
    assert not any(meet(one, other) for one, other in combinations(boxes, 2))
    dots = [(x - NEAR, y - NEAR, x + NEAR, y + NEAR) for x, y in points]
    assert not any(meet(one, dot) for one in boxes for dot in dots)
    assert all(WITHIN[0] <= left and right <= WITHIN[1] for left, _, right, _ in boxes)


def test_points_that_lie_apart_all_have_their_names() -> None:
    points = [(100.0, 200.0), (250.0, 100.0), (530.0, 60.0)]
    places = label_places(["parent", "int8", "half-the-macs"], points, WITHIN, low=0)
    assert [place and (place.y > y, place.anchor) for place, (_, y) in zip(places, points, strict=True)] == [
        (True, "start"),
        (False, "start"),
        (False, "end"),
    ]


def test_neighbours_are_named_on_two_sides_and_the_unnamed_keep_their_room() -> None:
    places = label_places(["one", "two", None], [(300.0, 100.0), (306.0, 104.0), (330.0, 94.0)], WITHIN, low=-1)
    assert places[0] is not None
    assert places[1] is not None
    assert places[0].anchor != places[1].anchor
    assert places[2] is None
