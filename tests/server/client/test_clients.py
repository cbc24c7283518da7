"""What both clients make of answers, good and bad, from a server that does what it is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.client import Client, RefusedError, Reply, TimedOutError, UnexpectedReplyError, UnreachableError
from tests.server.client.either_client import KINDS, call
from tests.server.client.test_replies import REPLY
from tests.server.counting_server import CountingServer
from tests.server.counting_server import Reply as Told
from tests.server.running import free_port

GOOD = Told(body=json.dumps(REPLY).encode())


def refused(status: int, code: str, retry_after: str | None = None, **beside: object) -> Told:
    body = {"error": {"code": code, "message": "no", "request_id": "r"}, **beside}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Told(status, json.dumps(body).encode(), headers)


@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_is_the_body_and_options_the_query(kind: str) -> None:
    with CountingServer(lambda number: GOOD) as server:
        options = {"model": "a/b", "version": 2, "top_k": 1, "threshold": 0.5, "timeout_ms": 900, "priority": 0}
        reply = call(kind, server.url, "predict", b"picture", explain="cam", client={"key": "k"}, **options)
    (seen,) = server.seen
    path, _, query = seen.line.split()[1].partition("?")
    assert path == "/v1/models/a%2Fb/versions/2/predict"
    assert set(query.split("&")) == {"top_k=1", "threshold=0.5", "timeout_ms=900", "priority=0", "explain=cam"}
    assert (seen.body, seen.headers["authorization"]) == (b"picture", "Bearer k")
    assert isinstance(reply, Reply)
    assert (reply.model, len(reply.results)) == ("m", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_several_pictures_are_a_form_and_files_are_read(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"from a file")
    with CountingServer(lambda number: GOOD) as server:
        call(kind, server.url, "predict", [b"one", memoryview(b"two"), file, str(file)])
        call(kind, server.url, "predict", file)
    form, single = server.seen
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert form.body.count(b"from a file") == 2
    assert form.body.index(b"one") < form.body.index(b"two")
    assert single.body == b"from a file"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_picture_is_said_before_anything_is_sent(kind: str, tmp_path: Path) -> None:
    with CountingServer() as server:
        for wrong, error in [
            ([], ValueError),
            (7, TypeError),
            ([b"a", 7], TypeError),
            (np.zeros((2, 2)), TypeError),
            (tmp_path / "no", OSError),
        ]:
            with pytest.raises(error):
                call(kind, server.url, "predict", wrong)
        with pytest.raises(ValueError, match="version needs model"):
            call(kind, server.url, "predict", b"a", version=2)
    assert server.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_has_its_code_and_the_results_beside_it(kind: str) -> None:
    told = refused(400, "undecodable_image", results=REPLY["results"][1:])
    with CountingServer(lambda number: told) as server, pytest.raises(RefusedError) as error:
        call(kind, server.url, "predict", [b"a"])
    assert (error.value.status, error.value.code, error.value.request_id) == (400, "undecodable_image", "r")
    assert error.value.results[0].error is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", [GOOD, refused(429, "overloaded", "0")], ids=["good", "refused"])
def test_retries_are_off_and_end(kind: str, last: Told) -> None:
    busy = refused(429, "overloaded", "0")

    def asked(retries: int) -> tuple[int, Any]:
        with CountingServer(lambda number: busy if number < 2 else last) as server:
            try:
                result = call(kind, server.url, "predict", b"a", client={"retries": retries})
            except RefusedError as error:
                result = error
        return len(server.seen), type(result)

    assert asked(0) == (1, RefusedError)
    assert asked(1) == (2, RefusedError)
    assert asked(2) == (3, Reply if last is GOOD else RefusedError)


@pytest.mark.parametrize("kind", KINDS)
def test_what_will_not_pass_is_not_asked_again(kind: str) -> None:
    with CountingServer(lambda number: refused(404, "unknown_model", "0")) as server, pytest.raises(RefusedError):
        call(kind, server.url, "predict", b"a", client={"retries": 5})
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_connection_is_asked_again_when_retries_allow_it(kind: str) -> None:
    def gone(number: int) -> Told:
        return Told(hang_up=True, raw=b"") if number == 0 else GOOD

    with CountingServer(gone) as server, pytest.raises(UnreachableError):
        call(kind, server.url, "predict", b"a")
    with CountingServer(gone) as server:
        assert call(kind, server.url, "predict", b"a", client={"retries": 1}).model == "m"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        (Told(body=b"<html>hello</html>"), UnexpectedReplyError, "not JSON.*<html>hello"),
        (Told(body=b"{}"), UnexpectedReplyError, "is this a Quickeye server"),
        (Told(404, b"<h1>nginx</h1>"), RefusedError, "/v1/predict answered 404.*nginx"),
        (Told(301, b"", {"Location": "/x"}), RefusedError, "answered 301"),
        (Told(raw=b"SSH-2.0-OpenSSH_9\r\n", hang_up=True), UnreachableError, "does not speak HTTP"),
        (Told(delay_s=20.0), TimedOutError, "did not answer within 0.2 s"),
    ],
)
def test_other_servers_are_recognised(kind: str, told: Told, error: type[Exception], words: str) -> None:
    with CountingServer(lambda number: told) as server, pytest.raises(error, match=words):
        call(kind, server.url, "predict", b"a", client={"timeout_s": 0.2 if told.delay_s else 20.0})


@pytest.mark.parametrize("kind", KINDS)
def test_ready_or_not(kind: str) -> None:
    answers = [Told(), refused(503, "not_ready")]
    with CountingServer(lambda number: answers[number]) as server:
        assert [call(kind, server.url, "ready") for _ in answers] == [True, False]
        assert server.seen[0].line.startswith("GET /readyz ")
    nobody = f"http://127.0.0.1:{free_port()}"
    assert call(kind, nobody, "ready") is False
    with pytest.raises(UnreachableError, match="can't reach http://127"):
        call(kind, nobody, "models")
    with CountingServer(lambda number: Told(404)) as server, pytest.raises(RefusedError):
        call(kind, server.url, "ready")
    with CountingServer() as server, pytest.raises(UnexpectedReplyError):
        call(kind, server.url, "models")


@pytest.mark.parametrize("kind", KINDS)
def test_no_proxy_stands_before_this_machine(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with CountingServer(lambda number: GOOD) as server:
        assert call(kind, server.url, "predict", b"a").model == "m"
    with pytest.raises(UnreachableError):
        call(kind, "http://server.example", "models")


def test_a_deadline_longer_than_the_client_s_patience_makes_it_longer() -> None:
    with CountingServer(lambda number: Told(body=GOOD.body, delay_s=0.3)) as server:
        assert call("sync", server.url, "predict", b"a", timeout_ms=1000, client={"timeout_s": 0.1}).model == "m"


@pytest.mark.parametrize("name", ["max_inflight", "max_unread"])
def test_a_stream_needs_room_for_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Client().stream(**{name: 0})  # type: ignore[arg-type]


def test_a_client_shows_where_it_goes_and_never_its_key() -> None:
    client = Client("here:1", key="secret")
    assert repr(client) == "Client('http://here:1')"
    assert "secret" not in repr(client._target(None, 1, "json", None, {}))  # type: ignore[arg-type]
