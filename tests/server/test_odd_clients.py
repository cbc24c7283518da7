"""Clients that offer upgrades, ask with HEAD, send what nobody reads, or are still sending at the end."""

import socket
import threading
from pathlib import Path

import httpx
import pytest

from server.http_protocol import MAX_LINGER_BYTES
from tests.server.posting import RED
from tests.server.running import Running, serving


def exchange(port: int, *pieces: bytes, until: bytes | None = None) -> bytes:
    """Send pieces, read until the connection ends or ``until`` was seen."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        for piece in pieces:
            sock.sendall(piece)
        reply = b""
        while (until is None or until not in reply) and (chunk := sock.recv(65536)):
            reply += chunk
    return reply


@pytest.mark.parametrize("connection", ["Upgrade, HTTP2-Settings", "Upgrade"])
def test_an_offer_of_http_2_is_ignored_and_the_body_kept(server: Running, connection: str) -> None:
    offer = {"Connection": connection, "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in offer.items())
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(RED)}\r\n\r\n".encode()
    reply = exchange(server.port, head + RED, until=b'"batch_size"')
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b'"red"' in reply


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/models", "/"])
def test_head_says_what_get_says_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_a_body_that_nobody_reads_ends_the_connection(server: Running) -> None:
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(head)
        assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")
        with pytest.raises(OSError):
            while sent < 100_000_000:
                sent += sock.send(bytes(65536))
    assert sent < 40 * MAX_LINGER_BYTES, "what the kernels' buffers hold comes on top"


@pytest.mark.parametrize("query", ["verison=1", "version=1&version=2", "bogus="])
def test_a_misspelt_version_is_refused_before_anything_is_removed(client: httpx.Client, query: str) -> None:
    for method, path in (
        ("DELETE", "/v1/models/mean_colour"),
        ("POST", "/v1/models/mean_colour/unload"),
        ("POST", "/v1/models/mean_colour/load"),
        ("GET", "/v1/models/mean_colour"),
    ):
        reply = client.request(method, f"{path}?{query}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert client.get("/v1/models/mean_colour").json()["versions_in_store"] == [1, 2]


@pytest.mark.parametrize("hosts", ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nhost: a\r\n"])
@pytest.mark.parametrize("call", ["GET /healthz", "POST /v1/predict", "GET /nothing"])
def test_http_1_1_names_its_host_once(server: Running, call: str, hosts: str) -> None:
    request = f"{call} HTTP/1.1\r\n{hosts}Accept: */*\r\nContent-Length: 0\r\n\r\n"
    reply = exchange(server.port, request.encode())
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert reply.endswith(b"\r\n\r\nAn HTTP/1.1 request has a Host header, and only one.")
    assert reply.count(b"HTTP/1.1 ") == 2, "one reply, and the connection ended"


@pytest.mark.parametrize("request_", [b"GET /healthz HTTP/1.0\r\n\r\n", b"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n"])
def test_http_1_0_needs_no_host(server: Running, request_: bytes) -> None:
    assert exchange(server.port, request_).startswith(b"HTTP/1.1 200 ")


def test_a_second_request_without_a_host_is_refused_as_well(server: Running) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(first)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        sock.sendall(first.replace(b"Host: a\r\n", b""))
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_open_admin_needs_a_host(server: Running) -> None:
    request = b"POST /v1/models/mean_colour/unload HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert exchange(server.port, request).startswith(b"HTTP/1.1 403 ")


def test_an_upload_that_is_still_arriving_at_the_end_is_told_so(colour_store: Path, tmp_path: Path) -> None:
    flags = ["--store", str(colour_store), "--backend", "fake", "--drain-timeout-s", "0.1"]
    replies: list[bytes] = []
    with serving(tmp_path, *flags) as running:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc"
        upload = threading.Thread(target=lambda: replies.append(exchange(running.port, head)), daemon=True)
        upload.start()
        for _ in range(200):  # until the server has the head: then the body is awaited
            with running.client() as client:
                if client.get("/healthz").status_code == 200:
                    break
        threading.Event().wait(0.3)
        running.terminate()
        assert running.ended() == 1
        upload.join(20)
    assert replies[0].startswith(b"HTTP/1.1 503 ")
    assert b'"code":"draining"' in replies[0]


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({}, "127.0.0.1"),
        ({"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ({"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https"}, "203.0.113.9"),
        ({"X-Forwarded-Proto": "https"}, "127.0.0.1"),
    ],
)
def test_a_proxy_on_this_machine_says_who_called(
    server: Running, client: httpx.Client, headers: dict[str, str], caller: str
) -> None:
    reply = client.get("/v1/models/nobody", headers=headers)
    assert server.access_line(reply.headers["x-request-id"])["client"] == caller
