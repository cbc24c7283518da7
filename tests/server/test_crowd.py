"""Many callers at once, some of them slow, broken or hostile: every good picture gets its own answer."""

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from tests.pictures import REFUSED, encode
from tests.server.posting import RED, STATUS
from tests.server.running import Running

LABELS = ("red", "green", "blue")


def coloured(best: int, seed: int) -> bytes:
    """A picture whose class is known, of an odd size and format."""
    own = random.Random(seed)
    colour = [own.randrange(100) for _ in LABELS]
    colour[best] = 255
    size = (own.randrange(1, 200), own.randrange(1, 200))
    return encode(Image.new("RGB", size, tuple(colour)), own.choice(["png", "bmp", "webp", "gif", "tiff"]))


def test_sixteen_callers_with_good_and_bad_pictures(server: Running) -> None:
    bad = [(code, make()) for code, make in REFUSED.values()]

    def caller(number: int) -> list[str]:
        own = random.Random(number)
        wrong = []
        with server.client() as client:
            for turn in range(25):
                if own.random() < 0.3:
                    code, data = own.choice(bad)
                    reply = client.post("/v1/predict", content=data)
                    fine = (reply.status_code, reply.json()["error"]["code"]) == (STATUS[code], code)
                else:
                    best = own.randrange(3)
                    count = own.choice([1, 1, 1, 3])
                    files = [("file", ("x", coloured(best, number * 1000 + turn + n))) for n in range(count)]
                    reply = client.post("/v1/predict?top_k=1", files=files)
                    fine = reply.status_code == 200 and all(
                        one["predictions"][0]["label"] == LABELS[best] for one in reply.json()["results"]
                    )
                if not fine and reply.status_code != 429:
                    wrong.append(f"{reply.status_code} {reply.text[:300]}")
        return wrong

    with ThreadPoolExecutor(16) as pool:
        assert [one for wrong in pool.map(caller, range(16)) for one in wrong] == []
    assert server.metric("quickeye_requests_total", code="500") == 0
    assert server.metric("quickeye_inflight_images") == server.metric("quickeye_queue_images") == 0


def test_a_body_in_single_bytes_is_answered(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n".encode())
        for byte in RED:
            sock.sendall(bytes([byte]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_caller_who_never_reads_hinders_nobody(server: Running, client: httpx.Client) -> None:
    request = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n".encode() + RED
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        try:
            while sent < 64 * 2**20:
                sent += sock.send(request * 100)
        except TimeoutError:
            pass  # the server no longer reads from somebody who does not listen
        assert sent < 64 * 2**20
        assert client.post("/v1/predict", content=RED).status_code == 200


def test_callers_who_leave_while_they_wait_hinder_nobody(server: Running, client: httpx.Client) -> None:
    request = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n".encode() + RED
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            sock.sendall(request)
    assert client.post("/v1/predict", content=RED).status_code == 200
    for _ in range(500):
        if server.metric("quickeye_inflight_images") == server.metric("quickeye_queue_images") == 0:
            break
        threading.Event().wait(0.01)
    else:
        raise AssertionError("pictures of callers who left are still there")
    assert "never retrieved" not in server.lines()
    assert "Traceback" not in server.lines()


POST = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"\x00" * 1000,
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    ],
)
def test_what_is_no_http_is_400_and_hinders_nobody(server: Running, client: httpx.Client, rubbish: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(rubbish)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(65536).startswith((b"HTTP/1.1 400 ", b""))
    assert client.post("/v1/predict", content=RED).status_code == 200
