"""The playground against the real server and the shipped model, with a camera that shows photos."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import skimage
from PIL import Image, ImageOps

from tests.server.browser import Page, Pipes, camera, chromium, find_chromium, new_page
from tests.server.routes.camera_page import LIVE, NEEDS_CHROMIUM, TROUBLE, choose, film, live, opened, text_of
from tests.server.running import Running, serving

pytestmark = NEEDS_CHROMIUM

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"
PALACE = Path(str(files("sklearn.datasets.images"))) / "china.jpg"
FIRST_LABEL = "document.querySelector('#live-answer .labels span')?.textContent"
TRIP = "document.querySelector('#chart .of-trip').getAttribute('d')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipes]:
    program = find_chromium()
    assert program is not None
    photos = [ImageOps.fit(Image.open(path), (640, 480)) for path in (COFFEE, PALACE)]
    video = film(tmp_path_factory.mktemp("film") / "photos.mjpeg", photos, frames_each=90)
    with chromium(program, *camera(video)) as pipes:
        yield pipes


@pytest.fixture
def page(browser: Pipes) -> Iterator[Page]:
    fresh = new_page(browser)
    fresh.look_like()
    yield fresh
    fresh.call("Page.navigate", url="about:blank")  # its camera stops


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("shipped")) as running:
        yield running


def test_what_the_camera_shows_is_named(page: Page, shipped: Running) -> None:
    live(page, f"{shipped.url}/")
    page.wait_for(f"{FIRST_LABEL} === 'espresso'")
    chart = page.evaluate(TRIP)
    page.wait_for(f"{FIRST_LABEL} === 'palace'")
    page.wait_for(f"{FIRST_LABEL} === 'espresso'")
    assert page.evaluate(TRIP) != chart, "the chart moved"
    assert float(text_of(page, "#fps")) > 0
    assert float(text_of(page, "#trip")) >= float(text_of(page, "#server")) > 0
    assert text_of(page, "#reasons") == "none so far"
    assert shipped.metric("quickeye_stream_frames_total", outcome="result") > 0
    assert page.problems == []


def test_nobody_else_is_asked_for_anything(page: Page, shipped: Running) -> None:
    live(page, f"{shipped.url}/")
    page.wait_for(FIRST_LABEL)
    page.choose_files("#files", [PALACE])
    page.wait_for("document.querySelector('#cards .labels span')?.textContent === 'palace'")
    asked = [urlsplit(address) for address in page.requested]
    assert {each.netloc for each in asked if each.scheme != "blob"} == {f"127.0.0.1:{shipped.port}"}
    assert {each.scheme for each in asked} <= {"http", "ws", "blob"}
    assert all(each.path.startswith(f"http://127.0.0.1:{shipped.port}/") for each in asked if each.scheme == "blob")


@pytest.mark.parametrize(
    ("look", "dark"), [((390, 844), True), ((390, 844), False), ((1280, 800), True), ((1280, 800), False)]
)
def test_it_is_photographed_with_the_heat_map_on(
    page: Page, shipped: Running, look: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    page.look_like(*look, dark=dark, phone=look[0] < 500)
    live(page, f"{shipped.url}/")
    page.click("#heat")
    page.wait_for("!document.querySelector('#live-heat').hidden")
    canvas = "document.querySelector('#live-heat')"
    data = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data"
    page.wait_for(f"[...{data}].some((value, at) => at % 4 === 3 && value > 200)")
    assert page.evaluate("document.documentElement.scrollWidth") <= look[0]
    photo = tmp_path / "page.png"
    page.screenshot(photo)
    with Image.open(photo) as taken:
        pixels = np.asarray(taken.convert("RGB").resize((64, 64)))
    assert (pixels[0, 0].mean() < 64) == dark
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200, "there is a picture on it"
    assert page.problems == []


def test_a_key_opens_the_stream(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path, "--api-key", "s3cret(1)") as server:
        opened(page, f"{server.url}/").click("#camera")
        page.wait_for(TROUBLE)
        assert "asks for a key" in text_of(page, "#trouble")
        choose(page, "#key", "wrong")
        page.wait_for("document.querySelector('#trouble').textContent.includes('not known')")
        choose(page, "#key", "s3cret(1)")
        page.wait_for(LIVE)
        page.wait_for(FIRST_LABEL)


def test_a_full_and_then_a_stopping_server_is_told_and_waited_for(page: Page, browser: Pipes, tmp_path: Path) -> None:
    with serving(tmp_path, "--max-stream-sessions", "1", grace_s=60.0) as server:
        live(page, f"{server.url}/")
        second = new_page(browser)
        opened(second, f"{server.url}/").click("#camera")
        second.wait_for(TROUBLE)
        assert "all streams that this server takes (1) are open" in text_of(second, "#trouble")
        assert re.fullmatch(r"Trying again in \d+ s\.", text_of(second, "#trouble li"))
        server.terminate()
        second.wait_for("fetch('/readyz').then((reply) => reply.status === 503)")
        second.click("#trouble button")
        second.wait_for("document.querySelector('#trouble').textContent.includes('stopping')")
        second.call("Page.navigate", url="about:blank")


def test_the_page_is_there_while_the_models_still_load(tmp_path: Path) -> None:
    with serving(tmp_path, ready=False) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/").status_code == 200
        assert client.get("/playground/playground.js").status_code == 200
