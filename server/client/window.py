"""Which frame goes out next: flow control of one stream, without a socket and without a clock of its own.

One frame waits at most (the slot); at most ``size`` are sent and have no
event yet. Under ``newest_wins`` a new frame replaces the one in the slot, so
that a slow line or a slow server costs frames, not freshness, and what is
replaced was never uploaded. Otherwise the slot must be free first.
"""

import struct
from dataclasses import dataclass

MAX_SEQ = 2**32
_HEADER = struct.Struct("<4sId")
_MAGIC = b"QE01"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A numbered frame; ``captured_at`` in seconds of the caller's clock."""

    seq: int
    captured_at: float
    data: bytes

    @property
    def message(self) -> bytes:
        """The 16-byte header and the picture."""
        return _HEADER.pack(_MAGIC, self.seq, self.captured_at) + self.data


class Window:
    """The slot and the frames in flight.

    Args:
        size: how many frames may be without an event, at least 1.
        newest_wins: whether ``put`` may replace the frame in the slot.
        first: the number of the first frame.
    """

    def __init__(self, size: int, *, newest_wins: bool, first: int = 1) -> None:
        if size < 1:
            raise ValueError(f"max_inflight must be at least 1, not {size}")
        self.size = size
        self.newest_wins = newest_wins
        self._next = first
        self._slot: Outgoing | None = None
        self._sent_at: dict[int, float] = {}

    @property
    def has_room(self) -> bool:
        """Whether ``put`` may be called."""
        return self.newest_wins or self._slot is None

    @property
    def is_waiting(self) -> bool:
        """Whether a frame is in the slot."""
        return self._slot is not None

    @property
    def can_send(self) -> bool:
        """Whether ``take`` may be called."""
        return self._slot is not None and len(self._sent_at) < self.size

    def put(self, data: bytes, captured_at: float) -> tuple[int, Outgoing | None]:
        """Number a frame and place it in the slot; returns the number and the frame that was replaced."""
        if not self.has_room:
            raise RuntimeError("the slot is taken")
        replaced, self._slot = self._slot, Outgoing(self._next, captured_at, data)
        self._next = (self._next + 1) % MAX_SEQ
        return self._slot.seq, replaced

    def take(self, now_s: float) -> Outgoing:
        """Take the frame out of the slot; it is in flight from now on."""
        if self._slot is None or not self.can_send:
            raise RuntimeError("nothing may be sent")
        frame, self._slot = self._slot, None
        self._sent_at[frame.seq] = now_s
        return frame

    def answered(self, seq: int, now_s: float) -> float | None:
        """A frame has its event; returns the seconds since it was taken, None for one that is not in flight."""
        sent_at = self._sent_at.pop(seq, None)
        return None if sent_at is None else now_s - sent_at

    def unanswered(self) -> tuple[int, ...]:
        """The frames without an event, oldest first."""
        waiting = () if self._slot is None else (self._slot.seq,)
        return (*self._sent_at, *waiting)
