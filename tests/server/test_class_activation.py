"""What a result says of its class-activation map, and who may ask for one."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_zoo.heat_map import grid_levels
from model_zoo.spec import InputSpec, Resize
from server.class_activation import refuse_unexplained, told
from server.errors import InvalidRequestError
from server.job import Answer, Prediction, StageTimes
from tests.server.fake_bundles import MeanColour

SPEC = InputSpec(224, 224, 3, "rgb", Resize("shorter_side", 256), "centre", (0.0,) * 3, (1.0,) * 3)
GRID = np.arange(12, dtype=np.float32).reshape(3, 4) / 2


def answer(grid: NDArray[np.float32] | None) -> Answer:
    best = Prediction(285, "Egyptian cat", 0.7)
    return Answer([best], best, 640, 480, StageTimes(), 1, class_activation=grid)


def test_a_map_is_told_with_its_class_scale_place_and_picture() -> None:
    fields = told(answer(GRID), SPEC, as_text=True)
    assert fields is not None
    png = fields.pop("png")
    assert fields == {
        "index": 285,
        "height": 3,
        "width": 4,
        "maximum": 5.5,
        # 640 × 480 becomes 341 × 256, of which 224 × 224 are cut out, 58 px from the left, 16 from the top.
        "box": [round(58 * 640 / 341, 2), 30.0, round(282 * 640 / 341, 2), 450.0],
    }
    assert isinstance(png, str)
    with Image.open(io.BytesIO(base64.b64decode(png, validate=True))) as image:
        np.testing.assert_array_equal(np.asarray(image), grid_levels(GRID))


def test_streams_get_bytes() -> None:
    text, raw = told(answer(GRID), SPEC, as_text=True), told(answer(GRID), SPEC, as_text=False)
    assert text is not None
    assert raw is not None
    assert base64.b64decode(str(text["png"])) == raw["png"]


def test_without_a_map_nothing_is_told() -> None:
    assert told(answer(None), SPEC, as_text=True) is None


def test_a_map_that_speaks_for_nothing_is_black() -> None:
    fields = told(answer(np.zeros((2, 2), np.float32)), SPEC, as_text=False)
    assert fields is not None
    assert fields["maximum"] == 0
    with Image.open(io.BytesIO(bytes(fields["png"]))) as image:  # type: ignore[call-overload]
        assert image.getextrema() == (0, 0)


def test_only_models_with_maps_may_be_asked(tmp_path: Path) -> None:
    plain, mapped = (MeanColour(name="m", maps=maps).write(tmp_path).spec for maps in (False, True))
    refuse_unexplained(True, mapped)
    refuse_unexplained(False, plain)
    with pytest.raises(InvalidRequestError, match="'m' version 1 offers no explanation"):
        refuse_unexplained(True, plain)


def test_an_output_of_the_kind_is_what_offers_maps(tmp_path: Path) -> None:
    spec = MeanColour(name="m", maps=True).write(tmp_path).spec
    assert spec.offers_class_activation
    assert not replace(spec, outputs=spec.outputs[:1]).offers_class_activation
