"""Which frame goes out next."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client.window import MAX_SEQ, Window

# put, take, or answer the n-th frame in flight
STEPS = st.lists(st.tuples(st.sampled_from(["put", "take", "answer"]), st.integers(0, 5)), max_size=80)


@given(STEPS, st.integers(1, 4), st.booleans())
def test_every_frame_is_replaced_waiting_in_flight_or_answered(
    steps: list[tuple[str, int]], size: int, newest_wins: bool
) -> None:
    window = Window(size, newest_wins=newest_wins)
    put, replaced, taken, answered = [], [], [], []
    for step, number in steps:
        if step == "put" and window.has_room:
            seq, gone = window.put(b"x", 0.0)
            put.append(seq)
            replaced += [] if gone is None else [gone.seq]
        elif step == "take" and window.can_send:
            taken.append(window.take(1.0).seq)
        elif step == "answer" and number < len(in_flight := [seq for seq in taken if seq not in answered]):
            answered.append(in_flight[number])
            assert window.answered(answered[-1], 3.0) == 2.0
        assert len(taken) - len(answered) <= size
        assert sorted([*replaced, *answered, *window.unanswered()]) == put
    assert put == list(range(1, len(put) + 1))
    assert taken == sorted(taken)
    assert newest_wins or not replaced


def test_the_newest_replaces_what_waits_and_only_there() -> None:
    latest, everything = Window(1, newest_wins=True), Window(1, newest_wins=False)
    latest.put(b"old", 1.0)
    seq, replaced = latest.put(b"new", 2.0)
    assert replaced is not None
    assert (seq, replaced.seq, latest.take(0.0).data) == (2, 1, b"new")
    everything.put(b"old", 1.0)
    assert not everything.has_room
    with pytest.raises(RuntimeError):
        everything.put(b"new", 2.0)


def test_the_header_is_sixteen_bytes_and_numbers_wrap() -> None:
    window = Window(3, newest_wins=False, first=MAX_SEQ - 1)
    window.put(b"picture", 12.5)
    assert window.take(0.0).message == b"QE01" + struct.pack("<I", 2**32 - 1) + struct.pack("<d", 12.5) + b"picture"
    assert window.put(b"", 0.0)[0] == 0
    assert window.answered(5, 0.0) is None


def test_a_window_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Window(0, newest_wins=True)
