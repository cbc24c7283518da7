"""Log lines: JSON for machines, one readable line for people. Everything goes to stderr."""

import logging
import sys
import time
from typing import Literal

import orjson

LogFormat = Literal["auto", "json", "console"]


class JsonLines(logging.Formatter):
    """One JSON object a line: time (seconds since 1970, UTC), level, logger, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class ConsoleLines(logging.Formatter):
    """Time, level, message, then ``name=value`` for the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or several for an exception."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = getattr(record, "fields", {})
        skipped = ("method", "path", "status")  # already in the message of an access line
        extra = "".join(f" {name}={_short(value)}" for name, value in fields.items() if name not in skipped)
        line = f"{clock} {record.levelname.lower():<7} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{each}" for name, each in value.items())
    return str(value)


def set_up_logs(log_format: LogFormat, level: str) -> None:
    """Send every logger's lines to stderr in one format; called once, by a command."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else ConsoleLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
