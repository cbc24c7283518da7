"""Who may call."""

import pytest

from server.config import Config
from server.errors import ForbiddenError, RateLimitedError, UnauthorizedError
from server.keys import Keys
from tests.server.jobs import HandClock

LOCAL = {b"host": b"127.0.0.1:8000"}


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {key}".encode(), **LOCAL}


def test_without_keys_everybody_may_predict() -> None:
    Keys(Config()).may_predict({})
    assert Config().api_keys == ()


def test_with_keys_a_caller_needs_a_known_one() -> None:
    keys = Keys(Config(api_keys=("red", "blue"), admin_key="boss"))
    for headers in (bearer("red"), {b"x-api-key": b"blue"}, bearer("boss")):
        keys.may_predict(headers)
    with pytest.raises(UnauthorizedError):
        keys.may_predict({b"authorization": b"Basic red"})
    for wrong in ("green", "", "re", "redd"):
        with pytest.raises(ForbiddenError):
            keys.may_predict(bearer(wrong))


def test_admin_is_open_on_loopback_only() -> None:
    Keys(Config(host="127.0.0.1")).may_administer(LOCAL)
    with pytest.raises(ForbiddenError, match="closed"):
        Keys(Config(host="0.0.0.0")).may_administer(LOCAL)


def test_an_admin_key_is_asked_for_even_on_loopback() -> None:
    keys = Keys(Config(admin_key="boss", api_keys=("red",)))
    keys.may_administer(bearer("boss"))
    with pytest.raises(UnauthorizedError):
        keys.may_administer(LOCAL)
    with pytest.raises(ForbiddenError):
        keys.may_administer(bearer("red"))


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": b"127.0.0.1:8000", b"origin": b"https://evil.example"},
        {b"host": b"evil.example:8000"},
        {b"host": b"evil.example", b"origin": b"http://evil.example"},
        {b"host": b"127.0.0.1:8000", b"sec-fetch-site": b"cross-site"},
    ],
)
def test_open_admin_is_closed_to_pages_of_other_sites(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(ForbiddenError):
        Keys(Config()).may_administer(headers)


@pytest.mark.parametrize("host", [b"127.0.0.1:8000", b"localhost:8000", b"localhost", b"[::1]:8000"])
def test_open_admin_takes_the_own_page(host: bytes) -> None:
    keys = Keys(Config())
    keys.may_administer({b"host": host, b"origin": b"http://" + host})
    assert keys._open_admin


def test_a_key_has_its_rate_and_gets_it_back() -> None:
    clock = HandClock()
    keys = Keys(Config(api_keys=("red", "blue"), rate_limit_per_s=2.0), clock)
    keys.may_predict(bearer("red"))
    keys.may_predict(bearer("red"))
    with pytest.raises(RateLimitedError) as refused:
        keys.may_predict(bearer("red"))
    assert refused.value.retry_after_s == pytest.approx(0.5)
    keys.may_predict(bearer("blue"))
    clock.now_s = 0.5
    keys.may_predict(bearer("red"))
    with pytest.raises(RateLimitedError):
        keys.may_predict(bearer("red"))
