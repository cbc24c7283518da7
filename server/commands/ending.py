"""How a command ends that could not finish: interrupted, stopped while it starts, or its output goes nowhere."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# What writing says of a full disk, a used-up quota, a file at its limit, a terminal that is gone.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
INTERRUPTED = 130
NOBODY_READS = 141


def ended(command: Callable[[], int]) -> int:
    """Run a command; its exit code, or 130 (interrupted), 141 (nobody reads the output), 1 (it cannot be written)."""
    try:
        try:
            return command()
        finally:
            if sys.stdout is not None:  # None where it was closed before we began
                sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        _forget_output()
        return NOBODY_READS
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _forget_output()
        print(f"quickeye: cannot write {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return 1


@contextmanager
def sigterm_ends(said: str) -> Iterator[None]:
    """While nothing is under way, SIGTERM ends the process at once with 0 and one line.

    Whoever has something to lose takes the signal over (``server/serving.py``).
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{said}\n".encode())
        os._exit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget_output() -> None:
    """Or the interpreter's own last flush complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
