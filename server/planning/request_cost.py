"""What a request costs besides its picture: a real server of the same model on a fake engine, on loopback.

CPU: the server's own, over the requests that it answered, less decoding and preprocessing as they cost here, in this
process, and less the fake engine's time. Delay: a lone caller's round trip, less the stages that the server counted.
CPU time is what a busy neighbour changes least.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from prometheus_client.parser import text_string_to_metric_families

from model_zoo.bundle import Bundle
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from server.config import ENVIRONMENT_PREFIX
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan
from server.loadtest import parse_target, run_load

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0
POLL_S = 0.02
TIMEOUT_S = 10.0
CALLERS = 8
PREPARED = 100


@dataclass(frozen=True, slots=True)
class RequestCost:
    """Seconds: ``cpu_s`` of the server's process, ``added_s`` to a lone caller's round trip."""

    cpu_s: float
    added_s: float


def measured_cost(bundle: Bundle, pictures: Sequence[bytes], seconds: float) -> RequestCost | None:
    """Measure for about ``seconds``; None where no server can be started, or what it says makes no sense."""
    store = bundle.folder.parent.parent
    if bundle.folder != store / bundle.spec.name / str(bundle.spec.version):
        return None
    try:
        with _fake_server(store, f"{bundle.spec.name}/{bundle.spec.version}") as port:
            _load(port, pictures, CALLERS, seconds / 10)
            busy = _watched(port, pictures, CALLERS, seconds / 2)
            lone = _watched(port, pictures, 1, seconds / 3)
    except (OSError, http.client.HTTPException):
        return None
    if not (busy.requests and lone.requests and busy.cpu_s):
        return None
    cpu_s = (busy.cpu_s - busy.infer_s) / busy.requests - _prepare_cpu_s(bundle, pictures)
    added_s = lone.latency_s - lone.stages_s / lone.requests
    return RequestCost(cpu_s, added_s) if cpu_s > 0 and added_s > 0 else None


@dataclass(frozen=True, slots=True)
class _Watched:
    """A load, and what the server counted meanwhile; ``latency_s`` is one request's mean."""

    requests: int
    latency_s: float
    cpu_s: float
    infer_s: float
    stages_s: float


def _watched(port: int, pictures: Sequence[bytes], callers: int, seconds: float) -> _Watched:
    before = _counted(port)
    report = _load(port, pictures, callers, seconds)
    after = _counted(port)
    cpu_s, infer_s, stages_s = (late - early for early, late in zip(before, after, strict=True))
    latency_s = statistics.fmean(report.tally.ok) if report.tally.ok else 0.0
    return _Watched(len(report.tally.ok), latency_s, cpu_s, infer_s, stages_s)


def _load(port: int, pictures: Sequence[bytes], callers: int, seconds: float) -> LoadReport:
    url = f"http://127.0.0.1:{port}"
    plan = LoadPlan(ClosedLoop(callers), seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_load(url, parse_target(url, {}), list(pictures), plan, TIMEOUT_S))
    if report.tally.interrupted:
        raise KeyboardInterrupt
    return report


def _counted(port: int) -> tuple[float, float, float]:
    """CPU seconds of the server so far; seconds in its engine; seconds in all stages but the queue."""
    status, text = _get(port, "/metrics")
    if status != 200:
        raise http.client.HTTPException(f"/metrics said {status}")
    cpu_s = infer_s = stages_s = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "process_cpu_seconds_total":
                cpu_s = sample.value
            elif sample.name == "quickeye_stage_duration_seconds_sum" and sample.labels["stage"] != "queue":
                stages_s += sample.value
                infer_s += sample.value if sample.labels["stage"] == "infer" else 0.0
    return cpu_s, infer_s, stages_s


def _prepare_cpu_s(bundle: Bundle, pictures: Sequence[bytes]) -> float:
    """CPU seconds of one picture's header, decoding and preprocessing, in this thread."""
    limits = PictureLimits()
    began_s = time.thread_time()
    for turn in range(PREPARED):
        data = pictures[turn % len(pictures)]
        prepare(data, read_header(data, limits), bundle.spec.input)
    return (time.thread_time() - began_s) / PREPARED


@contextlib.contextmanager
def _fake_server(store: Path, model: str) -> Iterator[int]:
    """Its port; it is ended whatever happens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    where = ["--store", str(store), "--model", model, "--host", "127.0.0.1", "--port", str(port)]
    how = ["--backend", "fake", "--drain-grace-s", "0", "--no-access-log"]
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "quickeye", "serve", *where, *how]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=_without_settings())
        try:
            _wait(process, port)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _without_settings() -> dict[str, str]:
    """The environment, but for the user's own settings of a server: keys and limits would refuse the load."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _get(port, "/readyz")[0] == 200:
                return
        time.sleep(POLL_S)
    raise OSError("the server did not get ready")


def _get(port: int, path: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
