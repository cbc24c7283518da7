"""Calling a command as the command line does."""

from collections.abc import Callable

import pytest


def called(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    try:
        code = main(list(arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    caught = capsys.readouterr()
    return code, caught.out, caught.err
