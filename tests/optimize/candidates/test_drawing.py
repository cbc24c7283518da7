"""The front's drawing."""

import xml.etree.ElementTree as ElementTree
from dataclasses import asdict

from optimize.candidates.drawing import HEIGHT, WIDTH, front_svg
from optimize.candidates.result import Candidate
from tests.optimize.candidates.small import lost, speed


def candidate(name: str, faster: float, right: float, *, is_on_front: bool = True) -> Candidate:
    paired = lost(1.0, right)
    made = Candidate(name=name, steps=(), state="made", bytes=1000, val=paired, speed=speed(faster))
    return Candidate(**{**asdict(made), "val": paired, "speed": made.speed, "is_on_front": is_on_front})


def test_every_candidate_is_a_point_that_leads_to_its_line_and_tells_its_figures() -> None:
    made = [candidate("parent", 1.0, 0.9), candidate("a<b", 2.0, 0.89), candidate("c", 1.5, 0.8, is_on_front=False)]
    drawn = ElementTree.fromstring(front_svg("front", made, lambda one: one.faster, "times", 0.88))
    links = drawn.findall("a")
    assert [one.get("href") for one in links] == ["#candidate-parent", "#candidate-a<b", "#candidate-c"]
    assert "2.00 times as fast" in (links[1].findtext("title") or "")
    assert all(one.get("data-says") == one.findtext("title") == one.get("aria-label") for one in links)
    circles = [one.findall("circle")[-1] for one in links]
    assert [one.get("class") for one in circles if one is not None] == ["parent", "kept", "beaten"]
    places = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in circles if one is not None]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert places[0][0] < places[2][0] < places[1][0]
    assert places[0][1] < places[1][1] < places[2][1], "the more accurate, the higher"


def test_one_point_alone_can_be_drawn() -> None:
    drawn = front_svg("front", [candidate("parent", 1.0, 0.9)], lambda one: one.faster, "times", 0.9)
    assert ElementTree.fromstring(drawn).find("a") is not None
