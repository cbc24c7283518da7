"""Run a model's whole path before the first caller does: decode, preprocess, run, top-k.

The bundle's own check pictures, as JPEG, go through every instance at the same
time, as they will under load: the engine allocates, caches fill, and the
latency model meets its first figures. Blocks; runs in a thread.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from model_zoo.header import PictureLimits, read_header
from server.instance import Instance
from server.job import Job
from server.served_model import ServedModel

ROUNDS = 2


def warm_up(model: ServedModel) -> None:
    """Serve batches of one and of the largest size on every instance, and learn their times.

    Raises:
        BackendError, InternalError: an instance failed.
    """
    encoded = [_as_jpeg(picture) for picture in model.loaded.bundle.check().pictures]
    largest = model.loaded.max_batch_size
    for images in dict.fromkeys((1, largest)):
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(len(model.instances)) as pool:
                runs: list[Future[float]] = [
                    pool.submit(_one_batch, instance, encoded, images) for instance in model.instances
                ]
            seconds = max(run.result() for run in runs)
        model.batcher.learn(images, seconds)


def _one_batch(instance: Instance, encoded: list[bytes], images: int) -> float:
    limits = PictureLimits()
    pictures = [encoded[row % len(encoded)] for row in range(images)]
    jobs = [Job(data, read_header(data, limits), deadline_s=math.inf) for data in pictures]
    seconds = instance.timed(jobs)
    for job in jobs:
        if isinstance(job.result, BaseException):
            raise job.result
    return seconds


def _as_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """A camera-like JPEG, twice the model's input size."""
    height, width, channels = picture.shape
    image = Image.fromarray(picture[:, :, 0] if channels == 1 else picture).resize((width * 2, height * 2))
    pixels = np.ascontiguousarray(np.asarray(image.convert("RGB")))
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=90)
    return encoded
