"""What a load counted, and how to tell that the client, not the server, was slow."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from server.load.client import Answer
from server.percentiles import percentiles

REFUSED = frozenset({429, 503})
BUSY_SHARE = 0.8
LATE_S = 0.010


def _seconds() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class Tally:
    """Counts and samples; times in seconds.

    A request belongs to the window in which it was due: ``requests`` and the
    latencies hold the measured ones, ``warmup_requests`` those before.
    ``finished`` and ``finished_ok`` count whole answers that arrived within
    the window, whenever they were due: the throughput.
    """

    requests: int = 0
    warmup_requests: int = 0
    not_sent: int = 0
    unfinished: int = 0
    retry_after: int = 0
    finished: int = 0
    finished_ok: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_error: Counter[str] = field(default_factory=Counter)
    ok: "array[float]" = field(default_factory=_seconds)
    refused: "array[float]" = field(default_factory=_seconds)
    other: "array[float]" = field(default_factory=_seconds)
    send_late: "array[float]" = field(default_factory=_seconds)
    loop_lag: "array[float]" = field(default_factory=_seconds)
    window_s: float = 0.0
    cpu_s: float = 0.0
    interrupted: bool = False

    def add(self, answer: Answer, latency_s: float) -> None:
        """Count one measured request that ended."""
        self.requests += 1
        self.retry_after += answer.retry_after
        if answer.status:
            self.by_status[answer.status] += 1
        if answer.error is not None:
            self.by_error[answer.error] += 1
        if answer.ok:
            self.ok.append(latency_s)
        elif answer.status in REFUSED:
            self.refused.append(latency_s)
        elif answer.status or answer.error == "client_timeout":
            self.other.append(latency_s)

    @property
    def everything(self) -> "array[float]":
        """Latencies of all answers, and of timeouts at the moment of giving up; a failed connection has none."""
        return self.ok + self.refused + self.other

    def bottleneck(self) -> str | None:
        """Why these figures may be the client's and not the server's; None when nothing says so."""
        share = self.cpu_s / self.window_s if self.window_s else 0.0
        if share > BUSY_SHARE:
            return (
                f"the client used {share:.0%} of a core: it can't send faster, the server may be able to answer faster"
            )
        for samples, what in ((self.send_late, "sent its requests"), (self.loop_lag, "noticed what happened")):
            late = percentiles(samples)
            if late is not None and (value := late.values.get("p95", late.maximum)) > LATE_S:
                return f"the client {what} up to {value * 1e3:.0f} ms late (p95): latencies are that much too long"
        return None
