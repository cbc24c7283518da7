"""How the end of a stream is told."""

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from server.client.connection import closed_by


@pytest.mark.parametrize(
    ("close", "told"),
    [
        (Close(1001, "the server is stopping"), "the server is stopping"),  # what our server says, once
        (Close(1001, ""), "the server is stopping"),
        (Close(1013, "full"), "the server is overloaded: full"),
        (Close(4000, "odd"), "the server closed the stream with code 4000: odd"),
    ],
)
def test_the_reason_stands_beside_what_the_code_means(close: Close, told: str) -> None:
    ended = closed_by(ConnectionClosedOK(close, None), (3, 4))
    assert (str(ended), ended.close_code, ended.unanswered) == (told, close.code, (3, 4))


def test_who_says_nothing_broke() -> None:
    assert str(closed_by(ConnectionClosedError(None, None), ())) == "the connection broke"
