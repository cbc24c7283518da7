"""The playground's pictures: what the page says of itself, and what a real browser makes of it."""

import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from server.routes.playground import PAGE, PAGES
from tests.server.browser import Page, Pipes, chromium, find_chromium, new_page
from tests.server.routes.canned_server import LABELS, Canned, CannedServer, answer, class_activation, model, refusal

READY = "document.querySelector('#about').textContent.includes('classes')"
ANSWERED = "document.querySelectorAll('#cards .times').length"

needs_chromium = [
    pytest.mark.needs_chromium,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium"),
]


class Tags(HTMLParser):
    """Every start tag of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.all if tag in names]


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_page_says_what_it_is_and_names_every_control(text: str) -> None:
    tags = Tags(text)
    assert tags.named("html") == [{"lang": "en"}]
    assert re.search(r"<title>\S[^<]+</title>", text)
    for wanted in ("main", "nav", "header", "footer", "h1"):
        assert len(tags.named(wanted)) == 1, wanted
    ids = [attributes["id"] for _, attributes in tags.all if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes.get("for") for attributes in tags.named("label")}
    for control in tags.named("input", "select"):
        inside_label = re.search(rf'<label[^>]*>[^<]+<(?:input|select)[^>]*id="{control["id"]}"', text)
        assert control["id"] in labelled or inside_label, f"{control['id']} has no label"
    assert all("alt" in image for image in tags.named("img"))
    assert len([attributes for _, attributes in tags.all if attributes.get("aria-live") == "polite"]) >= 1
    assert {attributes["href"] for attributes in tags.named("a")} == {"/docs", "/metrics", "/v1/models"}


def test_both_colour_schemes_hold_wcag_aa() -> None:
    style = (PAGES / "playground.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    of_light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", light))
    of_dark = of_light | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", dark))
    words = [(ink, paper) for ink in ("text", "muted") for paper in ("page", "surface", "sunk")]
    words += [
        ("on-accent", "accent"),
        ("bad", "bad-soft"),
        ("muted", "bad-soft"),
        ("accent", "surface"),
        ("text", "soft"),
    ]
    shapes = [(each, "surface") for each in ("queue", "decode", "preprocess", "infer", "postprocess", "edge")]
    for colours in (of_light, of_dark):
        for wanted, pairs in ((4.5, words), (3.0, shapes)):
            poor = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
            assert {pair: ratio for pair, ratio in poor.items() if ratio < wanted} == {}


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture(scope="module")
def browser() -> Iterator[Pipes]:
    program = find_chromium()
    assert program is not None
    with chromium(program) as pipes:
        yield pipes


@pytest.fixture
def page(browser: Pipes) -> Page:
    fresh = new_page(browser)
    fresh.look_like()
    return fresh


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four pictures of four formats."""
    paths = [tmp_path / f"picture-{at}.{kind}" for at, kind in enumerate(("jpg", "png", "webp", "bmp"))]
    for at, path in enumerate(paths):
        Image.linear_gradient("L").convert("RGB").rotate(90 * at).resize((96, 64)).save(path)
    return paths


def opened(page: Page, server: CannedServer) -> Page:
    page.open(server.url)
    page.wait_for(READY)
    return page


def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.evaluate(f"[...document.querySelectorAll('{selector}')].map((one) => one.textContent)")
    return found


def opacity_at(x: float, y: float) -> str:
    """A script for the first card's heat map: its opacity, 0 to 255, at a place in parts of width and height."""
    canvas = "document.querySelector('.thumb .heat')"
    at = f"{x} * {canvas}.width, {y} * {canvas}.height"
    return f"{canvas}.getContext('2d').getImageData({at}, 1, 1).data[3]"


