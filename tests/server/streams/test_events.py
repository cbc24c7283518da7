"""Events as they are written: JSON text or MessagePack."""

import base64
import io
import math

import numpy as np
import orjson
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from server.job import Answer, Prediction, StageTimes
from server.streams import events
from server.streams.events import as_json, as_msgpack
from server.streams.frame import Stamp
from tests.server.streams.fakes import answer_of, spec_named

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(event=st.dictionaries(st.text(), PLAIN))
def test_both_formats_bring_back_what_was_put_in(event: dict[str, object]) -> None:
    assert orjson.loads(as_json(event)["text"]) == event
    assert ormsgpack.unpackb(as_msgpack(event)["bytes"]) == event


def explained() -> Answer:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    best = Prediction(1, "class 1", 0.9)
    return Answer([best], best, 40, 30, StageTimes(), 1, class_activation=grid)


def test_a_map_is_base64_in_json_and_bytes_in_messagepack() -> None:
    event = events.result(Stamp(1, None), spec_named(), explained(), 0.5)
    in_json = orjson.loads(as_json(event)["text"])["class_activation"]
    packed = ormsgpack.unpackb(as_msgpack(event)["bytes"])["class_activation"]
    assert base64.b64decode(in_json["png"]) == packed["png"]
    assert (packed["index"], packed["height"], packed["width"], packed["maximum"]) == (1, 2, 3, 5.0)
    levels = np.asarray(Image.open(io.BytesIO(packed["png"])))
    assert levels.tolist() == [[0, 51, 102], [153, 204, 255]]


def test_without_a_map_there_is_no_word_of_it() -> None:
    assert "class_activation" not in events.result(Stamp(1, None), spec_named(), answer_of(), 0.5)


def test_what_is_told_in_short_keeps_everything_but_the_classes() -> None:
    full = events.result(Stamp(1, 2.5), spec_named(), answer_of(), 0.0125)
    assert events.unchanged(full) == {**full, "predictions": [], "unchanged": True}
    assert full["age_ms"] == 12.5
    assert len(full["predictions"]) == 1


def test_nothing_else_passes_for_an_event() -> None:
    with pytest.raises(TypeError):
        as_json({"type": "result", "png": object()})


def test_a_number_that_json_has_not_is_null() -> None:
    assert orjson.loads(as_json({"score": math.nan})["text"]) == {"score": None}
