"""From outputs to answers: counted, and explained where that was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model_zoo.spec import OutputSpec
from server.answers import Answers, counted
from server.errors import InternalError
from tests.server.mean_colour import write_mean_colour

LOGITS = OutputSpec("logits", "logits", "softmax")
MEANS = OutputSpec("means", "embedding", "none")
MAP = OutputSpec("class_activation", "class_activation", "none")


def rows(*counts: int) -> list[NDArray[np.float32]]:
    return [np.zeros((count, 3), np.float32) for count in counts]


def test_outputs_are_counted_before_any_is_delivered() -> None:
    counted(rows(2, 2), [LOGITS, MEANS], 2)
    for outputs, specs in (
        (rows(2), [LOGITS, MEANS]),
        (rows(2, 2), [LOGITS]),
        (rows(2, 1), [LOGITS, MEANS]),
        ([], [LOGITS]),
    ):
        with pytest.raises(InternalError):
            counted(outputs, specs, 2)


def test_maps_may_be_left_out_and_are_counted_when_they_are_there() -> None:
    counted(rows(2, 2), [LOGITS, MAP, MEANS], 2)
    counted(rows(2, 2, 2), [LOGITS, MAP, MEANS], 2)
    for outputs in (rows(2, 1, 2), rows(2, 1), rows(2), rows(2, 2, 2, 2)):
        with pytest.raises(InternalError):
            counted(outputs, [LOGITS, MAP, MEANS], 2)


def test_maps_are_found_by_their_kind_and_are_never_negative(tmp_path: Path) -> None:
    bundle = write_mean_colour(tmp_path)
    assert not Answers(bundle).explains
    answers = Answers(replace(bundle, spec=replace(bundle.spec, outputs=(LOGITS, MAP, MEANS))))
    assert answers.explains
    given = np.array([[[-1.0, 2.0]]], np.float32)
    maps = answers.maps([np.zeros((1, 3), np.float32), given, np.zeros((1, 3), np.float32)])
    assert maps is not None
    assert maps.tolist() == [[[0.0, 2.0]]]
    assert given[0, 0, 0] == -1.0, "the engine's memory is its own"
    assert answers.maps(rows(1, 1)) is None, "the engine gave none"
