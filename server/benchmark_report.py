"""A finished benchmark as text and as JSON; both say the same."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from model_zoo.bundle import Bundle
from server.backends.cpu_features import cpu_features
from server.backends.threads import available_cores
from server.backends.tuning import TunedPlan, engine_versions
from server.benchmark_run import Cell
from server.percentiles import percentiles

PACKAGES = ("quickeye", "numpy", "pillow", "simplejpeg")
_COLUMNS = ("backend", "precision", "plan", "batch", "p50 ms", "p99 ms", "images/s", "spread", "CPU ms/image", "n")
TITLES = {
    "run": "Engine alone (ready pixels; plan = instances x threads)",
    "path": "Whole path in process: header, decode, preprocess, run. No server in this process can answer more.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, on what, and what was chosen; ``load`` is the load average before it began, if known."""

    bundle: Bundle
    cells: Sequence[Cell]
    refused: Sequence[tuple[str, str]]
    pictures: str
    seconds: float
    rounds: int
    tuned: TunedPlan | None = None
    interrupted: bool = False
    load: float | None = None

    def as_json(self) -> dict[str, object]:
        """All of it; latencies in milliseconds, per batch."""
        spec = self.bundle.spec
        return {
            "machine": machine() | {"load_before": self.load},
            "versions": versions(),
            "model": {"name": spec.name, "version": spec.version, "precision": spec.precision},
            "pictures": self.pictures,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "interrupted": self.interrupted,
            "run": [_as_json(cell) for cell in self.cells if cell.kind == "run"],
            "path": [_as_json(cell) for cell in self.cells if cell.kind == "path"],
            "refused": [{"backend": label, "reason": reason} for label, reason in self.refused],
            "tuned": asdict(self.tuned) if self.tuned else None,
        }

    def as_text(self) -> str:
        """For people."""
        spec, here = self.bundle.spec, machine()
        lines = [
            f"{spec.name} version {spec.version}, {spec.precision}, input {spec.input.width}x{spec.input.height}",
            f"{here['cpu']}, {here['cores']} cores, {' '.join(cpu_features().told) or 'no known vector flags'}",
            ", ".join(f"{name} {number}" for name, number in versions().items()),
            f"{self.rounds} interleaved rounds, medians; {self.pictures}",
        ]
        if self.load is not None and self.load > available_cores() / 2:
            lines.append(f"other programs were busy (load {self.load:.1f}): trust CPU ms/image, not images/s")
        for kind, title in TITLES.items():
            rows = [_row(cell) for cell in self.cells if cell.kind == kind and cell.rates]
            lines += ["", title, *_table([_COLUMNS, *rows])]
        lines += [f"\nnot measured: {label}: {reason}" for label, reason in self.refused]
        if self.interrupted:
            lines.append("\ninterrupted: figures are of the rounds until then")
        return "\n".join(lines)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    features = cpu_features()
    return {
        "cpu": features.model,
        "cores": available_cores(),
        "flags": list(features.told),
        "vnni": features.vnni,
        "amx": features.amx_bf16,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """What decides a figure, with its version."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | engine_versions()


def _as_json(cell: Cell) -> dict[str, object]:
    summary = percentiles(cell.latencies_s)
    return {
        "backend": cell.engine.backend,
        "device": cell.engine.instances[0].device,
        "precision": cell.engine.precision,
        "instances": cell.engine.plan.instances,
        "threads": cell.engine.plan.threads,
        "batch": cell.batch,
        "latency_ms": summary.as_json(scale=1e3) if summary else None,
        "images_per_s": round(cell.images_per_s, 2),
        "cpu_ms_per_image": round(cell.cpu_ms_per_image, 3),
        "images_per_s_rounds": [round(rate, 2) for rate in cell.rates],
        "check": cell.engine.check,
    }


def _row(cell: Cell) -> tuple[str, ...]:
    summary = percentiles(cell.latencies_s)
    values = summary.values if summary else {}
    p50, p99 = (f"{values[name] * 1e3:.2f}" if name in values else "-" for name in ("p50", "p99"))
    engine = cell.engine
    name = engine.backend if engine.instances[0].device == "cpu" else f"{engine.backend} {engine.instances[0].device}"
    spread = f"{min(cell.rates):.1f}-{max(cell.rates):.1f}"
    return (
        *(name, engine.precision, str(engine.plan), str(cell.batch)),
        *(p50, p99, f"{cell.images_per_s:.1f}", spread, f"{cell.cpu_ms_per_image:.2f}", str(len(cell.latencies_s))),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they must be; the first two to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
