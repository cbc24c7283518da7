import asyncio
import socket
from collections.abc import Coroutine
from itertools import pairwise
from typing import TypeVar

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from server.load.client import Answer, Client, Connection, Target, error_code
from tests.server.counting_server import CountingServer, Reply

T = TypeVar("T")
LOOPS = pytest.mark.parametrize(
    "loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"]
)


def ask(server: CountingServer, count: int = 1, *, timeout_s: float = 5.0) -> tuple[list[Answer], int]:
    """The answers to requests sent one after another, and how many connections that took."""

    async def run() -> tuple[list[Answer], int]:
        target = Target("127.0.0.1", server.port, "/v1/predict")
        client = Client(target, timeout_s=timeout_s)
        try:
            return [await client.ask(target.request(b"picture")) for _ in range(count)], client.connections_opened
        finally:
            await client.close()

    return run_on(uvloop.new_event_loop, run())


def run_on(loop_factory: object, work: Coroutine[object, object, T]) -> T:
    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]
        return runner.run(work)


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@LOOPS
def test_requests_share_one_connection_and_arrive_whole(loop_factory: object) -> None:
    bodies = [b"", b"a", b"x" * 300_000, bytes(range(256))]

    async def run(server: CountingServer) -> list[Answer]:
        target = Target("127.0.0.1", server.port, "/v1/models/m/predict?top_k=3")
        client = Client(target, timeout_s=5)
        try:
            return [await client.ask(target.request(body)) for body in bodies]
        finally:
            await client.close()

    with CountingServer() as server:
        answers = run_on(loop_factory, run(server))
    assert answers == [Answer(200, None)] * 4
    assert server.connections == 1
    assert [seen.body for seen in server.seen] == bodies
    assert {seen.line for seen in server.seen} == {"POST /v1/models/m/predict?top_k=3 HTTP/1.1"}
    assert server.seen[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_an_ipv6_host_is_written_in_brackets() -> None:
    assert b"\r\nHost: [::1]:8000\r\n" in Target("::1", 8000, "/").request(b"")


def test_refusals_carry_their_code_and_retry_after() -> None:
    refusal = Reply(429, b'{"error": {"code": "overloaded", "message": "busy"}}', {"retry-AFTER": "1"})
    with CountingServer(lambda number: refusal if number else Reply()) as server:
        answers, connections = ask(server, 3)
    assert answers == [Answer(200, None), Answer(429, "overloaded", True), Answer(429, "overloaded", True)]
    assert connections == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"code": "draining"}}', "draining"),
        (b'{"error": "text"}', "http_503"),
        (b'{"error": {"code": 7}}', "http_503"),
        (b'{"error": {"code": ""}}', "http_503"),
        (b"[]", "http_503"),
        (b"<html>", "http_503"),
        (b"", "http_503"),
        (b"\xff\xfe", "http_503"),
    ],
)
def test_the_code_of_an_error_body(body: bytes, code: str) -> None:
    assert error_code(503, body) == code


def test_a_body_too_long_to_keep_is_counted_by_its_status() -> None:
    with CountingServer(lambda number: Reply(500, b'{"error": {"code": "x' + b"y" * 200_000)) as server:
        answers, _ = ask(server, 2)
    assert answers == [Answer(500, "http_500")] * 2


def test_an_answer_that_closes_is_followed_by_a_new_connection() -> None:
    with CountingServer(lambda number: Reply(headers={"Connection": "close"}, hang_up=True)) as server:
        answers, connections = ask(server, 3)
    assert answers == [Answer(200, None)] * 3
    assert connections == server.connections == 3


def test_hanging_up_without_an_answer_is_said_and_never_sent_again() -> None:
    with CountingServer(lambda number: Reply(raw=b"", hang_up=True) if number == 1 else Reply()) as server:
        answers, _ = ask(server, 3)
    assert answers == [Answer(200, None), Answer(0, "connection_closed"), Answer(200, None)]
    assert len(server.seen) == 3


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"HTTP/1.1 20"])
def test_half_an_answer_is_no_answer(part: bytes) -> None:
    with CountingServer(lambda number: Reply(raw=part, hang_up=True)) as server:
        answers, _ = ask(server, 2)
    assert answers == [Answer(0, "connection_closed")] * 2


def test_garbage_is_said() -> None:
    with CountingServer(lambda number: Reply(raw=b"SSH-2.0-OpenSSH\r\n\r\n") if number == 0 else Reply()) as server:
        answers, connections = ask(server, 2)
    assert answers == [Answer(0, "bad_response"), Answer(200, None)]
    assert connections == 2


