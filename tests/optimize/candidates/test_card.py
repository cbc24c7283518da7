"""What a bundle's card tells of how it came about."""

from pathlib import Path

from model_zoo.bundle import read_bundle
from optimize.candidates.card import own_card
from optimize.candidates.result import Candidate
from tests.optimize.candidates.small import content, recipe


def test_zeros_and_why_it_was_tried_are_told(tmp_path: Path) -> None:
    parent = read_bundle(Path(content(tmp_path)["model"]))
    run = recipe(tmp_path, {"name": "a", "steps": [{"name": "sparsify"}]})

    def card(zeros: float, because: str) -> str:
        return own_card("a", run, parent, Candidate(name="a", steps=(), state="made", zeros=zeros, because=because))

    told = card(0.5, "int8 loses 2.30 points")
    assert "50 % of the weights are 0, which brings no speed" in told
    assert "Why it was tried: int8 loses 2.30 points." in told
    plain = card(0.02, "")
    assert "are 0" not in plain
    assert "Why" not in plain
