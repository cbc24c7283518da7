"""Asking again after a refusal that may pass."""

from dataclasses import dataclass, field

from server.client.backoff import Backoff
from server.client.errors import ClientError, TimedOutError

LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Retries:
    """At most ``limit`` further attempts; none by default."""

    limit: int = 0
    backoff: Backoff = field(default_factory=Backoff)

    def pause_s(self, attempt: int, error: ClientError) -> float | None:
        """The pause after attempt number ``attempt`` (from 0) ended with ``error``; None: do not ask again.

        What took too long is not asked again, nor what the server wants to be left alone for longer than a minute.
        """
        if attempt >= self.limit or not error.transient or isinstance(error, TimedOutError):
            return None
        pause_s = self.backoff.pause_s(attempt, error.retry_after_s)
        return None if pause_s > LONGEST_PAUSE_S else pause_s
