"""Every kind of traffic there is, to a real server: what the dashboards and rules are to show.

``Traffic.round`` sends one of each that a person can post, good, bad, late and too much;
``cameras`` keep streams open beside it; ``counted_load`` is ``quickeye loadtest`` against a model
that nothing else asks for, so that what it counted can be compared with what the server did.
"""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from model_zoo.store import shipped_store
from server.client import Client
from server.client.events import Stats
from tests.model_zoo.labelled_photos import photo_files
from tests.pictures import ACCEPTED, REFUSED, encode
from tests.server.mean_colour import write_mean_colour
from tests.server.posting import GREEN, RED
from tests.server.running import Running

SHIPPED = "efficientnet_lite0"
COUNTED = "counted"  # asked by what is compared exactly, and by nothing else
BURST = 16
SLOW_MODEL = "thumbnails"  # asked for nothing but pictures that take long to decode
# A burst must be refused on any machine, so the queue is short; how long something would wait refuses nothing, as
# that is the machine's.
LIMITS = {
    "backend": "onnxruntime",
    "instances": 1,
    "log-format": "json",
    "max-image-bytes": 3_000_000,
    "max-queue-images": 8,
    "max-queue-wait-ms": 60_000,
    "max-frame-age-ms": 150,
    "max-stream-sessions": 5,
    "max-stream-inflight": 12,
}


def slow_picture() -> bytes:
    """Small on the wire, long to decode."""
    return encode(Image.new("RGB", (5000, 5000)), "png")


def make_store(folder: Path) -> tuple[str, ...]:
    """The shipped model, two versions of a toy, one that is counted, one that is broken; returns the server's flags."""
    shutil.copytree(shipped_store().root / SHIPPED, folder / SHIPPED)
    for name in ("mean_colour", "mean_colour", COUNTED, SLOW_MODEL, "broken"):
        bundle = write_mean_colour(folder, name)
    (bundle.folder / "model.onnx").write_bytes(b"torn")
    models = [f"--model={name}" for name in (SHIPPED, "mean_colour", COUNTED, SLOW_MODEL)]
    return (f"--store={folder}", *models, *(f"--{name}={value}" for name, value in LIMITS.items()))


class Traffic:
    """What strangers send to one server.

    Args:
        client: for posts; all of them share its connections.
    """

    def __init__(self, running: Running, client: httpx.Client, pool: ThreadPoolExecutor) -> None:
        self._running = running
        self._client = client
        self._pool = pool
        self._photos = [file.read_bytes() for file, _ in photo_files()]
        self._truncated = REFUSED["jpeg_truncated"][1]()
        self._slow = slow_picture()
        self._bad = [REFUSED[name][1]() for name in ("text", "jpeg_truncated", "png_truncated")]
        self._rounds = 0

    def round(self) -> None:
        """One of every kind."""
        self._rounds += 1
        client = self._client
        self._answered(client)
        self._refused(client)
        self._too_late(client)
        self._too_much(client)
        if self._rounds % 3 == 1:
            self._swapped(client)

    def _answered(self, client: httpx.Client) -> None:
        for at in range(2):
            client.post("/v1/predict", content=self._photos[(self._rounds + at) % len(self._photos)])
        for name, picture in ACCEPTED.items():
            if name in ("png", "webp", "jpeg_grey", "gif"):
                client.post("/v1/models/mean_colour/predict", content=picture())
        client.post("/v1/models/mean_colour/versions/2/predict", content=(RED, GREEN)[self._rounds % 2])
        files = [("file", (str(at), photo)) for at, photo in enumerate(self._photos[:3])]
        client.post(f"/v1/models/{SHIPPED}/predict", files=files)

    def _refused(self, client: httpx.Client) -> None:
        for picture in self._bad:
            client.post("/v1/predict", content=picture)
        client.post("/v1/predict", content=bytes(3_100_000))
        client.post("/v1/predict?top_k=none", content=RED)
        client.post("/v1/models/nobody/predict", content=RED)

    def _too_late(self, client: httpx.Client) -> None:
        client.post(f"/v1/models/{SLOW_MODEL}/predict?timeout_ms=20", content=self._slow)

    def _too_much(self, client: httpx.Client) -> None:
        photos = [self._photos[at % len(self._photos)] for at in range(BURST)]
        list(self._pool.map(lambda photo: client.post("/v1/predict", content=photo), photos))

    def _swapped(self, client: httpx.Client) -> None:
        client.post("/v1/models/mean_colour/unload?version=1")
        client.post("/v1/models/mean_colour/load?version=1")
        client.post("/v1/models/broken/load")


def counted_stream(running: Running, frames: int = 60) -> Stats:
    """A stream of the counted model, some of its frames broken; its own count at the end."""
    with Client(running.url) as client, client.stream(model=COUNTED, policy="all") as stream:
        for number in range(frames):
            stream.send(b"no picture" if number % 10 == 0 else RED)
        return stream.end()


def counted_load(running: Running, images: Path, seconds: float = 3.0) -> dict[str, Any]:
    """What ``quickeye loadtest`` reports of bursts that the server can't take all of."""
    images.mkdir(exist_ok=True)
    (images / "red.png").write_bytes(RED)
    url = f"{running.url}/v1/models/{COUNTED}/predict"
    shape = ["--rate", "300", "--arrivals", "burst", "--burst-size", "60"]
    flags = ["--images", str(images), *shape, "--seconds", str(seconds), "--warmup", "0", "--json"]
    command = [sys.executable, "-m", "quickeye", "loadtest", url, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def drain(running: Running) -> int:
    """Stop the server while somebody still posts; returns the status that they get."""
    with running.client() as client:
        running.terminate()
        deadline = time.monotonic() + 10
        while (status := client.post("/v1/predict", content=RED).status_code) == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        return status
