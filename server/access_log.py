"""One line per request, written a few times a second instead of once per request.

A system call per line would cost more than making it: the write lets go of the
interpreter, and every thread that waits for it is woken. Lines gather for at
most ``FLUSH_S`` or ``FLUSH_LINES``; the end of the server writes what is left. A
crash loses that much of the access log, and nothing of the error log.
"""

import asyncio
import contextlib
import sys
import time

from server.logs import Fields, LogFormat, console_line, is_json, json_line

FLUSH_S = 0.2
FLUSH_LINES = 512


class AccessLog:
    """Gathers lines on the event loop."""

    def __init__(self, log_format: LogFormat) -> None:
        self._as_json = is_json(log_format)
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, fields: Fields) -> None:
        """Take one request's line: method, path, status and whatever else it has."""
        now_s = time.time()
        message = f"{fields['method']} {fields['path']} {fields['status']}"
        if self._as_json:
            self._lines.append(json_line(now_s, "info", "quickeye.access", message, fields))
        else:
            rest = {name: value for name, value in fields.items() if name not in ("method", "path", "status")}
            self._lines.append(console_line(now_s, "info", _on_one_line(message), rest))
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            with contextlib.suppress(OSError):  # nobody reads the log any more: no reason to stop answering
                sys.stderr.write("\n".join(lines) + "\n")
                sys.stderr.flush()


def _on_one_line(text: str) -> str:
    """A caller's path must not make lines of its own, nor move the cursor of whoever reads them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
