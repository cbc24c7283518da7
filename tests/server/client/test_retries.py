"""How long, and whether, to wait for another attempt."""

from hypothesis import given
from hypothesis import strategies as st

from server.client import Backoff, RefusedError, TimedOutError, UnreachableError
from server.client.retries import Retries


def refused(status: int, retry_after_s: float | None = None) -> RefusedError:
    return RefusedError("no", status=status, code="c", retry_after_s=retry_after_s)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1000))
def test_a_pause_is_within_its_bounds(attempt: int, chance: float, retry_after_s: float | None) -> None:
    pause_s = Backoff(0.25, 10.0, lambda: chance).pause_s(attempt, retry_after_s)
    longest = min(10.0, 0.25 * 2 ** min(attempt, 20))
    assert max(longest / 2, retry_after_s or 0.0) <= pause_s <= max(longest, retry_after_s or 0.0)


def test_pauses_double() -> None:
    backoff = Backoff(0.25, 10.0, lambda: 1.0)
    assert [backoff.pause_s(attempt) for attempt in range(7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]


def test_only_what_may_pass_is_asked_again_and_only_so_often() -> None:
    retries = Retries(2, Backoff(random=lambda: 1.0))
    assert retries.pause_s(0, refused(429, 3.0)) == 3.0
    assert retries.pause_s(1, UnreachableError("no")) == 0.5
    assert retries.pause_s(2, refused(503)) is None
    assert retries.pause_s(0, refused(429, 61.0)) is None
    assert [retries.pause_s(0, refused(status)) for status in (400, 401, 404, 500, 504)] == [None] * 5
    assert retries.pause_s(0, TimedOutError("no")) is None
    assert Retries().pause_s(0, refused(429)) is None
