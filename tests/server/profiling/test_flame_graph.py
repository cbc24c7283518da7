"""The flame graph: one file under a policy of its own, and what a real browser makes of it."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from server.profiling.flame_graph import POLICY, page
from tests.server.browser import Page, chromium, find_chromium, new_page
from tests.server.profiling.canned_profile import canned

FRAMES = "[...document.querySelectorAll('#graph div')]"


@contextlib.contextmanager
def served(body: bytes) -> Iterator[str]:
    """The page as the server sends it, with its policy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", POLICY)):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_policy_lets_this_script_and_style_run_and_nothing_else() -> None:
    text = page(canned(), "cpu").decode()
    for kind, directive in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in POLICY
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert not re.findall(r"(?:src|href)=\"(?!data:,)|@import|\burl\(|https?://", text), "something is fetched"


def test_a_name_of_a_function_is_never_markup() -> None:
    text = page(canned(), "cpu").decode()
    assert "</script><b>" not in text
    assert "decode; </script><b>" in {name for name, *_ in data_of(text)["frames"]}


def test_every_call_has_at_least_what_it_calls() -> None:
    data = data_of(page(canned(), "cpu").decode())

    def hold(node: list[Any]) -> None:
        _, wall, cpu, samples, children = node
        for at, sum_of in ((1, wall), (2, cpu), (3, samples)):
            assert sum(child[at] for child in children) <= sum_of
        for child in children:
            hold(child)

    hold(data["tree"])
    assert data["tree"][1:4] == [8_000_000, 2_000_000, 80]
    assert data["about"]["view"] == "cpu"


def test_without_cpu_times_it_shows_wall_time() -> None:
    assert data_of(page(canned(knows_cpu=False), "cpu").decode())["about"]["view"] == "wall"


@pytest.mark.needs_chromium
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium")
def test_a_browser_draws_zooms_and_finds() -> None:
    program = find_chromium()
    assert program is not None
    with served(page(canned(), "cpu")) as url, chromium(program) as pipes:
        tab = new_page(pipes)
        tab.look_like()
        tab.open(url)
        assert names(tab) == ["all threads", "event loop", "main", "decode; </script><b>"]
        tab.click("[value=wall]")
        assert {"shoes/1 instance 0", "Condition.wait"} <= set(names(tab))
        idle = f"{FRAMES}.find((each) => each.textContent === 'shoes/1 instance 0')"
        assert tab.evaluate(f"{idle}.style.getPropertyValue('--run')") == "0.0%"
        assert tab.evaluate(f"{idle}.title").endswith("waiting 100.0 % of it · 40 samples")
        tab.evaluate("document.querySelector('#find').value = 'PIL/'")
        tab.evaluate("document.querySelector('#find').dispatchEvent(new Event('input'))")
        assert tab.evaluate("document.querySelector('#found').textContent") == "25.0 % of what is shown"
        assert tab.evaluate("document.querySelectorAll('#graph .found').length") == 1
        tab.evaluate(f"{FRAMES}.find((each) => each.textContent === 'event loop').click()")
        assert "shoes/1 instance 0" not in names(tab)
        assert tab.evaluate("document.querySelector('#found').textContent") == "50.0 % of what is shown"
        tab.press("Escape", code=27)
        assert "shoes/1 instance 0" in names(tab)
        rows = "[...document.querySelectorAll('#heaviest tr')].map((row) => row.innerText)"
        assert tab.evaluate(rows)[0].split("\t") == [
            "Condition.wait threading.py:295",
            "shoes/1 instance 0",
            "0 µs",
            "4.00 s",
        ]
        assert tab.problems == []
        assert tab.requested == [url]


def names(tab: Page) -> list[str]:
    found: list[str] = tab.evaluate(f"{FRAMES}.map((each) => each.textContent)")
    return found
