"""``/`` and what it loads: types, caching, and a policy that lets nothing else in."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from server.app import create_app
from server.config import Config
from server.routes.playground import CONTENT_TYPES, PAGE, PAGES, page_files
from tests.server.in_app import client_of

MAX_BYTES = 61_000
DEBUG_FILES = ("batches.css", "batches.js")  # loaded where the server was started with debug alone
MAX_DEBUG_BYTES = 13_000
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGES.iterdir())}


def ask(method: str, path: str, **headers: str) -> httpx.Response:
    """By an app whose models are not even loaded: the page does not need them."""

    async def asking() -> httpx.Response:
        async with client_of(create_app(Config(access_log=False))) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asking())


def test_all_of_it_is_small() -> None:
    bytes_of = {name: len(text.encode()) for name, text in SOURCES.items()}
    assert sum(bytes_of.pop(name) for name in DEBUG_FILES) <= MAX_DEBUG_BYTES
    assert sum(bytes_of.values()) <= MAX_BYTES


def test_every_file_beside_the_page_is_served_and_loaded_by_another() -> None:
    assert set(SOURCES) == set(page_files()), "a file that is not served"
    for name in set(SOURCES) - {PAGE.name}:
        loaded = (f'"/playground/{name}"', f'from "./{name}"', f'import "./{name}"', f'import("./{name}")')
        assert any(way in text for text in SOURCES.values() for way in loaded), f"{name} is loaded by nobody"


@pytest.mark.parametrize("name", SOURCES)
def test_no_file_names_another_host(name: str) -> None:
    outside = set(re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}[^\s'\"]*", SOURCES[name]))
    assert outside <= {"http://www.w3.org/2000/svg"}, "an XML namespace is a name; anything else is a request"
    assert not re.findall(r"@import|\burl\(|<iframe|<object|<embed", SOURCES[name])


@pytest.mark.parametrize("name", SOURCES)
def test_strangers_text_enters_as_text_only(name: str) -> None:
    found = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|setHTML"
    assert not re.findall(found, SOURCES[name])


def test_the_page_has_its_type_and_a_policy_for_this_origin_alone() -> None:
    reply = ask("GET", "/")
    assert reply.status_code == 200
    assert reply.text == SOURCES[PAGE.name]
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "camera=(self)" in reply.headers["permissions-policy"]


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_is_kept_until_it_changes(name: str) -> None:
    reply = ask("GET", f"/playground/{name}")
    assert reply.content == (PAGES / name).read_bytes()
    assert reply.headers["content-type"] == CONTENT_TYPES[Path(name).suffix]
    assert reply.headers["cache-control"] == "no-cache"
    etag = reply.headers["etag"]
    for known in (etag, f"W/{etag}", f'"another", {etag}'):
        again = ask("GET", f"/playground/{name}", **{"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    changed = ask("GET", f"/playground/{name}", **{"If-None-Match": '"another"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("path", ["/playground/", "/playground/..%2fplayground.py", "/playground/playground.py"])
def test_nothing_else_is_there(path: str) -> None:
    reply = ask("GET", path)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


def test_a_file_is_asked_for_with_get_alone() -> None:
    assert ask("POST", "/playground/page.js").status_code == 405
    head = ask("HEAD", "/playground/page.js")
    assert (head.status_code, head.content) == (200, b"")
