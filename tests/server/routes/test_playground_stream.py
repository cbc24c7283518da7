"""The playground's camera against a scripted server: what is sent, what is shown, and what goes wrong."""

import io
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from tests.server.browser import Page, Pipes, camera, chromium, find_chromium, new_page
from tests.server.routes.camera_page import LIVE, NEEDS_CHROMIUM, OFF, TROUBLE, choose, film, live, opened, text_of
from tests.server.routes.canned_server import class_activation
from tests.server.routes.scripted_stream import Close, Frame, Refused, ScriptedServer, Told, dropped, result, scripted

pytestmark = NEEDS_CHROMIUM

PLAIN_HOST = "plain.test"  # no localhost: a page of it is not secure
HIDE = (
    "Object.defineProperty(document, 'hidden', {configurable: true, value: %s});"
    " document.dispatchEvent(new Event('visibilitychange'))"
)
TRACKS = """
    window.tracks = [];
    const ask = window.MediaDevices?.prototype.getUserMedia;
    if (ask) MediaDevices.prototype.getUserMedia = async function (wish) {
      const media = await ask.call(this, wish);
      window.wish = wish;
      window.tracks.push(...media.getTracks());
      return media;
    };
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipes]:
    program = find_chromium()
    assert program is not None
    ramp = Image.linear_gradient("L").resize((960, 720))
    video = film(tmp_path_factory.mktemp("film") / "ramp.mjpeg", [ramp, ramp.rotate(180)])
    with chromium(program, *camera(video), f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1") as pipes:
        yield pipes


@pytest.fixture
def page(browser: Pipes) -> Iterator[Page]:
    fresh = new_page(browser)
    fresh.look_like()
    yield fresh
    fresh.call("Page.navigate", url="about:blank")  # its camera stops


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as running:
        yield running


def until(page: Page, condition: Callable[[], bool]) -> None:
    """What the server saw, as ``wait_for`` is for what the page shows."""
    until_s = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until_s, page.evaluate("document.body.innerText")
        page.evaluate("new Promise((done) => setTimeout(done, 50))")


class TestFrames:
    def test_they_are_jpegs_of_about_twice_the_models_side_numbered_and_timed(
        self, page: Page, server: ScriptedServer
    ) -> None:
        live(page, server.url)
        page.wait_for("document.querySelector('#chart .of-trip')?.getAttribute('d')?.length > 60")
        frames = server.frames[:3]
        assert [frame.seq for frame in frames] == [1, 2, 3]
        assert sorted(frame.captured_at for frame in frames) == [frame.captured_at for frame in frames]
        assert all(abs(frame.captured_at - time.time()) < 3600 for frame in frames), "seconds of the page's clock"
        for frame in frames:
            with Image.open(io.BytesIO(frame.picture)) as picture:
                assert (picture.format, picture.size) == ("JPEG", (597, 448))
        assert server.queries == [{"model": "striped", "top_k": "5"}]
        assert server.offered == [["quickeye.json"]]
        assert page.problems == []

    def test_there_is_never_more_than_one_on_its_way(self, page: Page, server: ScriptedServer) -> None:
        server.on_frame = lambda frame: None if frame.number == 2 else result(frame, "tabby")
        live(page, server.url)
        until(page, lambda: len(server.frames) >= 3)
        page.wait_for("document.querySelector('#fps').textContent === '0.0'")
        page.wait_for("document.querySelector('#camera-fps').textContent.split(' ')[1] > 1")
        assert len(server.frames) == 3, "the third was not answered: no fourth came, while the camera went on"

    def test_a_browser_without_the_frame_callback_sends_them_too(self, page: Page, server: ScriptedServer) -> None:
        page.before_load("delete HTMLVideoElement.prototype.requestVideoFrameCallback")
        live(page, server.url)
        page.wait_for("document.querySelector('.labels li')")
        assert len({frame.seq for frame in server.frames}) == len(server.frames) > 0
        assert page.problems == []

    def test_other_options_are_told_without_a_new_stream(self, page: Page, server: ScriptedServer) -> None:
        live(page, server.url)
        choose(page, "#top-k", "3")
        choose(page, "#model", "/v1/models/spotted/predict")
        page.click("#heat")
        page.wait_for("document.querySelector('#fps').textContent > 0")
        told = {"type": "config", "version": None, "top_k": 3}
        assert server.controls == [
            {**told, "model": "striped", "explain": None},
            {**told, "model": "spotted", "explain": None},
            {**told, "model": "spotted", "explain": "cam"},
        ]
        assert len(server.queries) == 1


class TestShown:
    def test_labels_figures_and_a_chart_that_moves(self, page: Page, server: ScriptedServer) -> None:
        server.on_frame = lambda frame: result(frame, "lynx" if frame.number > 15 else "tabby", "<i>cat</i>")
        live(page, server.url)
        page.wait_for("document.querySelector('.labels li span')?.textContent === 'tabby'")
        trip = "document.querySelector('#chart .of-trip').getAttribute('d')"
        page.wait_for(f"{trip}.length > 40")
        before, box = page.evaluate(f"[{trip}, document.querySelector('#chart').getAttribute('viewBox')]")
        page.wait_for("document.querySelector('.labels li span')?.textContent === 'lynx'")
        after, moved = page.evaluate(f"[{trip}, document.querySelector('#chart').getAttribute('viewBox')]")
        assert len(after) > len(before), "it grows with the results"
        assert float(moved.split()[0]) > float(box.split()[0]), "and follows the clock"
        assert text_of(page, ".labels li:nth-child(2) span") == "<i>cat</i>", "as text"
        page.wait_for("document.querySelector('#server').textContent === '12'")
        assert text_of(page, "#live-answer .total").startswith("11.6 ms in the server · median of ")
        assert int(text_of(page, "#trip")) >= 20, "the script answers after 20 ms"
        assert page.problems == []

    def test_drops_and_errors_are_counted_by_reason(self, page: Page, server: ScriptedServer) -> None:
        def told(frame: Frame) -> Told:
            match frame.number:
                case 0 | 1:
                    return dropped(frame, "stale")
                case 2:
                    return dropped(frame, "overloaded")
                case 3:
                    told = {"code": "undecodable_image", "message": "the picture is broken"}
                    return {"type": "error", "seq": frame.seq, "captured_at": frame.captured_at, **told}
            return result(frame, "tabby")

        server.on_frame = told
        live(page, server.url)
        page.wait_for("document.querySelector('#dropped').textContent === '4' && document.querySelector('.labels li')")
        assert text_of(page, "#reasons") == "2 stale · 1 overloaded · 1 undecodable image"
        assert text_of(page, "#last-error") == "the picture is broken (undecodable_image)"
        assert page.evaluate("document.querySelector('#chart .of-drops').getAttribute('d').split('M').length") == 5

    def test_the_heat_map_lies_over_the_picture(self, page: Page, server: ScriptedServer) -> None:
        server.models.reverse()
        server.on_frame = lambda frame: result(frame, "tabby", class_activation=class_activation((3, 3)))
        live(page, server.url)
        assert page.evaluate("document.querySelector('#live-heat').hidden")
        page.click("#heat")
        page.wait_for("!document.querySelector('#live-heat').hidden")
        pixel = "document.querySelector('#live-heat').getContext('2d').getImageData(%d, %d, 1, 1).data[3]"
        page.wait_for(f"{pixel % (240, 180)} > 200")
        assert page.evaluate(pixel % (20, 20)) == 0
        assert server.controls[-1]["explain"] == "cam"
        page.click("#heat")
        page.wait_for("document.querySelector('#live-heat').hidden")
        assert server.controls[-1]["explain"] is None
        assert page.problems == []

    def test_who_listens_is_told_what_stands_and_not_what_flickers(self, page: Page, server: ScriptedServer) -> None:
        server.on_frame = lambda frame: result(frame, "tabby" if frame.number % 2 else "lynx")
        page.before_load(
            "window.heard = []; addEventListener('DOMContentLoaded', () => new MutationObserver("
            "() => heard.push(document.querySelector('#said').textContent)"
            ").observe(document.querySelector('#said'), {childList: true}));"
        )
        live(page, server.url)
        page.wait_for("document.querySelector('#fps').textContent > 0")
        until(page, lambda: len(server.frames) > 40)
        assert page.evaluate("heard") == ["Live: striped, version 1."]
        server.on_frame = lambda frame: result(frame, "tabby")
        page.wait_for("heard.length > 1")
        assert page.evaluate("heard")[1:] == ["tabby, 90.0%"]
        assert page.evaluate("document.querySelectorAll('#live [aria-live], #live [role=status]').length") == 0
        assert page.evaluate("document.querySelector('#chart').getAttribute('aria-describedby')") == "chart-words"
        page.wait_for("document.querySelector('#chart-words').textContent.includes('answers')")

    @pytest.mark.parametrize(("width", "phone"), [(390, True), (320, False), (1280, False)])
    @pytest.mark.parametrize("dark", [False, True])
    def test_nothing_sticks_out_of_the_window(
        self, page: Page, server: ScriptedServer, width: int, phone: bool, dark: bool
    ) -> None:
        server.on_frame = lambda frame: result(frame, "a label that is long, " * 9, *"abcd")
        page.look_like(width, 800, dark=dark, phone=phone)
        live(page, server.url)
        page.wait_for("document.querySelector('.labels li')")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        right = "Math.max(...[...document.querySelectorAll('main *')].map((e) => e.getBoundingClientRect().right))"
        assert page.evaluate(right) <= width

    def test_still_motion_is_respected(self, page: Page, server: ScriptedServer) -> None:
        still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        page.call("Emulation.setEmulatedMedia", features=still)
        live(page, server.url)
        page.wait_for("document.querySelector('.labels li')")
        durations = "[...document.querySelectorAll('#live *')].map((e) => getComputedStyle(e))"
        moving = "(style) => style.animationName !== 'none' || style.transitionProperty !== 'none'"
        assert page.evaluate(f"{durations}.filter({moving}).length") == 0

    def test_keys_reach_every_control_and_stop_gives_the_place_back(self, page: Page, server: ScriptedServer) -> None:
        page.before_load(TRACKS)
        live(page, server.url)
        focused = "document.activeElement.id"
        assert page.evaluate(focused) == "stop"
        page.press("Tab", code=9)
        assert page.evaluate(focused) == "mirror"
        page.press("Enter", code=13, text="\r")
        assert page.evaluate("[...document.querySelector('#picture').classList]") == ["picture", "mirrored"]
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        page.evaluate("document.querySelector('#stop').focus()")
        page.press("Enter", code=13, text="\r")
        page.wait_for(OFF)
        assert page.evaluate(focused) == "camera"
        assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]
        assert text_of(page, "#said") == "The camera is off."


class TestServerSaysNo:
    def test_a_key_is_asked_for_and_sent_as_a_subprotocol(self, page: Page, server: ScriptedServer) -> None:
        key = "k 1/ü(x)~*'!"
        wanted = "quickeye.key." + urllib.parse.quote(key, safe="~*'!")
        refusal = Refused(401, "unauthorized", "this server asks for a key")
        server.on_handshake = lambda: None if server.offered and wanted in server.offered[-1] else refusal
        opened(page, server.url).click("#camera")
        page.wait_for(TROUBLE)
        assert "this server asks for a key" in text_of(page, "#trouble")
        assert page.evaluate("document.activeElement.id") == "key"
        choose(page, "#key", key)
        page.wait_for(LIVE)
        assert server.offered[-1] == ["quickeye.json", wanted]
        assert page.evaluate("document.querySelector('#trouble').hidden")

    def test_a_full_server_is_asked_again_when_it_said_or_now(self, page: Page, server: ScriptedServer) -> None:
        full = [Refused(429, "overloaded", "4 streams are open, and no more are taken", {"Retry-After": "40"})]
        server.on_handshake = lambda: full[0] if full else None
        opened(page, server.url).click("#camera")
        page.wait_for(TROUBLE)
        assert text_of(page, "#trouble p") == "4 streams are open, and no more are taken"
        assert text_of(page, "#trouble li") == "Trying again in 40 s."
        assert text_of(page, "#state") == "Not connected"
        full.clear()
        page.click("#trouble button")
        page.wait_for(LIVE)

    def test_a_draining_server_is_waited_for(self, page: Page, server: ScriptedServer) -> None:
        draining = Refused(503, "draining", "the server is stopping and takes no new work", {"Retry-After": "0.05"})
        server.on_handshake = lambda: draining if len(server.offered) < 4 else None
        opened(page, server.url).click("#camera")
        page.wait_for(LIVE)
        assert len(server.offered) == 4, "nobody touched it"

    def test_an_unknown_model_is_left_to_the_person(self, page: Page, server: ScriptedServer) -> None:
        server.on_handshake = lambda: (
            Refused(404, "unknown_model", "no model 'striped' is served")
            if (server.queries and server.queries[-1]["model"] == "striped")
            else None
        )
        opened(page, server.url).click("#camera")
        page.wait_for(TROUBLE)
        assert text_of(page, "#trouble p") == "no model 'striped' is served"
        assert text_of(page, "#trouble li") == "Choose another model, or “Try again”."
        choose(page, "#model", "/v1/models/spotted/predict")
        page.wait_for(LIVE)

    def test_a_stream_that_ends_comes_back_by_itself(self, page: Page, server: ScriptedServer) -> None:
        server.on_frame = lambda frame: (
            Close(1001, "the server is stopping") if frame.number == 3 else result(frame, "tabby")
        )
        page.before_load(
            "window.seen = []; addEventListener('DOMContentLoaded', () => new MutationObserver(() => "
            "seen.push(document.querySelector('#trouble p')?.textContent)"
            ").observe(document.querySelector('#trouble'), {childList: true}));"
        )
        live(page, server.url)
        page.wait_for("seen.length > 0")
        assert page.evaluate("seen") == ["The server ended the stream: the server is stopping."]
        page.wait_for(LIVE)
        assert len(server.offered) == 2
        until(page, lambda: len(server.frames) > 4)
        assert server.frames[4].seq == 5, "numbers go on"

    def test_models_that_were_not_ready_are_asked_for_again_once_it_is_live(
        self, page: Page, server: ScriptedServer
    ) -> None:
        there, server.models = server.models, []
        page.permit("camera", "granted")
        page.open(server.url)
        page.wait_for("!document.querySelector('#reload').hidden")
        server.models = there
        page.click("#camera")
        page.wait_for(LIVE)
        page.wait_for("document.querySelector('#model').options.length === 2")
        page.wait_for("document.querySelector('#sight').hasAttribute('viewBox')")

    def test_a_server_that_is_gone_is_called_so(self, page: Page) -> None:
        with scripted() as server:
            server.models.reverse()
            server.on_frame = lambda frame: result(frame, "tabby", class_activation=class_activation((3, 3)))
            live(page, server.url)
            page.click("#heat")
            page.wait_for("!document.querySelector('#live-heat').hidden")
        page.wait_for(TROUBLE)
        assert page.evaluate("document.querySelector('#live-heat').hidden"), "it is of what the camera showed then"
        assert float(page.evaluate("getComputedStyle(document.querySelector('#live .body')).opacity")) < 1
        page.wait_for("document.querySelector('#trouble p').textContent.includes('can’t be reached')")
        assert "Trying again in" in text_of(page, "#trouble li")


class TestHidden:
    def test_a_hidden_tab_lets_go_of_camera_and_stream_and_says_so(self, page: Page, server: ScriptedServer) -> None:
        page.before_load(TRACKS)
        live(page, server.url)
        page.wait_for("document.querySelector('.labels li')")
        page.evaluate(HIDE % "true")
        assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]
        assert text_of(page, "#state") == text_of(page, "#said").rstrip(".") == "Paused while this tab is hidden"
        assert page.evaluate("document.title") == "Paused · Quickeye playground"
        sent = len(server.frames)
        page.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert len(server.frames) <= sent + 1, "at most the one that was on its way"
        page.evaluate(HIDE % "false")
        page.wait_for(LIVE)
        assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended", "live"]
        assert page.evaluate("document.title") == "Quickeye playground"
        assert page.problems == []


class TestCamera:
    def test_a_refused_camera_tells_how_to_allow_it(self, page: Page, server: ScriptedServer) -> None:
        opened(page, server.url).permit("camera", "denied")
        page.click("#camera")
        page.wait_for(TROUBLE)
        assert text_of(page, "#trouble p") == "The camera was not allowed."
        assert "set Camera to Allow" in text_of(page, "#trouble")
        assert text_of(page, "#said").startswith("The camera was not allowed. Choose the sign")
        assert page.evaluate("getComputedStyle(document.querySelector('.view')).display") == "none"
        page.permit("camera", "granted")
        page.click("#trouble button")
        page.wait_for(LIVE)

    def test_its_message_can_be_closed(self, page: Page, server: ScriptedServer) -> None:
        opened(page, server.url).permit("camera", "denied")
        page.click("#camera")
        page.wait_for(TROUBLE)
        page.click("#trouble button:last-child")
        page.wait_for(OFF)

    @pytest.mark.parametrize(
        ("name", "message", "told"),
        [
            ("NotReadableError", "Could not start video source", "another program may be using it"),
            ("NotAllowedError", "Permission denied by system", "The operating system keeps the camera"),
            ("NotFoundError", "Requested device not found", "No camera was found."),
            ("TypeError", "something odd", "The browser says: something odd"),
        ],
    )
    def test_other_failures_have_words_too(
        self, page: Page, server: ScriptedServer, name: str, message: str, told: str
    ) -> None:
        page.before_load(
            "if (window.MediaDevices) MediaDevices.prototype.getUserMedia ="
            f" async () => {{ throw new DOMException({message!r}, {name!r}); }}"
        )
        opened(page, server.url).click("#camera")
        page.wait_for(TROUBLE)
        assert told in text_of(page, "#trouble")
        assert page.problems == []

    def test_a_page_that_is_not_secure_names_the_remedies(self, page: Page, server: ScriptedServer) -> None:
        page.look_like(320, 640)
        page.open(f"http://{PLAIN_HOST}:{server.port}/")
        page.click("#camera")
        page.wait_for(TROUBLE)
        assert "secure pages only" in text_of(page, "#trouble")
        assert f"open http://localhost:{server.port} there" in text_of(page, "#trouble")
        assert text_of(page, "#trouble code") == f"ssh -N -L {server.port}:localhost:{server.port} {PLAIN_HOST}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 320

    def test_one_that_goes_away_is_noticed_and_so_is_its_return(self, page: Page, server: ScriptedServer) -> None:
        page.before_load(TRACKS)
        live(page, server.url)
        page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
        page.wait_for(TROUBLE)
        assert text_of(page, "#trouble p") == "The camera went away."
        page.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
        page.wait_for(LIVE)

    def test_one_that_looks_at_you_is_shown_as_a_mirror(self, page: Page, server: ScriptedServer) -> None:
        page.before_load("MediaStreamTrack.prototype.getSettings = () => ({facingMode: 'user'})")
        live(page, server.url)
        turned = "getComputedStyle(document.querySelector('#picture')).transform"
        assert page.evaluate(turned) == "matrix(-1, 0, 0, 1, 0, 0)"
        page.click("#mirror")
        assert page.evaluate(turned) == "none"

    def test_of_several_one_can_be_chosen(self, server: ScriptedServer) -> None:
        program = find_chromium()
        assert program is not None
        with chromium(program, "--use-fake-device-for-media-stream=device-count=2") as pipes:
            page = new_page(pipes)
            page.look_like()
            page.before_load(TRACKS)
            live(page, server.url)
            names = page.evaluate("[...document.querySelector('#cameras').options].map((one) => one.textContent)")
            assert len(names) == 2
            assert not page.evaluate("document.querySelector('#camera-row').hidden")
            assert page.evaluate("wish.video.facingMode.ideal") == "environment"
            choose(page, "#cameras", page.evaluate("document.querySelector('#cameras').options[1].value"))
            page.wait_for(f"{LIVE} && tracks.length === 2")
            assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended", "live"]
            assert page.evaluate("tracks[1].label") == names[1]
            assert page.evaluate("document.querySelector('#cameras').selectedIndex") == 1

    def test_none_at_all_is_said(self, server: ScriptedServer) -> None:
        program = find_chromium()
        assert program is not None
        with chromium(program) as pipes:
            page = new_page(pipes)
            page.look_like()
            opened(page, server.url).click("#camera")
            page.wait_for(TROUBLE)
            assert text_of(page, "#trouble p") == "No camera was found."
