"""``WS /v1/stream`` on a real server, with a real client: what section by section of docs/streaming.md promises."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.server.fake_bundles import MeanColour
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import GREEN, RED
from tests.server.running import Running, serving
from tests.server.streams.fakes import numbered
from tests.server.streams.talking import WAIT_S, best, closed, hear, refused, stream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two models; small limits."""
    folder = tmp_path_factory.mktemp("streams")
    for name in ("colours", "colours", "tints"):
        write_mean_colour(folder / "store", name)
    flags = ["--store", str(folder / "store"), "--backend", "onnxruntime", "--instances", "2", "--log-format", "json"]
    with serving(folder, *flags, "--max-frame-bytes", "2000000", "--max-stream-sessions", "20") as running:
        yield running


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        await asyncio.wait_for(scenario(), 3 * WAIT_S)

    asyncio.run(timed())


@pytest.mark.parametrize("form", ["quickeye.json", "quickeye.msgpack"])
def test_frames_are_answered_in_the_format_that_was_chosen(server: Running, form: str) -> None:
    async def scenario() -> None:
        async with stream(server.url, "?policy=all&top_k=1", subprotocols=[Subprotocol(form)]) as socket:
            assert socket.subprotocol == form
            for seq in range(1, 21):
                await socket.send(numbered(seq, RED if seq % 2 else GREEN))
            for seq in range(1, 21):
                event = await hear(socket)
                assert (event["seq"], event["captured_at"], best(event)) == (seq, 1.5, "red" if seq % 2 else "green")
                assert (event["width"], event["height"], len(event["predictions"])) == (40, 30, 1)
            await socket.send('{"type":"end"}')
            heard, code = await closed(socket)
            assert code == 1000
            assert (heard[-1]["type"], heard[-1]["results"]) == ("stats", 20)

    play(scenario)


def test_a_stream_says_the_same_as_a_post(server: Running) -> None:
    with server.client() as client:
        posted = client.post("/v1/predict?top_k=2", content=RED).json()

    async def scenario() -> None:
        async with stream(server.url, "?top_k=2") as socket:
            await socket.send(RED)
            event = await hear(socket)
            assert {name: event[name] for name in ("model", "version")} == {
                name: posted[name] for name in ("model", "version")
            }
            assert event["predictions"] == posted["results"][0]["predictions"]
            assert set(posted["results"][0]) <= set(event)
            assert (event["seq"], event["captured_at"]) == (1, None)

    play(scenario)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?top_k=0", 400, "invalid_request"),
        ("?top_k=1&top_k=1", 400, "invalid_request"),
        ("?nonsense=1", 400, "invalid_request"),
        ("?explain=cam", 400, "invalid_request"),
        ("?model=hats", 404, "unknown_model"),
        ("?model=tints&version=9", 404, "unknown_model"),
    ],
)
def test_a_refused_handshake_is_an_ordinary_error(server: Running, query: str, status: int, code: str) -> None:
    async def scenario() -> None:
        told, headers, body = await refused(server.url, query)
        assert (told, body["error"]["code"]) == (status, code)
        assert server.access_line(headers["x-request-id"])["status"] == status
        with server.client() as client:  # a plain request is told the same
            plain = client.get(f"/v1/stream{query}")
        assert (plain.status_code, plain.json()["error"]["code"]) == (status, code)

    play(scenario)


def test_a_request_that_is_no_handshake_is_told_what_would_be_said_to_one(server: Running) -> None:
    with server.client() as client:
        plain = client.get("/v1/stream")
        assert (plain.status_code, plain.json()["error"]["code"]) == (426, "upgrade_required")
        assert plain.headers["upgrade"] == "websocket"
        assert client.post("/v1/stream").status_code == 405


def test_pages_of_other_sites_are_refused_and_ours_are_not(server: Running) -> None:
    async def scenario() -> None:
        status, _, body = await refused(server.url, origin="https://evil.example")
        assert (status, body["error"]["code"]) == (403, "forbidden")
        async with stream(server.url, origin=server.url) as socket:  # type: ignore[arg-type]
            await socket.send(RED)
            assert best(await hear(socket)) == "red"

    play(scenario)


def test_another_path_is_404_in_our_form(server: Running) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url.replace("http", "ws") + "/v1/streams", proxy=None)
        response = caught.value.response
        assert (response.status_code, orjson.loads(response.body or b"")["error"]["code"]) == (404, "not_found")

    play(scenario)


