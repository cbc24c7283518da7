"""Binary messages: a picture, with or without the 16 bytes that number it.

The header is ``QE01``, a sequence number (uint32) and the client's clock (float64), all
little-endian. A stream's first frame decides whether its frames have headers. Numbers
grow from frame to frame, gaps allowed, and wrap at 2³² (RFC 1982: the next half of
all numbers is ahead, the other half is behind).
"""

import math
import struct
from dataclasses import dataclass

MAGIC = b"QE01"
HEADER = struct.Struct("<4sId")
SEQUENCES = 2**32


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a frame's event tells back. ``captured_at`` is the client's clock, which is never read."""

    seq: int
    captured_at: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as it came."""

    stamp: Stamp
    picture: bytes | memoryview


class BadFrameError(Exception):
    """A frame that is not numbered as it must be; with what is known of it."""

    def __init__(self, message: str, seq: int | None = None, captured_at: float | None = None) -> None:
        super().__init__(message)
        self.seq = seq
        self.captured_at = captured_at


class FrameReader:
    """Numbers the frames of one stream, or checks their own numbers."""

    def __init__(self) -> None:
        self._headers: bool | None = None
        self._last: int | None = None

    def read(self, message: bytes) -> Frame:
        """One binary message.

        Raises:
            BadFrameError: a header where there were none, none where there were some, a broken one, or a number
                that does not follow the last.
        """
        has_header = message.startswith(MAGIC)
        if self._headers is None:
            self._headers = has_header
        if self._headers:
            return self._numbered(message, has_header)
        seq = self._last = ((self._last or 0) + 1) % SEQUENCES
        if has_header:
            raise BadFrameError("a header, in a stream that began without: send one with each frame or with none", seq)
        return Frame(Stamp(seq, None), message)

    def _numbered(self, message: bytes, has_header: bool) -> Frame:
        if not has_header:
            raise BadFrameError("no header, in a stream that began with one: send QE01, seq and captured_at first")
        if len(message) < HEADER.size:
            raise BadFrameError(f"the header has {HEADER.size} bytes; this message has {len(message)}")
        _, seq, captured_at = HEADER.unpack_from(message)
        if not math.isfinite(captured_at):
            raise BadFrameError("captured_at must be a finite number; send 0 if you have no clock", seq)
        if self._last is not None and not 0 < (seq - self._last) % SEQUENCES < SEQUENCES // 2:
            raise BadFrameError(f"seq {seq} does not follow {self._last}", seq, captured_at)
        self._last = seq
        return Frame(Stamp(seq, captured_at), memoryview(message)[HEADER.size :])
