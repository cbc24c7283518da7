"""A real server process for tests: started on a free port, always ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

START_S = 60.0
STOP_S = 30.0


@dataclass
class Running:
    """One ``quickeye serve``."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(STOP_S)

    def lines(self) -> str:
        return self.log.read_text(errors="replace")

    def access_line(self, request_id: str) -> dict[str, Any]:
        """The request's line in the access log, which is written a moment after the reply."""
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            for line in self.lines().splitlines():
                if request_id in line and line.startswith("{") and line.endswith("}"):
                    entry: dict[str, Any] = orjson.loads(line)
                    return entry
            time.sleep(0.02)
        raise AssertionError(f"no access line for request {request_id}:\n{self.lines()}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        total = 0.0
        with self.client() as client:
            for line in client.get("/metrics").text.splitlines():
                if line.startswith((f"{name}{{", f"{name} ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                    total += float(line.rpartition(" ")[2])
        return total


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    folder: Path, *flags: str, ready: bool = True, grace_s: float = 0.0, port: int | None = None
) -> Iterator[Running]:
    """Start ``quickeye serve``, wait until it is ready, end it whatever happens.

    Args:
        folder: where its log and cache go.
        ready: False: return as soon as the listener answers.
        port: None: a free one.
    """
    port = free_port() if port is None else port
    log = folder / f"serve-{port}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUICKEYE_")}
    environment["QUICKEYE_CACHE_DIR"] = str(folder)
    command = [sys.executable, "-m", "quickeye", "serve", "--port", str(port), "--drain-grace-s", str(grace_s), *flags]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    running = Running(process, port, log)
    try:
        _wait(running, "/readyz" if ready else "/healthz")
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_S)


def _wait(running: Running, path: str) -> None:
    deadline = time.monotonic() + START_S
    with running.client() as client:
        while time.monotonic() < deadline:
            if running.process.poll() is not None:
                raise RuntimeError(f"the server ended with {running.process.returncode}:\n{running.lines()}")
            with contextlib.suppress(httpx.TransportError):
                if client.get(path).status_code == 200:
                    return
            time.sleep(0.05)
    raise RuntimeError(f"the server was not ready within {START_S:g} s:\n{running.lines()}")
