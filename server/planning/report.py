"""A finished plan as text and as JSON; both say the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.backends.threads import plan_threads
from server.planning import LEFT_OUT
from server.planning.from_file import as_json
from server.planning.measured import Measured
from server.planning.search import Objective, Plan, floor_s

SCHEMA = 1
_COLUMNS = (
    *("machines", "cores each", "batch", "rate each", "at most", "busy", "http"),
    *("p50 ms", "p95 ms", "p99 ms", "head-room", "ends first"),
)
_PERCENTILES = {"p50": 500, "p95": 950, "p99": 990}


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What was asked, what it stands on, and every plan that meets it, cheapest first."""

    measured: Measured
    objective: Objective
    plans: Sequence[Plan]

    def as_json(self) -> dict[str, object]:
        """Times in milliseconds, rates per second, shares from 0 to 1."""
        asked = {
            "rate_per_s": self.objective.rate,
            "p99_ms": self.objective.p99_s * 1e3,
            "headroom": self.objective.headroom,
        }
        told = [_plan_as_json(one, self.measured) for one in self.plans]
        return {
            "schema": SCHEMA,
            "asked": asked,
            "measured": as_json(self.measured),
            "floor_p99_ms": round(floor_s(self.measured) * 1e3, 3),
            "best": told[0] if told else None,
            "plans": told,
            "left_out": list(LEFT_OUT),
        }

    def as_text(self) -> str:
        """For people."""
        lines = [*self._headline(), ""]
        if self.plans:
            rows = [_COLUMNS, *(_row(one) for one in self.plans)]
            widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
            lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
            lines += ["", *self._cheapest(self.plans[0])]
        else:
            lines.append("none of these machines meets it unless it stands nearly idle: ask for a later p99 or others")
        lines += ["", "left out:", *(f"  {text}" for text in LEFT_OUT)]
        return "\n".join(lines)

    def _headline(self) -> list[str]:
        here, asked = self.measured, self.objective
        parts = {"decode": here.decode_s, "preprocess": here.preprocess_s, "infer": here.infer_s}
        batches = ", ".join(f"{size} in {seconds * 1e3:.2f}" for size, seconds in here.batch_s.items())
        version = f" version {here.version}" if here.version is not None else ""
        return [
            f"{here.model}{version} on {here.backend} ({here.device}), {here.instances} x {here.threads} threads; "
            f"{here.machine}, {here.cores} cores; {here.source}, {here.date}",
            f"  one picture, ms  {', '.join(f'{name} {seconds * 1e3:.2f}' for name, seconds in parts.items())}; a "
            f"request {here.request_s * 1e3:.2f} of CPU, {here.added_s * 1e3:.2f} of delay",
            f"  a batch of, ms   {batches}; the slowest in 100 take {here.spread.at(0.99):.2f} times that",
            *(f"  NOTE             {note}" for note in here.notes),
            "",
            f"{asked.rate:g} pictures/s, 99 in 100 within {asked.p99_s * 1e3:g} ms, {asked.headroom:.0%} kept free "
            f"(alone a picture has {floor_s(here) * 1e3:.1f} ms at p99)",
        ]

    def _cheapest(self, plan: Plan) -> list[str]:
        machine, expected = plan.machine, plan.expected
        each = f"{plan.machines} x {machine.cores} cores" if machine.cores else f"{plan.machines} GPUs"
        return [
            f"cheapest: {each}, each: quickeye serve {' '.join(serve_flags(plan, self.measured))}",
            f"each then has {expected.inflight_images:.2f} images in flight and {expected.queue_images:.2f} waiting, "
            "on average: what to scale at",
        ]


def serve_flags(plan: Plan, measured: Measured) -> list[str]:
    """The settings that make a server the machine that was planned; those that it would choose itself are left out."""
    machine = plan.machine
    flags = ["--model", measured.model, "--max-batch-size", str(machine.limits.max_batch_size)]
    chosen = plan_threads(machine.cores) if machine.cores else None
    if chosen is None or (chosen.instances, chosen.threads) != (machine.instances, machine.threads):
        flags += ["--instances", str(machine.instances), "--threads", str(machine.threads)]
    return flags


def _plan_as_json(plan: Plan, measured: Measured) -> dict[str, object]:
    expected, machine = plan.expected, plan.machine
    return {
        "machines": plan.machines,
        "cores_each": machine.cores or None,
        "instances_each": machine.instances,
        "threads": machine.threads,
        "max_batch_size": machine.limits.max_batch_size,
        "rate_each_per_s": round(expected.rate, 3),
        "largest_rate_each_per_s": round(plan.largest_rate, 3),
        "headroom": round(plan.headroom, 4),
        "expected": {
            **{f"{name}_ms": _milliseconds(expected.percentile(rank)) for name, rank in _PERCENTILES.items()},
            "refused": round(expected.refused, 5),
            "instances_busy": round(expected.instances_busy, 4),
            "http_busy": round(expected.loop_busy, 4),
            "batch_size": round(expected.batch_size, 3),
            "queue_images": round(expected.queue_images, 3),
            "inflight_images": round(expected.inflight_images, 3),
        },
        "bottleneck": plan.bottleneck,
        "serve": serve_flags(plan, measured),
    }


def _milliseconds(seconds: float) -> float | None:
    """JSON knows no infinity: None where too many were refused."""
    return None if seconds == float("inf") else round(seconds * 1e3, 3)


def _row(plan: Plan) -> tuple[str, ...]:
    expected, machine = plan.expected, plan.machine
    return (
        str(plan.machines),
        str(machine.cores) if machine.cores else "a GPU",
        str(machine.limits.max_batch_size),
        f"{expected.rate:.1f}",
        f"{plan.largest_rate:.1f}",
        f"{expected.instances_busy:.0%}",
        f"{expected.loop_busy:.0%}",
        *(f"{expected.percentile(rank) * 1e3:.1f}" for rank in _PERCENTILES.values()),
        f"{plan.headroom:.0%}",
        plan.bottleneck,
    )