def test_the_access_log_has_one_line_for_a_stream_with_its_counts(server: Running) -> None:
    async def scenario() -> str:
        async with connect(f"{server.url.replace('http', 'ws')}/v1/stream?model=tints", proxy=None) as socket:
            session = (await hear(socket))["session"]
            for message in (RED, b"no picture", '{"type":"end"}'):
                await socket.send(message)
            await closed(socket)
            return str(session)

    session = asyncio.run(scenario())
    line = server.access_line(session)
    assert (line["status"], line["close"], line["model"], line["path"]) == (101, 1000, "tints", "/v1/stream")
    assert (line["frames"], line["results"], line["errors"]) == (2, 1, 1)
    assert len([each for each in server.lines().splitlines() if session in each]) == 1
    assert "uvicorn" not in server.lines()


def test_a_config_switches_the_model_between_frames(server: Running) -> None:
    async def scenario() -> None:
        async with stream(server.url, "?policy=all") as socket:
            await socket.send(numbered(1, RED))
            await socket.send('{"type":"config","model":"tints"}')
            await socket.send(numbered(2, RED))
            await socket.send('{"type":"config","model":"hats"}')
            await socket.send(numbered(3, RED))
            heard = sorted([await hear(socket) for _ in range(5)], key=lambda event: event.get("seq") or 0)
            results = [event for event in heard if event["type"] == "result"]
            assert [(event["seq"], event["model"], event["version"]) for event in results] == [
                (1, "colours", 2), (2, "tints", 1), (3, "tints", 1),
            ]  # fmt: skip
            assert sorted(event["type"] for event in heard) == ["config", "error", "result", "result", "result"]

    play(scenario)


def test_gate_and_smoothing_and_only_changed_work_together(server: Running) -> None:
    async def scenario() -> None:
        async with stream(server.url, "?policy=all&gate=2&smoothing=0.5&only_changed=true") as socket:
            told = []
            for picture in (RED, RED, GREEN, GREEN):
                await socket.send(picture)
                event = await hear(socket)
                told.append((event["reused"], event.get("unchanged", False), len(event["predictions"])))
            assert told == [(False, False, 3), (True, True, 0), (False, False, 3), (True, True, 0)]

    play(scenario)


HOSTILE: dict[str, bytes | str] = {
    "empty": b"", "one byte": b"\xff", "half a header": b"QE01\x00", "text": "hello", "broken JSON": '{"type":',
    "a megabyte of text": "x" * 1_000_000, "a header in between": numbered(9, RED), "noise": bytes(range(256)) * 40,
    "deep JSON": "[" * 5000, "a lone surrogate": '{"type":"ping","id":"\\ud800"}', "binary JSON": b'{"type":"ping"}',
}  # fmt: skip


def test_no_message_ends_a_stream(server: Running) -> None:
    async def scenario() -> None:
        async with stream(server.url, "?policy=all") as socket:
            for what, message in HOSTILE.items():
                await socket.send(message)
                event = await hear(socket)
                assert (event["type"], event["code"]) in {
                    ("error", "undecodable_image"),
                    ("error", "invalid_request"),
                }, what
            await socket.send(RED)
            assert best(await hear(socket)) == "red"

    play(scenario)


@pytest.mark.parametrize("size", [2_000_001, 2_000_017])
def test_a_frame_over_the_limit_ends_its_stream_with_1009(server: Running, size: int) -> None:
    async def scenario() -> None:
        async with stream(server.url) as socket:
            await socket.send(bytes(size))
            assert (await closed(socket))[1] == 1009
        async with stream(server.url) as socket:  # as large as allowed, with a header
            await socket.send(numbered(1, RED + bytes(2_000_000 - len(RED))))
            assert (await hear(socket))["seq"] == 1

    play(scenario)


def test_no_more_streams_than_allowed_and_places_come_back(server: Running) -> None:
    async def scenario() -> None:
        opened = [stream(server.url) for _ in range(20)]
        sockets = [await each.__aenter__() for each in opened]
        status, headers, body = await refused(server.url)
        assert (status, body["error"]["code"]) == (429, "overloaded")
        assert int(headers["retry-after"]) >= 1
        assert server.metric("quickeye_stream_sessions") == 20
        for socket in sockets:
            await socket.send(RED)
        assert {best(await hear(socket)) for socket in sockets} == {"red"}
        for each in opened:
            await each.__aexit__(None, None, None)
        async with stream(server.url) as socket:
            await socket.send(RED)
            assert best(await hear(socket)) == "red"

    play(scenario)


