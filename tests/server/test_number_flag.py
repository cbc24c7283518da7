import argparse
import re

import pytest

from server.number_flag import number, whole_number


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("10", 10.0), ("1e1", 10.0), (" 3 ", 3.0)])
def test_numbers_within_bounds(text: str, value: float) -> None:
    assert number(0.5, 10)(text) == value


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "0.4999", "10.01", "1,5"])
def test_other_numbers_are_refused_with_the_bounds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"'{text}' is not a number from 0.5 to 10")):
        number(0.5, 10)(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("100000", 100_000)])
def test_whole_numbers_within_bounds(text: str, value: int) -> None:
    assert whole_number(1, 100_000)(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "100001", "1.0", "nan", "1" * 5000])
def test_other_whole_numbers_are_refused_with_the_bounds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 to 100000"):
        whole_number(1, 100_000)(text)
