"""One recorded run: a real server and a real Prometheus under every kind of traffic.

For the test that every panel and rule has an answer, and for the pictures of the dashboards.
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.client.events import Stats
from tests.deploy.grafana_queries import Window
from tests.deploy.proved_cameras import cameras
from tests.deploy.proved_prometheus import Prometheus, scraping
from tests.deploy.proved_traffic import BURST, Traffic, counted_load, counted_stream, make_store
from tests.server.running import Running, free_port, serving

DRAIN_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Run:
    """What is there after the traffic: server and Prometheus still run."""

    prometheus: Prometheus
    server: Running
    window: Window
    load: dict[str, Any]
    stream: Stats


@contextlib.contextmanager
def recorded(folder: Path, seconds: float, pause_s: float = 0.0, scrape_s: int = 1) -> Iterator[Run]:
    """Send for that long, then the counted load; one target of Prometheus is nobody.

    Args:
        seconds: of mixed traffic.
        pause_s: between two rounds of posts.
    """
    flags = make_store(folder / "store")
    with serving(folder, *flags, grace_s=DRAIN_GRACE_S) as server:
        targets = (f"127.0.0.1:{server.port}", f"127.0.0.1:{free_port()}")
        with scraping(folder, *targets, scrape_s=scrape_s) as prometheus:
            start_s = time.time()
            with server.client() as client, ThreadPoolExecutor(BURST) as pool, cameras(server):
                traffic = Traffic(server, client, pool)
                until_s = time.monotonic() + seconds
                while time.monotonic() < until_s:
                    traffic.round()
                    time.sleep(pause_s)
                window = Window(start_s, prometheus.wait_for_scrape(), scrape_s)
            load, stream = counted_load(server, folder / "images"), counted_stream(server)
            prometheus.wait_for_scrape()
            yield Run(prometheus, server, window, load, stream)
