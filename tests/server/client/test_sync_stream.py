"""The same streams without an event loop."""

import threading

import pytest

from server.client import Client, Dropped, Ready, RefusedError, Result, Stats, StreamClosedError
from tests.server.client.stream_double import ABORT, Refused, StreamDouble


def test_one_thread_sends_and_reads_afterwards() -> None:
    double = StreamDouble()
    with double.beside() as url, Client(url) as client:
        with client.stream(policy="all", format="msgpack") as stream:
            assert stream.ready.limits.max_inflight == 4
            assert [stream.send(b"x") for _ in range(20)] == list(range(1, 21))
            assert stream.configure(top_k=2).options.top_k == 2
            assert stream.stats().frames == 20
            stats = stream.end()
        events = list(stream)
    assert isinstance(events[0], Ready)
    assert [event.seq for event in events if isinstance(event, Result)] == list(range(1, 21))
    assert events[-1] == stats


def test_one_thread_reads_while_another_sends() -> None:
    double = StreamDouble()
    seen: list[int] = []
    with double.beside() as url, Client(url).stream(policy="latest") as stream:

        def read() -> None:
            seen.extend(event.seq for event in stream if isinstance(event, Result | Dropped))

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(200):
            stream.send(b"x")
        assert isinstance(stream.end(), Stats)
        reader.join(20)
    assert sorted(seen) == list(range(1, 201))


def test_errors_come_through() -> None:
    double = StreamDouble(refusals=[Refused(429, "overloaded", "3")], breaks={0: (1, ABORT)})
    before = threading.active_count()
    with double.beside() as url, Client(url) as client:
        with pytest.raises(RefusedError, match="overloaded"), client.stream():
            pass
        with client.stream(policy="all", max_inflight=1) as stream:
            stream.send(b"x")
            stream.send(b"x")
            with pytest.raises(StreamClosedError) as closed:
                list(stream)
            assert closed.value.unanswered == (2,)
        with pytest.raises(RuntimeError, match="inside 'with"):
            stream.send(b"x")
        with pytest.raises(RuntimeError, match="inside 'with"):
            client.stream().stats()
        with pytest.raises(RuntimeError, match="opened once"):
            stream.__enter__()
    assert threading.active_count() == before


def test_nothing_comes_in_time() -> None:
    double = StreamDouble(held=True)
    with double.beside() as url, Client(url).stream() as stream:
        assert isinstance(stream.receive(), Ready)
        assert stream.receive(timeout_s=0.01) is None
        stream.send(b"x")
        double.release()
        assert isinstance(stream.receive(), Result)
