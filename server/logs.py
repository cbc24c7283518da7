"""Log lines: JSON for machines, one readable line for people. Everything goes to stderr."""

import logging
import sys
import time
from typing import Literal

import orjson

from server.tracing.current import TRACE_ID

LogFormat = Literal["auto", "json", "console"]
Fields = dict[str, object]


def is_json(log_format: LogFormat) -> bool:
    """Whether lines are JSON; ``auto`` asks whether somebody looks."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())


def json_line(created_s: float, level: str, logger: str, message: str, fields: Fields) -> str:
    """One JSON object: time (seconds since 1970, UTC), level, logger, message, and the line's own fields."""
    entry = {"time": int(created_s * 1e6) / 1e6, "level": level, "logger": logger, "message": message, **fields}
    return orjson.dumps(entry, default=str).decode()


def console_line(created_s: float, level: str, message: str, fields: Fields) -> str:
    """Local time, level, message, then ``name=value`` for the line's own fields."""
    clock = time.strftime("%H:%M:%S", time.localtime(created_s))
    extra = "".join(f" {name}={_short(value)}" for name, value in fields.items())
    return f"{clock} {level:<7} {message}{extra}"


class JsonLines(logging.Formatter):
    """Records as ``json_line``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = _traced(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json_line(record.created, record.levelname.lower(), record.name, record.getMessage(), fields)


class ConsoleLines(logging.Formatter):
    """Records as ``console_line``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or several for an exception."""
        line = console_line(record.created, record.levelname.lower(), record.getMessage(), _traced(record))
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _traced(record: logging.LogRecord) -> Fields:
    """Which traces a line belongs to: that of the running request, or those that its logger named."""
    trace_id = TRACE_ID.get()
    if trace_id is not None:
        return {"trace_id": trace_id}
    named = getattr(record, "trace_ids", None)
    return {} if named is None else {"trace_ids": named}


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{each}" for name, each in value.items())
    return str(value)


def set_up_logs(log_format: LogFormat, level: str) -> None:
    """Send every logger's lines to stderr in one format; called once, by a command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if is_json(log_format) else ConsoleLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
