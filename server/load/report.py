"""A finished load as JSON and as text; both say the same."""

from dataclasses import dataclass

from server.load.run import ClosedLoop, LoadPlan
from server.load.tally import Tally
from server.percentiles import REPORTED, Percentiles, percentiles

# how a person reads it -> its name in the tally and in JSON
GROUPS = {"admitted (2xx)": "ok", "refused (429, 503)": "refused", "other": "other", "all": "all"}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was asked and what came of it."""

    url: str
    pictures: int
    picture_bytes: int
    plan: LoadPlan
    tally: Tally

    @property
    def succeeded(self) -> bool:
        """Whether anything was answered with success, measured or in the warm-up."""
        return bool(self.tally.ok) or self.tally.finished_ok > 0

    def per_second(self, count: int) -> float:
        """A count over the measured window; 0 when there was none."""
        return count / self.tally.window_s if self.tally.window_s else 0.0

    def latency(self, group: str) -> Percentiles | None:
        """Latency of one group (a value of ``GROUPS``), in seconds."""
        tally = self.tally
        samples = {"ok": tally.ok, "refused": tally.refused, "other": tally.other, "all": tally.everything}
        return percentiles(samples[group])

    def as_json(self) -> dict[str, object]:
        """The whole report; latencies in milliseconds, rates per second, shares of one core."""
        tally = self.tally
        return {
            "url": self.url,
            "load": self._load(),
            "window_s": round(tally.window_s, 3),
            "interrupted": tally.interrupted,
            "pictures": {"count": self.pictures, "mean_bytes": self.picture_bytes // max(1, self.pictures)},
            "requests": tally.requests,
            "warmup_requests": tally.warmup_requests,
            "ok": len(tally.ok),
            "by_status": {str(status): count for status, count in sorted(tally.by_status.items())},
            "by_error": dict(tally.by_error.most_common()),
            "retry_after": tally.retry_after,
            "not_sent": tally.not_sent,
            "unfinished": tally.unfinished,
            "rate": self._rates(),
            "latency_ms": {group: _milliseconds(self.latency(group)) for group in GROUPS.values()},
            "client": self._client(),
        }

    def _load(self) -> dict[str, object]:
        plan, shape = self.plan, self.plan.shape
        common: dict[str, object] = {"seconds": plan.seconds, "warmup_s": plan.warmup_s, "seed": plan.seed}
        if isinstance(shape, ClosedLoop):
            return {"shape": "closed", "connections": shape.connections, **common}
        asked = {"rate": shape.rate, "arrivals": shape.pattern, "max_inflight": shape.max_inflight}
        return {
            "shape": "open",
            **asked,
            **({"burst_size": shape.burst_size} if shape.pattern == "burst" else {}),
            **common,
        }

    def _rates(self) -> dict[str, object]:
        shape, tally = self.plan.shape, self.tally
        return {
            "asked_per_s": None if isinstance(shape, ClosedLoop) else shape.rate,
            "sent_per_s": round(self.per_second(tally.requests + tally.unfinished), 2),
            "answered_per_s": round(self.per_second(tally.finished), 2),
            "ok_per_s": round(self.per_second(tally.finished_ok), 2),
        }

    def _client(self) -> dict[str, object]:
        tally = self.tally
        return {
            "cpu_s": round(tally.cpu_s, 3),
            "core_share": round(self.per_second(1) * tally.cpu_s, 4),
            "cpu_per_request_us": round(tally.cpu_s / tally.requests * 1e6, 1) if tally.requests else None,
            "loop_lag_ms": _milliseconds(percentiles(tally.loop_lag)),
            "send_late_ms": _milliseconds(percentiles(tally.send_late)),
            "bottleneck": tally.bottleneck(),
        }

    def as_text(self) -> str:
        """The report for a person."""
        return "\n".join([*self._headline(), "", *self._table(), "", *self._remarks()])

    def _headline(self) -> list[str]:
        tally, shape = self.tally, self.plan.shape
        if isinstance(shape, ClosedLoop):
            load = f"closed loop, {shape.connections} connections"
        else:
            load = f"open loop, {shape.rate:g} requests/s asked ({shape.pattern}, seed {self.plan.seed})"
        answers = [f"{count} × {status}" for status, count in sorted(tally.by_status.items())]
        errors = [f"{count} {code}" for code, count in tally.by_error.most_common()]
        lines = [
            f"{self.url}",
            f"{load}, {self.plan.warmup_s:g} s warm-up + {tally.window_s:.1f} s measured, "
            f"{self.pictures} pictures of {self.picture_bytes / max(1, self.pictures) / 1000:.1f} kB",
            "",
            f"requests   {tally.requests}  (and {tally.warmup_requests} in the warm-up)",
            f"ok         {len(tally.ok)}",
            f"answers    {', '.join(answers) or 'none'}",
            f"errors     {', '.join(errors) or 'none'}",
            f"rate       {self.per_second(tally.requests + tally.unfinished):.1f} sent/s, "
            f"{self.per_second(tally.finished):.1f} answered/s, {self.per_second(tally.finished_ok):.1f} ok/s",
        ]
        return [*lines, f"retry      {tally.retry_after} answers said Retry-After"] if tally.retry_after else lines

    def _table(self) -> list[str]:
        names = ["n", *REPORTED, "max"]
        lines = [f"{'latency, ms':<20}" + "".join(f"{name:>10}" for name in names)]
        for title, group in GROUPS.items():
            summary = self.latency(group)
            if summary is not None:
                lines.append(f"{title:<20}" + _cells(summary))
        return lines if len(lines) > 1 else ["no request ended with an answer: no latencies"]

    def _remarks(self) -> list[str]:
        tally = self.tally
        cpu = f"client: {tally.cpu_s:.2f} CPU s ({self.per_second(1) * tally.cpu_s:.0%} of a core)"
        for what, samples in (("event loop", tally.loop_lag), ("sending", tally.send_late)):
            summary = percentiles(samples)
            if summary is not None:
                cpu += f", {what} late {summary.values['p50'] * 1e3:.1f} ms p50, {summary.maximum * 1e3:.1f} max"
        lines = [cpu]
        if tally.interrupted:
            lines.append(f"INTERRUPTED: figures are of what was measured until then; {tally.unfinished} unfinished")
        if tally.not_sent:
            lines.append(
                f"NOT SENT: {tally.not_sent}, too many in flight (--max-inflight): the rate asked for was not reached"
            )
        if (why := tally.bottleneck()) is not None:
            lines.append(f"CLIENT LIMITED: {why}")
        return lines


def _milliseconds(summary: Percentiles | None) -> dict[str, float | int | None] | None:
    return None if summary is None else summary.as_json(scale=1000.0)


def _cells(summary: Percentiles) -> str:
    values = [summary.values.get(name) for name in REPORTED] + [summary.maximum]
    return f"{summary.n:>10}" + "".join(f"{'–' if v is None else f'{v * 1000:.2f}':>10}" for v in values)