def test_frames_and_handshakes_are_counted(server: Running) -> None:
    before = server.metric("quickeye_stream_frames_total", outcome="error", model="tints")

    async def scenario() -> None:
        async with stream(server.url, "?model=tints") as socket:
            await socket.send(b"no picture")
            await hear(socket)
            assert server.metric("quickeye_stream_sessions", model="tints") == 1

    play(scenario)
    assert server.metric("quickeye_stream_frames_total", outcome="error", model="tints") == before + 1
    assert server.metric("quickeye_requests_total", protocol="ws", code="101", model="tints") >= 1
    assert server.metric("quickeye_images_total", protocol="ws", outcome="undecodable_image", model="tints") >= 1
    assert server.metric("quickeye_stream_frame_age_seconds_count", model="colours") >= 1


@pytest.mark.parametrize("form", ["quickeye.json", "quickeye.msgpack"])
def test_a_stream_explains_as_a_post_does(tmp_path: Path, form: str) -> None:
    MeanColour(maps=True).write(tmp_path / "store")

    async def scenario(server: Running) -> None:
        with server.client() as client:
            posted = client.post("/v1/predict?explain=cam", content=RED).json()["results"][0]["class_activation"]
        async with stream(server.url, "?explain=cam", subprotocols=[Subprotocol(form)]) as socket:
            await socket.send(RED)
            told = (await hear(socket))["class_activation"]
            if form == "quickeye.msgpack":
                told["png"] = base64.b64encode(told["png"]).decode()
            assert told == posted
            await socket.send('{"type":"config","explain":null}')
            assert (await hear(socket))["explain"] is None
            await socket.send(RED)
            assert "class_activation" not in await hear(socket)

    with serving(tmp_path, "--store", str(tmp_path / "store"), "--backend", "onnxruntime") as server:
        play(lambda: scenario(server))


def test_a_swap_in_the_middle_loses_no_frame(tmp_path: Path) -> None:
    write_mean_colour(tmp_path / "store")

    async def scenario(server: Running) -> None:
        versions: set[int] = set()
        client_of = httpx.AsyncClient(base_url=server.url, timeout=WAIT_S, trust_env=False)
        async with client_of as client, stream(server.url, "?policy=all") as socket:
            write_mean_colour(tmp_path / "store")
            loading = asyncio.create_task(client.post("/v1/models/mean_colour/load"))
            seq = 0
            while not loading.done() or len(versions) < 2:
                seq += 1
                await socket.send(numbered(seq, RED))
                event = await hear(socket)
                assert (event["seq"], best(event)) == (seq, "red")
                versions.add(event["version"])
            assert loading.result().status_code == 200
            await client.post("/v1/models/mean_colour/unload")
            await socket.send(numbered(seq + 1, RED))
            assert (await hear(socket))["code"] == "unknown_model"
            await client.post("/v1/models/mean_colour/load")
            await socket.send(numbered(seq + 2, RED))
            assert best(await hear(socket)) == "red"
        assert versions == {1, 2}

    with serving(tmp_path, "--store", str(tmp_path / "store"), "--backend", "onnxruntime") as server:
        play(lambda: scenario(server))


def test_keys_come_as_headers_or_as_a_subprotocol(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        assert (await refused(server.url))[0] == 401
        assert (await refused(server.url, subprotocols=[Subprotocol("quickeye.key.wrong")]))[0] == 403
        _, _, body = await refused(server.url, additional_headers={"X-API-Key": "wrong"})
        assert body["error"]["code"] == "forbidden"
        key = Subprotocol("quickeye.key.a%20b%2Fc")
        for named in (
            {"subprotocols": [key]},
            {"subprotocols": [Subprotocol("quickeye.msgpack"), key]},
            {"additional_headers": {"Authorization": "Bearer a b/c"}},
        ):
            async with stream(server.url, **named) as socket:
                assert socket.subprotocol == named.get("subprotocols", [None])[0]  # type: ignore[attr-defined]
                await socket.send(RED)
                assert best(await hear(socket)) == "red"
        assert "a b/c" not in server.lines() and "a%20b" not in server.lines()

    flags = ["--store", str(colour_store), "--backend", "onnxruntime", "--api-key", "a b/c"]
    with serving(tmp_path, *flags, "--log-format", "json", "--log-level", "debug") as server:
        play(lambda: scenario(server))
