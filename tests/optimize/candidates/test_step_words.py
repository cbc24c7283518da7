"""A step in words, as a recipe would say it: what is as usual is left out."""

import pytest

from optimize.candidates.card import step_words
from optimize.candidates.steps import STEPS


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"name": "quantize_int8"}, "quantize_int8"),
        ({"name": "prune", "macs": 0.35, "round_to": 4}, "prune (macs 0.35, round_to 4)"),
        ({"name": "prune", "macs": 0.6, "keep": ["stem", "head"]}, "prune (macs 0.6, keep stem head)"),
        ({"name": "prune", "macs": 0.6, "criterion": "bn_scale"}, "prune (macs 0.6, criterion bn_scale)"),
        (
            {"name": "student", "architecture": "grey28_small", "epochs": 5},
            "student (architecture grey28_small, epochs 5)",
        ),
    ],
)
def test_words(said: dict[str, object], words: str) -> None:
    step = STEPS.find(str(said["name"])).model_validate({key: one for key, one in said.items() if key != "name"})
    assert step_words({"name": said["name"], **step.model_dump(mode="json")}) == words
