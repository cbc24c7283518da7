"""What a setting takes, in words, and which values fit it."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from server.setting_values import fitted, shown, takes

PORT = Annotated[int, Field(ge=0, le=65_535)]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (PORT, "a whole number, 0 to 65,535"),
        (int, "a whole number"),
        (Annotated[float, Field(ge=0)], "a number from 0"),
        (Annotated[float, Field(gt=0, le=86_400)], "a number above 0, at most 86,400"),
        (Annotated[float, Field(ge=0, lt=1)], "a number from 0, less than 1"),
        (bool, "true or false"),
        (str, "a text"),
        (Annotated[str, Field(min_length=1)], "a text, not empty"),
        (tuple[str, ...], "a list of texts"),
        (Literal["auto", "cpu"], "one of auto, cpu"),
    ],
)
def test_what_a_setting_takes_is_said_in_words(hint: object, words: str) -> None:
    assert takes(hint) == words
    with pytest.raises(ValueError, match=f"^it takes {words}$"):
        fitted({}, hint, typed=True)


@given(st.integers(0, 65_535))
def test_text_stands_for_a_number_outside_a_file(number: int) -> None:
    assert fitted(str(number), PORT, typed=False) == number
    assert fitted(number, PORT, typed=True) == number
    with pytest.raises(ValueError, match="without quotes"):
        fitted(str(number), PORT, typed=True)


@pytest.mark.parametrize("value", [True, False, 1.0, "1", [1], None])
def test_in_a_file_only_a_whole_number_is_one(value: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="it takes a whole number"):
        fitted(value, PORT, typed=True)


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_setting_is_endless(value: float, typed: bool) -> None:
    with pytest.raises(ValueError, match="it takes a number from 0"):
        fitted(value, Annotated[float, Field(ge=0)], typed=typed)


def test_a_value_is_shown_as_a_file_has_it_and_cut() -> None:
    assert [shown(one) for one in (True, "é", [1, "a"], 1.5)] == ["true", '"é"', '[1, "a"]', "1.5"]
    assert shown("a" * 1000) == '"' + "a" * 99 + "…"
