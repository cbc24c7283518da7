"""Listening: a free port, a taken one, and hosts that are none."""

import socket

import pytest

from server.serving import CannotListenError, listen


def test_a_free_port_is_bound_and_takes_connections_at_once() -> None:
    with listen("127.0.0.1", 0) as sock:
        assert not sock.getblocking()
        with socket.create_connection(sock.getsockname(), timeout=5.0) as client:
            assert client.getpeername() == sock.getsockname()


def test_ipv6_is_seen_by_its_colons() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listen("::1", 0) as sock:
        assert sock.family == socket.AF_INET6


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(CannotListenError, match=rf"127\.0\.0\.1:{port}.*in use.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["256.1.1.1", "no such host", "a..b", "x" * 300, "[::1]", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_refused_in_words(host: str) -> None:
    with pytest.raises(CannotListenError, match=r"cannot listen on .*--host"):
        listen(host, 0)