def test_an_interim_100_is_not_the_answer() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\n" + Reply(429, b'{"error": {"code": "overloaded"}}').encode()
    with CountingServer(lambda number: Reply(raw=raw)) as server:
        answers, connections = ask(server, 2)
    assert answers == [Answer(429, "overloaded")] * 2
    assert connections == 1


def test_chunked_answers_are_read_to_their_end() -> None:
    raw = b'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"error":{"code"\r\n8\r\n:"odd"}}\r\n0\r\n\r\n'
    with CountingServer(lambda number: Reply(raw=raw)) as server:
        answers, connections = ask(server, 2)
    assert answers == [Answer(500, "odd")] * 2
    assert connections == 1


def test_a_silent_server_is_given_up_and_its_connection_dropped() -> None:
    with CountingServer(lambda number: Reply(raw=b"") if number == 0 else Reply()) as server:
        answers, connections = ask(server, 2, timeout_s=0.2)
    assert answers == [Answer(0, "client_timeout"), Answer(200, None)]
    assert connections == 2


def test_nobody_listening_is_said_by_send_and_raised_by_connect() -> None:
    async def run() -> Answer:
        target = Target("127.0.0.1", unused_port(), "/")
        client = Client(target, timeout_s=2)
        with pytest.raises(ConnectionRefusedError):
            await client.connect()
        return await client.ask(target.request(b""))

    assert run_on(uvloop.new_event_loop, run()) == Answer(0, "connection_failed")


def test_as_many_connections_as_requests_in_flight_then_reused() -> None:
    async def run(server: CountingServer) -> int:
        target = Target("127.0.0.1", server.port, "/")
        client = Client(target, timeout_s=5)
        try:
            await client.connect()
            for _ in range(3):
                await asyncio.gather(*(client.ask(target.request(b"")) for _ in range(5)))
            return client.connections_opened
        finally:
            await client.close()

    with CountingServer(lambda number: Reply(delay_s=0.02)) as server:
        assert run_on(uvloop.new_event_loop, run(server)) == 5
    assert server.connections == 5
    assert len(server.seen) == 15


def test_a_connection_closed_while_idle_is_replaced() -> None:
    async def run(server: CountingServer) -> list[Answer]:
        target = Target("127.0.0.1", server.port, "/")
        client = Client(target, timeout_s=5)
        try:
            first = await client.ask(target.request(b""))
            await asyncio.sleep(0.1)  # the server hangs up without having said so
            return [first, await client.ask(target.request(b""))]
        finally:
            await client.close()

    with CountingServer(lambda number: Reply(hang_up=True)) as server:
        assert run_on(uvloop.new_event_loop, run(server)) == [Answer(200, None)] * 2
    assert server.connections == 2


def test_close_reports_nothing_of_what_is_in_flight() -> None:
    ended: list[Answer] = []

    async def run(server: CountingServer) -> None:
        target = Target("127.0.0.1", server.port, "/")
        client = Client(target, timeout_s=5)
        await client.connect()
        client.send(target.request(b""), ended.append)  # on the open connection
        client.send(target.request(b""), ended.append)  # on one still being opened
        await client.close()
        await asyncio.sleep(0.05)

    with CountingServer(lambda number: Reply(delay_s=10)) as server:
        run_on(uvloop.new_event_loop, run(server))
    assert ended == []


class DeafTransport(asyncio.Transport):
    """Takes what is written and sends nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        pass


STREAM = [
    (Reply().encode(), Answer(200, None)),
    (Reply(429, b'{"error": {"code": "overloaded"}}', {"Retry-After": "1"}).encode(), Answer(429, "overloaded", True)),
    (Reply(204, b"").encode(), Answer(204, None)),
    (Reply(503, b"x" * 300).encode(), Answer(503, "http_503")),
]


@given(st.lists(st.tuples(st.sampled_from(STREAM), st.lists(st.integers(0, 300), max_size=6)), min_size=1, max_size=6))
def test_it_does_not_matter_where_the_network_cuts(exchanges: list[tuple[tuple[bytes, Answer], list[int]]]) -> None:
    async def run() -> list[Answer]:
        connection = Connection(5.0, lambda released: None)
        connection.connection_made(DeafTransport())
        ended: list[Answer] = []
        for (raw, _), cuts in exchanges:
            connection.send(b"", ended.append)
            at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
            for start, end in pairwise(at):
                if start < end:
                    connection.data_received(raw[start:end])
        return ended

    assert run_on(asyncio.new_event_loop, run()) == [answer for (_, answer), _ in exchanges]
