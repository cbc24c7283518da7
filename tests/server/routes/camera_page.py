"""The playground with its camera on, for tests in a real browser."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.server.browser import Page, find_chromium

NEEDS_CHROMIUM = [
    pytest.mark.needs_chromium,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium"),
]
LIVE = "document.querySelector('#state').textContent === 'Live'"
TROUBLE = "!document.querySelector('#trouble').hidden"
OFF = "document.querySelector('#live').hidden && !document.querySelector('#camera').hidden"


def film(path: Path, pictures: list[Image.Image], frames_each: int = 30) -> Path:
    """MJPEG, 30 frames a second, that shows each picture for a while; all of one size."""
    parts = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=90)
        parts += [buffer.getvalue()] * frames_each
    path.write_bytes(b"".join(parts))
    return path


def opened(page: Page, url: str) -> Page:
    """The page with its catalogue there, and the camera allowed."""
    page.permit("camera", "granted")
    page.open(url)
    page.wait_for("document.querySelector('#about').textContent.includes('classes')")
    return page


def live(page: Page, url: str) -> Page:
    """The same with the camera on and the stream open."""
    opened(page, url).click("#camera")
    page.wait_for(LIVE)
    return page


def text_of(page: Page, selector: str) -> str:
    """What an element says."""
    text: str = page.evaluate(f"document.querySelector({selector!r}).textContent")
    return text


def choose(page: Page, selector: str, value: str) -> None:
    """Give a control a value, as a person does."""
    page.evaluate(
        f"(() => {{ const one = document.querySelector({selector!r}); one.value = {value!r};"
        " for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )
