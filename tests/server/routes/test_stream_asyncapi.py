"""The AsyncAPI document is true: it keeps AsyncAPI's schema, and the server keeps it."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

from server.routes.stream_asyncapi import REPLIES, document
from server.streams.options import OPTIONS
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import GREEN, RED
from tests.server.running import Running, serving
from tests.server.streams.fakes import numbered

ASYNCAPI = Path(__file__).parent.parent / "streams" / "asyncapi-3.0.0.json"
WAIT_S = 30.0
DOCUMENT = document("127.0.0.1:8000")
MESSAGES = DOCUMENT["components"]["messages"]
EXAMPLES = [(name, index) for name, message in MESSAGES.items() for index in range(len(message["examples"]))]


def is_valid(name: str, payload: object) -> bool:
    return jsonschema_rs.Draft7Validator(MESSAGES[name]["payload"]).is_valid(payload)


def names_of(event: dict[str, Any]) -> list[str]:
    """The messages that an event fits."""
    return [
        name for name in ("ready", "result", "dropped", "error", "configured", "pong", "stats") if is_valid(name, event)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serves a model under the name that the examples use."""
    folder = tmp_path_factory.mktemp("asyncapi")
    write_mean_colour(folder / "store", "efficientnet_lite0")
    with serving(folder, "--store", str(folder / "store"), "--backend", "onnxruntime") as running:
        yield running


def broken(*path: str) -> dict[str, Any]:
    """The document with nonsense in one place."""
    copy: dict[str, Any] = orjson.loads(orjson.dumps(DOCUMENT))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "nonsense"
    return copy


def test_the_document_keeps_asyncapi_s_own_schema() -> None:
    schema = jsonschema_rs.Draft7Validator(orjson.loads(ASYNCAPI.read_bytes()))
    assert [error.message for error in schema.iter_errors(DOCUMENT)] == []
    for path in (
        ("asyncapi",), ("info",), ("channels", "stream", "adress"), ("operations", "ping", "action"),
        ("operations", "ping", "reply", "channel"), ("components", "messages", "pong", "payload", "type"),
        ("channels", "stream", "bindings", "ws", "method"), ("servers", "this", "url"),
    ):  # fmt: skip
        assert not schema.is_valid(broken(*path)), path


def test_every_reference_leads_somewhere() -> None:
    def walk(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(value) for name, value in node.items() if name == "$ref")
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    found = set(walk(DOCUMENT))
    assert len(found) > 20
    for reference in found:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_option_is_in_the_handshake_and_in_the_config() -> None:
    query = DOCUMENT["channels"]["stream"]["bindings"]["ws"]["query"]["properties"]
    assert set(query) == set(OPTIONS) == set(MESSAGES["configure"]["payload"]["properties"]) - {"type"}


@pytest.mark.parametrize(("name", "index"), EXAMPLES, ids=[f"{name} {index}" for name, index in EXAMPLES])
def test_every_example_fits_its_own_schema_and_says_what_it_is(name: str, index: int) -> None:
    payload = MESSAGES[name]["examples"][index]["payload"]
    assert is_valid(name, payload)
    if name not in REPLIES:
        assert names_of(payload) == [name]


SENT = [(name, index) for name, index in EXAMPLES if name in REPLIES]


@pytest.mark.parametrize(("name", "index"), SENT, ids=[f"{name} {index}" for name, index in SENT])
def test_every_example_that_a_client_may_send_is_answered_as_the_document_says(
    server: Running, name: str, index: int
) -> None:
    payload = MESSAGES[name]["examples"][index]["payload"]
    message = base64.b64decode(payload) if name == "frame" else orjson.dumps(payload).decode()

    async def scenario() -> None:
        async with connect(f"{server.url.replace('http', 'ws')}/v1/stream", proxy=None) as socket:
            assert names_of(await heard(socket)) == ["ready"]
            await socket.send(message)
            (answer,) = names_of(await heard(socket))
            assert answer == REPLIES[name][0]  # the good one
            assert DOCUMENT["operations"][name]["reply"]["messages"][0]["$ref"].endswith(f"/{answer}")

    asyncio.run(scenario())


async def heard(socket: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(await asyncio.wait_for(socket.recv(), WAIT_S))
    return event


def test_every_event_of_a_busy_stream_fits_one_schema(server: Running) -> None:
    async def scenario() -> set[str]:
        seen = set()
        async with connect(f"{server.url.replace('http', 'ws')}/v1/stream?only_changed=true", proxy=None) as socket:
            for seq in range(1, 60):
                await socket.send(numbered(seq, RED if seq % 7 else GREEN))
            for message in (numbered(3), b"", "{", '{"type":"config","gate":1}', '{"type":"ping"}', '{"type":"end"}'):
                await socket.send(message)
            async for text in socket:
                (name,) = names_of(orjson.loads(text))
                seen.add(name)
        return seen

    assert asyncio.run(scenario()) >= {"ready", "result", "dropped", "error", "configured", "pong", "stats"}


def test_the_served_document_names_the_host_that_was_asked(server: Running) -> None:
    with server.client() as client:
        served = client.get("/asyncapi.json")
        assert served.headers["content-type"] == "application/json"
        assert served.json() == document(f"127.0.0.1:{server.port}")
        assert "/asyncapi.json" not in client.get("/openapi.json").json()["paths"]
