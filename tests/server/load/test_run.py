"""In virtual time: every latency and count below is worked out by hand."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.load.arrivals import arrivals
from server.load.client import Answer, Done
from server.load.run import ClosedLoop, LoadPlan, LoadRun, OpenLoop
from server.load.tally import Tally
from tests.server.virtual_time import run_virtually

OK = Answer(200, None)
RESOLUTION_S = 0.0011  # of the timers, and a little for floats


class QueueingServer:
    """A fake client and server in one: ``workers`` at once, each request takes ``service_s``, the rest wait."""

    def __init__(self, service_s: float, workers: int = 1, answers: list[Answer] | None = None) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.most_in_flight = 0
        self._service_s = service_s
        self._free_at = [0.0] * workers
        self._answers = answers or [OK]
        self._in_flight = 0

    def send(self, request: bytes, done: Done) -> None:
        loop = asyncio.get_running_loop()
        answer = self._answers[len(self.sent) % len(self._answers)]
        self.sent.append((loop.time(), request))
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        worker = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        self._free_at[worker] = max(self._free_at[worker], loop.time()) + self._service_s
        loop.call_at(self._free_at[worker], self._finish, done, answer)

    def _finish(self, done: Done, answer: Answer) -> None:
        self._in_flight -= 1
        done(answer)


def run(plan: LoadPlan, server: QueueingServer, *, stop_after_s: float | None = None) -> Tally:
    async def work() -> Tally:
        loop = asyncio.get_running_loop()
        load = LoadRun(plan, server, [b"a", b"b", b"c"], clock=loop.time)
        if stop_after_s is not None:
            loop.call_later(stop_after_s, load.stop)
        return await load.run()

    return run_virtually(work())


def test_a_closed_loop_is_as_fast_as_the_server() -> None:
    server = QueueingServer(service_s=0.1, workers=2)
    tally = run(LoadPlan(ClosedLoop(2), seconds=9.95), server)
    assert tally.requests == len(server.sent) == 200  # two at 0.0, 0.1 … 9.9
    assert list(tally.ok) == pytest.approx([0.1] * 200)
    assert tally.finished == tally.finished_ok == 198  # the last two ended after the window
    assert server.most_in_flight == 2


def test_callers_beyond_the_workers_only_wait() -> None:
    tally = run(LoadPlan(ClosedLoop(8), seconds=10.05, warmup_s=1.0), QueueingServer(service_s=0.1, workers=2))
    assert tally.finished / tally.window_s == pytest.approx(20, rel=0.02)
    assert list(tally.ok) == pytest.approx([0.4] * len(tally.ok))


def test_warmup_is_sent_and_not_measured() -> None:
    server = QueueingServer(service_s=0.1)
    tally = run(LoadPlan(ClosedLoop(1), seconds=2.0, warmup_s=1.05), server)
    assert tally.warmup_requests == 11
    assert tally.requests == 20
    assert len(server.sent) == 31


def test_constant_arrivals_below_capacity_never_wait() -> None:
    server = QueueingServer(service_s=0.005)
    tally = run(LoadPlan(OpenLoop(100.0, "constant"), seconds=10.0), server)
    assert tally.requests == len(tally.ok) == 999  # due at 0.01 … 9.99
    assert all(0.005 - 1e-9 <= latency <= 0.005 + RESOLUTION_S for latency in tally.ok)
    assert all(0 <= late <= RESOLUTION_S for late in tally.send_late)


def test_an_open_loop_at_twice_the_capacity_shows_the_queue_growing() -> None:
    server = QueueingServer(service_s=0.02)  # 50 per second
    tally = run(LoadPlan(OpenLoop(100.0, "constant"), seconds=4.0), server)
    # request i is due at i/100 and ends at 0.01 + i·0.02
    expected = [0.01 + number * 0.02 - number / 100 for number in range(1, 400)]
    assert list(tally.ok) == pytest.approx(expected, abs=RESOLUTION_S)
    assert tally.finished / tally.window_s == pytest.approx(50, rel=0.01)


def test_latency_counts_from_the_scheduled_time_when_the_client_stalls() -> None:
    """Coordinated omission: the event loop stands still for a second, the server answers at once."""

    async def work() -> Tally:
        loop = asyncio.get_running_loop()
        clock = lambda: loop.time() + stalled  # noqa: E731

        def stall() -> None:
            nonlocal stalled
            stalled = 1.0

        loop.call_later(1.005, stall)
        server = QueueingServer(service_s=0.0)
        return await LoadRun(LoadPlan(OpenLoop(100.0, "constant"), seconds=5.0), server, [b"a"], clock=clock).run()

    stalled = 0.0
    tally = run_virtually(work())
    late = sorted(tally.ok, reverse=True)
    assert tally.requests == 499  # none left out
    # those due during the stall, at 1.01, 1.02 … 2.00, left at the next waking, at 2.01
    assert late[:100] == pytest.approx([1.0 - number / 100 for number in range(100)], abs=2 * RESOLUTION_S)
    assert late[100] <= 2 * RESOLUTION_S
    assert tally.bottleneck() is not None


def test_what_would_exceed_max_inflight_is_counted_and_not_sent() -> None:
    server = QueueingServer(service_s=10.0, workers=1000)
    tally = run(LoadPlan(OpenLoop(10.0, "constant", max_inflight=7), seconds=5.05), server)
    assert server.most_in_flight == len(server.sent) == 7
    assert tally.not_sent == 50 - 7
    assert tally.requests == 7  # waited for, though they ended after the window
    assert tally.finished == 0


def test_bursts_leave_together() -> None:
    server = QueueingServer(service_s=0.001, workers=100)
    tally = run(LoadPlan(OpenLoop(50.0, "burst", burst_size=10), seconds=2.1), server)
    instants = Counter(round(at, 2) for at, _ in server.sent)
    assert list(instants.values()) == [10] * 10
    assert tally.requests == 100


def test_answers_are_counted_by_status_and_error() -> None:
    answers = [OK, Answer(429, "overloaded", True), Answer(504, "deadline_exceeded"), Answer(0, "client_timeout")]
    server = QueueingServer(service_s=0.01, answers=answers)
    tally = run(LoadPlan(OpenLoop(20.0, "constant"), seconds=10.01), server)
    assert tally.requests == 200
    assert tally.by_status == {200: 50, 429: 50, 504: 50}
    assert tally.by_error == {"overloaded": 50, "deadline_exceeded": 50, "client_timeout": 50}
    assert (len(tally.ok), len(tally.refused), len(tally.other), len(tally.everything)) == (50, 50, 100, 200)
    assert tally.retry_after == 50
    assert tally.finished == 150
    assert tally.finished_ok == 50


def test_a_server_that_is_gone_is_not_hammered() -> None:
    server = QueueingServer(service_s=0.0, answers=[Answer(0, "connection_failed")])
    tally = run(LoadPlan(ClosedLoop(3), seconds=1.05), server)
    assert tally.requests == 3 * 11
    assert tally.by_error == {"connection_failed": 33}
    assert len(tally.everything) == 0


def test_the_seed_decides_the_order_of_pictures_and_all_get_their_turn() -> None:
    def order(seed: int) -> list[bytes]:
        server = QueueingServer(service_s=0.01)
        run(LoadPlan(ClosedLoop(1), seconds=0.295, seed=seed), server)
        return [request for _, request in server.sent]

    assert order(1) == order(1)
    assert Counter(order(1)) == {b"a": 10, b"b": 10, b"c": 10}
    assert len({tuple(order(seed)) for seed in range(10)}) > 1


def test_stopping_keeps_what_was_measured() -> None:
    server = QueueingServer(service_s=0.3, workers=2)
    tally = run(LoadPlan(ClosedLoop(2), seconds=100.0, warmup_s=1.0), server, stop_after_s=4.0)
    assert tally.interrupted
    assert tally.window_s == pytest.approx(3.0)
    assert tally.unfinished == 2
    assert tally.requests + tally.warmup_requests + tally.unfinished == len(server.sent)
    assert tally.requests > 0


def test_stopping_in_the_warmup_measures_nothing() -> None:
    tally = run(LoadPlan(ClosedLoop(2), 10.0, warmup_s=5.0), QueueingServer(0.3, workers=2), stop_after_s=1.0)
    assert (tally.interrupted, tally.window_s, tally.requests) == (True, 0.0, 0)


def test_a_cancelled_run_is_cancelled() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        load = LoadRun(LoadPlan(ClosedLoop(1), 10.0), QueueingServer(0.1), [b"a"], clock=loop.time)
        async with asyncio.timeout(1):
            await load.run()

    with pytest.raises(TimeoutError):
        run_virtually(work())


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(1, 300),
    pattern=st.sampled_from(["poisson", "constant", "burst"]),
    service_ms=st.floats(0.1, 200),
    max_inflight=st.integers(1, 50),
    warmup_s=st.floats(0, 2),
    seed=st.integers(0, 2**32),
)
def test_nothing_due_is_lost(
    rate: float, pattern: str, service_ms: float, max_inflight: int, warmup_s: float, seed: int
) -> None:
    server = QueueingServer(service_ms / 1000)
    plan = LoadPlan(OpenLoop(rate, pattern, max_inflight=max_inflight), 3.0, warmup_s, seed)
    tally = run(plan, server)
    due = []
    for at in arrivals(pattern, rate, seed):
        if at >= warmup_s + 3.0:
            break
        due.append(at)
    assert tally.requests + tally.not_sent == sum(at >= warmup_s for at in due)
    assert tally.requests + tally.warmup_requests == len(server.sent)
    assert len(tally.ok) == tally.requests
    assert server.most_in_flight <= max_inflight
