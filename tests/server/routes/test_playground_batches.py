"""The last batches on the page, in a real browser, of a real server that was started with ``--debug``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import encode, picture, truncated
from tests.server.browser import Page, Pipes, chromium, find_chromium, new_page
from tests.server.posting import RED
from tests.server.running import Running, serving

LONG_S = 60.0  # never used up: a browser on a busy machine takes its time
BARS = "document.querySelectorAll('.lanes g')"
SHOW = "[...document.querySelectorAll('.batches button')].find((each) => /Show|Refresh/.test(each.textContent))"

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Pipes]:
    program = find_chromium()
    assert program is not None
    with chromium(program) as pipes:
        yield pipes


@pytest.fixture(scope="module")
def debugged(colour_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two instances, an admin key, three good pictures and a broken one."""
    flags = ["--store", str(colour_store), "--backend", "fake", "--instances", "2", "--debug", "--admin-key", "sesame"]
    with serving(tmp_path_factory.mktemp("debugged"), *flags) as running:
        with running.client() as client:
            for data in (RED, RED, truncated(encode(picture(400, 300), "jpeg")), RED):
                client.post("/v1/predict", content=data)
        yield running


def opened(browser: Pipes, running: Running) -> Page:
    page = new_page(browser)
    page.look_like()
    page.open(f"{running.url}/")
    page.wait_for("document.querySelector('#about').textContent.includes('classes')", LONG_S)
    return page


def test_without_debug_the_page_knows_nothing_of_it(browser: Pipes, colour_store: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "--store", str(colour_store), "--backend", "fake") as running:
        page = opened(browser, running)
        assert page.evaluate("document.querySelector('.batches')") is None
        assert not [address for address in page.requested if "batches" in address]


def test_the_page_draws_every_batch_and_tells_of_each(browser: Pipes, debugged: Running) -> None:
    page = opened(browser, debugged)
    page.wait_for(SHOW, LONG_S)
    page.evaluate("document.querySelector('.batches input[type=password]').value = 'sesame'")
    page.evaluate(f"{SHOW}.click()")
    page.wait_for(f"{BARS}.length", LONG_S)
    page.evaluate("document.querySelector('.batches select').value = '300000'")
    page.evaluate("document.querySelector('.batches select').dispatchEvent(new Event('change'))")
    assert page.evaluate(f"{BARS}.length") == 4
    assert page.evaluate("document.querySelectorAll('.lanes g .bad').length") == 1
    hovers = page.evaluate(f"[...{BARS}].map((each) => each.querySelector('title').textContent)")
    assert sum("1 picture, 1 failed" in hover for hover in hovers) == 1
    assert all("nobody else waited" in hover and "expected" in hover for hover in hovers)
    page.evaluate(f"[...{BARS}].find((each) => each.querySelector('.bad')).dispatchEvent(new Event('click'))")
    assert "undecodable_image" in page.evaluate("document.querySelector('.one-batch').innerText")
    inside = (
        f"[...{BARS}].every((each) => {{ const a = each.querySelector('.room').getBoundingClientRect(),"
        " b = each.ownerSVGElement.getBoundingClientRect();"
        " return a.left >= b.left - 1 && a.right <= b.right + 1; })"
    )
    assert page.evaluate(inside)
    assert page.problems == []


def test_a_wrong_key_is_answered_in_words(browser: Pipes, debugged: Running) -> None:
    page = opened(browser, debugged)
    page.wait_for(SHOW, LONG_S)
    page.evaluate("document.querySelector('.batches input[type=password]').value = 'wrong'")
    page.evaluate(f"{SHOW}.click()")
    page.wait_for("document.querySelector('.batches').innerText.includes('this is not the admin key')", LONG_S)
    assert page.evaluate(f"{BARS}.length") == 0
