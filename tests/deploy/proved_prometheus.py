"""A real Prometheus for tests: the project's own configuration, scraping every second, always ended."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.server.running import free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
START_S = 30.0
STOP_S = 10.0
TOLD_WITHIN_S = 120.0  # a server that has no time may miss scrapes

Series = dict[str, Any]  # {"metric": labels, "value" or "values": …}, as Prometheus answers


class QueryError(Exception):
    """Prometheus refused an expression; the message is its own."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs; speaks its HTTP API."""

    client: httpx.Client

    def at(self, expr: str, when_s: float | None = None) -> list[Series]:
        """The series of an expression at one moment; None: now."""
        series: list[Series] = self._get("query", query=expr, **({} if when_s is None else {"time": when_s}))["result"]
        return series

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """The series of an expression over time."""
        window = {"start": start_s, "end": end_s, "step": step_s}
        series: list[Series] = self._get("query_range", query=expr, **window)["result"]
        return series

    def value(self, expr: str) -> float:
        """The one number that an expression gives now; 0 where there is no such series."""
        series = self.at(expr)
        if len(series) > 1:
            raise ValueError(f"{expr} has {len(series)} series: add them up")
        return float(series[0]["value"][1]) if series else 0.0

    def labels(self, name: str, match: str) -> list[str]:
        """The values of a label among the series that a selector matches."""
        values: list[str] = self._get(f"label/{name}/values", **{"match[]": match})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as it is evaluated: name, type, query, health, last error."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def wait_for_scrape(self) -> float:
        """Wait until every reachable target was read after now, and rules evaluated after that; when it was read."""
        read_s = self.wait_until("min(timestamp(up) and up == 1)", time.time())
        self.wait_until("min(timestamp(job:quickeye_request_errors:ratio_rate5m))", read_s)
        return read_s

    def wait_until(self, expr: str, least: float) -> float:
        """Until an expression's one number is at least so much; returns it.

        Raises:
            TimeoutError: it did not become so in time.
        """
        deadline = time.monotonic() + TOLD_WITHIN_S
        while (value := self.value(expr)) < least:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expr} is {value}, not {least}")
            time.sleep(0.1)
        return value

    def _get(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401
        reply = self.client.get(f"/api/v1/{path}", params=parameters).json()
        if reply["status"] != "success":
            raise QueryError(f"{parameters}: {reply['error']}")
        return reply["data"]


def configuration(folder: Path, targets: Mapping[str, Sequence[str]], scrape_s: int) -> Path:
    """The project's configuration with other targets, and scrapes and rules every few seconds.

    Args:
        targets: job → host:port.
    """
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{scrape_s}s")
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    for file in FOLDER.glob("rules/*.yml"):
        rules = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in rules["groups"]:
            group.pop("interval", None)
        (folder / "rules").mkdir(exist_ok=True)
        (folder / "rules" / file.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config), encoding="utf-8")
    return written


@contextlib.contextmanager
def scraping(folder: Path, *targets: str, scrape_s: int = 1) -> Iterator[Prometheus]:
    """Start Debian's Prometheus with a data folder of its own, wait until it is ready, end it whatever happens."""
    config = configuration(folder, {"quickeye": targets}, scrape_s)
    port = free_port()
    flags = {
        "config.file": config,
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    with (folder / "prometheus.log").open("wb") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in flags.items())]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False) as client:
            _wait(client, process, folder / "prometheus.log")
            yield Prometheus(client)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/-/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Prometheus was not ready within {START_S:g} s:\n{log.read_text()}")