def fill_in(page: Page, selector: str, value: str) -> None:
    one = f"document.querySelector('{selector}')"
    page.evaluate(f"{one}.value = '{value}'; {one}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    page.evaluate(f"{one}.dispatchEvent(new Event('change', {{bubbles: true}}))")


class TestInABrowser:
    pytestmark = needs_chromium

    def test_a_chosen_picture_gets_labels_times_and_a_thumbnail(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer() as server:
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1 && !document.querySelector('.thumb img').hidden")
            assert texts(page, "#cards .labels li span:first-child") == list(LABELS), (
                "also the one that looks like markup"
            )
            assert texts(page, "#cards .labels li span:nth-child(2)") == ["71.3%", "15.2%", "8.1%", "0.9%", "<0.1%"]
            assert texts(page, "#cards .legend dt") == ["queue", "decode", "preprocess", "infer", "postprocess"]
            assert texts(page, "#cards .legend dd") == ["0.41", "0.93", "0.21", "2.31", "0.08"]
            assert re.fullmatch(
                r"4\.20 ms in the server · [\d.]+ ms round trip · batch of 2", texts(page, "#cards .total")[0]
            )
            assert texts(page, "#said") == ["Egyptian cat, 71.3%"], "what a screen reader hears"
            assert page.problems == []
        path, headers, body = server.asked[0]
        assert path == "/v1/models/efficientnet_lite0/predict"
        assert headers["content-type"] == "application/octet-stream"
        assert body == pictures[0].read_bytes()

    def test_dropped_pictures_go_two_at_a_time_in_order(self, page: Page, pictures: list[Path]) -> None:
        def slowly(number: int, picture: bytes) -> Canned:
            time.sleep(0.05)
            return answer()

        with CannedServer(slowly) as server:
            opened(page, server).drop_files("#drop", pictures)
            page.wait_for(f"{ANSWERED} === 4")
            assert texts(page, ".name") == [path.name for path in pictures]
            assert server.most_at_once == 2
            assert texts(page, "#summary")[0].startswith("4 pictures · median round trip")
            assert page.problems == []

    def test_a_pasted_picture_is_asked_about(self, page: Page) -> None:
        with CannedServer() as server:
            opened(page, server).evaluate(
                "(() => { const held = new DataTransfer();"
                " held.items.add(new File(['x'], 'pasted.png', {type: 'image/png'}));"
                " dispatchEvent(new ClipboardEvent('paste', {clipboardData: held, cancelable: true})); })()"
            )
            page.wait_for(f"{ANSWERED} === 1")
            assert texts(page, ".name") == ["pasted.png"]
            assert page.evaluate("document.querySelector('.thumb img').hidden"), "no picture: the placeholder stays"
            assert page.problems == []

    def test_model_and_label_count_choose_the_call_and_the_curl_line(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer() as server:
            server.models = Canned(200, {"models": [model("a"), model("b", 2, "fp32"), model("b", 1)]})
            opened(page, server)
            assert texts(page, "#model option") == ["a", "b", "b, version 1"]
            fill_in(page, "#model", "/v1/models/b/versions/1/predict")
            fill_in(page, "#top-k", "3")
            wanted = "v1/models/b/versions/1/predict?top_k=3"
            assert texts(page, "#curl") == [f'curl --data-binary @photo.jpg "{server.url}{wanted}"']
            page.choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1")
            assert server.asked[0][0] == f"/{wanted}"

    def test_the_heat_map_is_offered_where_the_model_has_one_and_lies_where_the_model_looked(
        self, page: Page, pictures: list[Path]
    ) -> None:
        kinds = ("logits", "class_activation")
        top_right = class_activation((1, 5))
        with CannedServer(lambda number, picture: answer(width=96, height=64, class_activation=top_right)) as server:
            server.models = Canned(200, {"models": [model("plain"), model("seeing", kinds=kinds)], "default": "plain"})
            opened(page, server)
            assert page.evaluate("document.querySelector('#heat-row').hidden"), "the chosen model has none"
            fill_in(page, "#model", "/v1/models/seeing/predict")
            page.click("#heat")
            page.choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1 && !document.querySelector('.thumb .heat').hidden")
            wanted = "v1/models/seeing/predict?explain=cam"
            assert [path for path, _, _ in server.asked] == [f"/{wanted}"]
            assert texts(page, "#curl") == [f'curl --data-binary @photo.jpg "{server.url}{wanted}"']
            page.wait_for(
                f"{opacity_at(0.66, 0.25)} > 200"
            )  # the middle 56 of 96 × 64 px were seen: cell (1, 5) of 7 × 7
            assert page.evaluate(f"[{opacity_at(0.34, 0.25)}, {opacity_at(0.66, 0.8)}, {opacity_at(0.9, 0.25)}]") == [
                0,
                0,
                0,
            ]
            assert page.evaluate("getComputedStyle(document.querySelector('.thumb .heat')).objectFit") == "cover"
            page.click("#heat")
            assert page.evaluate("getComputedStyle(document.querySelector('.thumb .heat')).display") == "none"
            page.click("#heat")
            assert len(server.asked) == 1, "it is still known"
            assert page.problems == []

    def test_the_heat_map_is_asked_for_when_it_is_wanted_later(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer(
            lambda number, picture: answer(class_activation=class_activation()) if number else answer()
        ) as server:
            server.models = Canned(200, {"models": [model("seeing", kinds=("logits", "class_activation"))]})
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1")
            page.click("#heat")
            page.wait_for("!document.querySelector('.thumb .heat').hidden")
            assert [path.partition("?")[2] for path, _, _ in server.asked] == ["", "explain=cam"]
            assert page.problems == []

    def test_a_busy_server_is_asked_once_more_after_the_time_it_named(self, page: Page, pictures: list[Path]) -> None:
        busy = refusal(429, "overloaded", "the queue is full; try again later", Retry_After="1")
        with CannedServer(lambda number, picture: busy if number == 0 else answer()) as server:
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for("document.querySelector('.asking')?.textContent.includes('asking again in 1 s')")
            page.wait_for(f"{ANSWERED} === 1")
            assert len(server.asked) == 2

    def test_a_server_that_stays_busy_is_not_pressed(self, page: Page, pictures: list[Path]) -> None:
        busy = refusal(429, "overloaded", "the queue is full; try again later", Retry_After="0.05")
        with CannedServer(lambda number, picture: busy) as server:
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for("document.querySelector('#cards .wrong')")
            assert texts(page, "#cards .wrong p") == ["the queue is full; try again later", "overloaded · request r-2"]
            assert len(server.asked) == 2

    @pytest.mark.parametrize(
        ("reply", "told"),
        [
            (refusal(415, "unsupported_format", "heic is not enabled here"), "heic is not enabled here"),
            (Canned(502, "no error form"), "The server answered 502 Bad Gateway"),
            (Canned(hang_up=True), "The connection broke while this picture"),
        ],
    )
    def test_errors_are_told_in_words_and_can_be_tried_again(
        self, page: Page, pictures: list[Path], reply: Canned, told: str
    ) -> None:
        failing = [True]
        with CannedServer(lambda number, picture: reply if failing[0] else answer()) as server:
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for("document.querySelector('#cards .wrong')")
            assert texts(page, "#cards .wrong p")[0].startswith(told)
            assert texts(page, "#said")[0].startswith(told)
            failing[0] = False
            page.evaluate("document.querySelector('#cards .wrong button').click()")
            page.wait_for(f"{ANSWERED} === 1")
            assert [each for each in page.problems if not each.startswith("network:")] == []

    def test_a_server_that_is_gone_is_called_so(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer() as server:
            opened(page, server)
        page.choose_files("#files", pictures[:1])
        page.wait_for("document.querySelector('#cards .wrong')")
        assert texts(page, "#cards .wrong p") == ["This server can’t be reached. Is it running?"]

    def test_the_catalogues_refusal_is_shown_and_can_be_asked_again(self, page: Page) -> None:
        with CannedServer() as server:
            good, server.models = server.models, refusal(503, "not_ready", "the models are loading")
            page.open(server.url)
            page.wait_for("!document.querySelector('#reload').hidden")
            assert texts(page, "#about") == ["the models are loading"]
            server.models = good
            page.evaluate("document.querySelector('#reload').click()")
            page.wait_for(READY)

    def test_a_key_is_asked_for_when_the_server_wants_one(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer(lambda number, picture: refusal(401, "unauthorized", "send a key")) as server:
            opened(page, server)
            assert page.evaluate("document.querySelector('#key-row').hidden")
            page.choose_files("#files", pictures[:1])
            page.wait_for("document.querySelector('#cards .wrong') && !document.querySelector('#key-row').hidden")
            page.evaluate(
                "document.querySelector('#key').value = 'k-1'; document.querySelector('#cards .wrong button').click()"
            )
            page.wait_for("document.querySelector('#cards .wrong') && !document.querySelector('.asking')")
            assert server.asked[1][1]["x-api-key"] == "k-1"

    def test_every_control_is_reached_by_tab_and_shows_it(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer() as server:
            opened(page, server).choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1")
            seen: list[str] = []
            for _ in range(11):
                page.press("Tab", code=9)
                seen.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('href')"))
                ringed = "document.querySelector('.button')" if seen[-1] == "files" else "document.activeElement"
                assert page.evaluate(f"getComputedStyle({ringed}).outlineStyle") == "solid", seen[-1]
            links = ["/docs", "/v1/models", "/metrics"]
            assert seen == [*links, "files", "camera", "model", "top-k", "again", "clear", "curl", "copy"]

    @pytest.mark.parametrize("look", [(390, 844, True), (320, 640, False), (1280, 800, False)])
    def test_nothing_sticks_out_of_the_window(
        self, page: Page, pictures: list[Path], look: tuple[int, int, bool], tmp_path: Path
    ) -> None:
        width, height, phone = look
        name = tmp_path / f"{'a-very-long-name-' * 9}.jpg"
        name.write_bytes(pictures[0].read_bytes())
        with CannedServer() as server:
            page.look_like(width, height, dark=phone, phone=phone)
            opened(page, server).choose_files("#files", [*pictures, name])
            page.wait_for(f"{ANSWERED} === 5")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert (
                page.evaluate(
                    "Math.max(...[...document.querySelectorAll('.body *')].map((e) => e.getBoundingClientRect().right))"
                )
                < width
            )

    def test_clear_lets_go_of_everything(self, page: Page, pictures: list[Path]) -> None:
        with CannedServer() as server:
            opened(page, server).choose_files("#files", pictures)
            page.evaluate("document.querySelector('#clear').click()")
            page.choose_files("#files", pictures[:1])
            page.wait_for(f"{ANSWERED} === 1")
            assert texts(page, ".name") == [pictures[0].name]
            assert texts(page, "#summary")[0].startswith("1 picture ·")
            assert page.problems == []
