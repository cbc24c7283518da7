"""Measured times from a file: what ``quickeye benchmark --json`` printed, or ``quickeye plan --json``.

A benchmark measures the engine alone at every batch size, and the whole path from encoded bytes at the largest. What
the path takes longer is decoding and preprocessing; it is told from the engine, not one from the other.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from server.planning.errors import PlanningError
from server.planning.measured import ASSUMED_ADDED_S, ASSUMED_REQUEST_S, SHARES, Measured, Spread

MAX_FILE_BYTES = 2**24
_NAMED_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class _Latency(BaseModel):
    n: int = Field(ge=1)
    mean: float = Field(gt=0)
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None = Field(alias="p99.9")
    max: float


class _Cell(BaseModel):
    backend: str
    device: str
    instances: int = Field(ge=1)
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    latency_ms: _Latency
    images_per_s: float

    @property
    def engine(self) -> tuple[str, int, int]:
        return self.backend, self.instances, self.threads


class _Model(BaseModel):
    name: str
    version: int


class _Machine(BaseModel):
    cpu: str
    cores: int = Field(ge=1)


class _Benchmark(BaseModel):
    machine: _Machine
    model: _Model
    run: list[_Cell]
    path: list[_Cell] = Field(min_length=1)


def as_json(measured: Measured) -> dict[str, Any]:
    """All of it, times in milliseconds; ``from_json`` reads it again."""
    return {
        "model": measured.model,
        "version": measured.version,
        "source": measured.source,
        "machine": measured.machine,
        "date": measured.date,
        "backend": measured.backend,
        "device": measured.device,
        "instances": measured.instances,
        "threads": measured.threads,
        "cores": measured.cores,
        "batch_ms": {str(images): round(seconds * 1e3, 4) for images, seconds in measured.batch_s.items()},
        "decode_ms": round(measured.decode_s * 1e3, 4),
        "preprocess_ms": round(measured.preprocess_s * 1e3, 4),
        "request_ms": round(measured.request_s * 1e3, 4),
        "added_ms": round(measured.added_s * 1e3, 4),
        "spread": {
            f"{share:g}": round(factor, 4) for share, factor in zip(SHARES, measured.spread.factors, strict=True)
        },
        "notes": list(measured.notes),
    }


class _Measured(BaseModel):
    model: str
    version: int | None
    source: str
    machine: str
    date: str
    backend: str
    device: str
    instances: int = Field(ge=1)
    threads: int = Field(ge=1)
    cores: int = Field(ge=1)
    batch_ms: dict[int, float] = Field(min_length=1)
    decode_ms: float = Field(ge=0)
    preprocess_ms: float = Field(ge=0)
    request_ms: float = Field(ge=0)
    added_ms: float = Field(ge=0)
    spread: dict[float, float] = Field(min_length=2)
    notes: tuple[str, ...]


def read_file(path: Path, model: str | None) -> Measured:
    """The times that a file has of a model; None: of the one that it is about.

    Raises:
        PlanningError: unreadable, neither of the two kinds, or of another model.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        content = TypeAdapter(dict[str, Any]).validate_json(data)
        if "measured" in content:
            measured = from_json(content["measured"])
        else:
            when = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date().isoformat()
            measured = _benchmark(_Benchmark.model_validate(content), str(path), when)
    except OSError as error:
        raise PlanningError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        reason = error.errors()[0]
        where = ".".join(map(str, reason["loc"]))
        raise PlanningError(
            f"{path} is not what `quickeye benchmark --json` or `quickeye plan --json` prints: {where} {reason['msg']}"
        ) from None
    if model is not None and measured.model != (name := model.partition("/")[0]):
        raise PlanningError(f"{path} has times of '{measured.model}', not of '{name}'")
    return measured


def from_json(content: object) -> Measured:
    """What ``as_json`` made.

    Raises:
        ValidationError: it is not that.
    """
    part = _Measured.model_validate(content)
    shares = sorted(part.spread)
    kept = part.model_dump(exclude={"batch_ms", "decode_ms", "preprocess_ms", "request_ms", "added_ms", "spread"})
    return Measured(
        **kept,
        batch_s={images: value / 1e3 for images, value in sorted(part.batch_ms.items())},
        decode_s=part.decode_ms / 1e3,
        preprocess_s=part.preprocess_ms / 1e3,
        request_s=part.request_ms / 1e3,
        added_s=part.added_ms / 1e3,
        spread=Spread.through(shares, [part.spread[share] for share in shares]),
    )


def _benchmark(report: _Benchmark, source: str, date: str) -> Measured:
    """Of the engine that answered most pictures from encoded bytes."""
    path = max(report.path, key=lambda cell: cell.images_per_s)
    runs = {cell.batch: cell for cell in report.run if cell.engine == path.engine}
    if 1 not in runs or path.batch not in runs:
        raise PlanningError(f"{source} has no batch of 1 for {path.backend}: measure with --batch 1,2,4,8")
    prepare_s = max(0.0, path.latency_ms.mean - runs[path.batch].latency_ms.mean) / 1e3 / path.batch
    return Measured(
        model=report.model.name,
        version=report.model.version,
        source=source,
        machine=report.machine.cpu,
        date=date,
        backend=path.backend,
        device=path.device.partition(":")[0],
        instances=path.instances,
        threads=path.threads,
        cores=report.machine.cores,
        batch_s={size: cell.latency_ms.mean / 1e3 + size * prepare_s for size, cell in sorted(runs.items())},
        decode_s=prepare_s,
        preprocess_s=0.0,
        request_s=ASSUMED_REQUEST_S,
        added_s=ASSUMED_ADDED_S,
        spread=_spread(runs[1].latency_ms),
        notes=(
            "CPU and delay of a request are assumed: a benchmark has no requests (--request-ms, --added-ms)",
            "decode includes preprocessing: a benchmark does not tell them apart",
        ),
    )


def _spread(latency: _Latency) -> Spread:
    """Percentiles as they were printed; below the median, which has none, as the median itself."""
    known: Mapping[str, float | None] = latency.model_dump(by_alias=True)
    told = [(share, value) for name, share in _NAMED_SHARES.items() if (value := known[name]) is not None]
    return Spread.through([share for share, _ in told], [value for _, value in told])
