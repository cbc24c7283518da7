"""Streams beside the posts: cameras, broken and slow frames, clients that leave, and one stream too many."""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from server.client import Client, ClientError
from server.client.stream_target import StreamOptions
from tests.deploy.proved_traffic import slow_picture
from tests.model_zoo.labelled_photos import photo_files
from tests.pictures import REFUSED
from tests.server.running import Running

BROKEN_EVERY = 20
CROWD_EVERY_S = 1.5


@dataclass(frozen=True, slots=True)
class Camera:
    """What one sends, and how often."""

    options: StreamOptions
    per_second: float
    frames: Sequence[bytes]


def _cameras() -> list[Camera]:
    photos = [file.read_bytes() for file, _ in photo_files()]
    photos.insert(BROKEN_EVERY - 1, REFUSED["jpeg_truncated"][1]())
    return [
        Camera({"policy": "latest"}, 8, photos),
        Camera({"policy": "latest"}, 4, photos),
        Camera({"policy": "all", "model": "mean_colour"}, 5, photos),
        Camera({"policy": "latest", "model": "mean_colour"}, 0.4, [slow_picture()]),
    ]


@contextlib.contextmanager
def cameras(running: Running) -> Iterator[None]:
    """They film until the block ends."""
    stop = threading.Event()
    kinds = _cameras()
    with ThreadPoolExecutor(len(kinds) + 1) as pool:
        filming = [pool.submit(_film, running, camera, stop) for camera in kinds]
        filming.append(pool.submit(_crowd, running, kinds[0].frames, stop))
        try:
            yield
        finally:
            stop.set()
            for one in filming:
                one.result()


def _film(running: Running, camera: Camera, stop: threading.Event) -> None:
    with Client(running.url) as client, client.stream(max_inflight=8, max_unread=100_000, **camera.options) as stream:
        for frame in itertools.cycle(camera.frames):
            if stop.wait(1 / camera.per_second):
                break
            stream.send(frame)
        stream.end()


def _crowd(running: Running, photos: Sequence[bytes], stop: threading.Event) -> None:
    """Streams that fill the queue and leave in the middle, and one more than may be open."""
    with Client(running.url) as client:
        while not stop.wait(CROWD_EVERY_S):
            with contextlib.suppress(ClientError), client.stream(policy="all") as stream:
                for photo in photos[:12]:
                    stream.send(photo)
                with contextlib.suppress(ClientError), client.stream():
                    pass
