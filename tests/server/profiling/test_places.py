"""Whose a function is, in every way in which the project is installed."""

from pathlib import Path

import pytest

from server.profiling.profile import Frame, Places

STANDARD, SITE, SOURCE = "/usr/lib/python3.11", "/opt/quickeye/lib/python3.11/site-packages", "/src/quickeye"
INSTALLED = {
    "a checkout that is in the path": (Path(SOURCE), [SOURCE, STANDARD, SITE]),
    "an editable install, which no path names": (Path(SOURCE), ["/opt/quickeye/bin", STANDARD, SITE]),
    "a wheel, among all other packages": (Path(SITE), ["/opt/quickeye/bin", STANDARD, SITE]),
}


def frame_of(file: str, places: Places) -> Frame:
    code = compile("", file, "exec")
    return places.frame(code)


@pytest.mark.parametrize(("home", "path"), INSTALLED.values(), ids=INSTALLED)
def test_our_functions_are_told_from_others(home: Path, path: list[str]) -> None:
    places = Places(path, home)
    expected = {
        f"{home}/server/batcher.py": ("server/batcher.py", "ours"),
        f"{home}/quickeye.py": ("quickeye.py", "ours"),
        f"{SITE}/uvicorn/server.py": ("uvicorn/server.py", "package"),
        f"{SITE}/server_things.py": ("server_things.py", "package"),
        f"{STANDARD}/asyncio/events.py": ("asyncio/events.py", "standard"),
        "<frozen runpy>": ("<frozen runpy>", "standard"),
        "/elsewhere/own.py": ("own.py", "other"),
    }
    frames = {file: frame_of(file, places) for file in expected}
    assert {file: (frame.file, frame.origin) for file, frame in frames.items()} == expected


def test_this_project_is_at_home_where_it_was_imported_from() -> None:
    frame = Places([]).frame(Places.frame.__code__)
    assert (frame.file, frame.origin) == ("server/profiling/profile.py", "ours")
