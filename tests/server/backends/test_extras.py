"""Yes, no and numbers in settings."""

import pytest

from server.backends import BackendOptions
from server.backends.errors import BackendLoadError
from server.backends.extras import as_flag, as_number, own_extras


@pytest.mark.parametrize(("text", "value"), [("1", True), ("YES", True), ("on", True), ("0", False), ("False", False)])
def test_flags(text: str, value: bool) -> None:
    assert as_flag("x.y", text) is value


@pytest.mark.parametrize("text", ["", "2", "maybe"])
def test_what_is_no_flag_is_refused(text: str) -> None:
    with pytest.raises(BackendLoadError, match=r"'x\.y' must be 1 or 0"):
        as_flag("x.y", text)


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1,5"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BackendLoadError, match=r"'x\.y' must be a number"):
        as_number("x.y", text)


def test_only_the_engines_own_settings_are_read() -> None:
    options = BackendOptions(extra={"one.a": "1", "two.b": "2", "onetwo.c": "3"})
    assert own_extras(options, "one", ("a",)) == {"a": "1"}
