"""The stage ``server`` of ``benchmarks.gpu``: ``quickeye serve`` over HTTP, beside the engine alone.

One row for each kind of request: JPEGs as they are and of 640×480 pixels, one a request; and pictures that have the
model's size already, as pixels (``.npy``), 32 a request.
"""

import io

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu_subject import Figures, Subject, repeated_s
from benchmarks.loads import run
from benchmarks.served import Served
from server.backends.torch_engine.runner import prepare
from server.load.run import ClosedLoop, LoadPlan, OpenLoop
from server.percentiles import nearest_rank

READY_WITHIN_S = 900.0  # compiling for every size takes minutes, once
SHARE = 0.7  # of the closed loop's rate
TOGETHER = 32
PHOTO = (640, 480)


def server(subject: Subject) -> list[Figures]:
    """Closed loop, then an open one, for each kind of request."""
    engine_per_s = _engine_per_s(subject)
    waiting = 4 * max(subject.sizes)
    flags = ["--store", str(subject.store), "--device", subject.place, "--backend", "torch"]
    flags += ["--model", f"{subject.bundle.spec.name}/{subject.bundle.spec.version}", "--max-queue-wait-ms", "5000"]
    flags += ["--max-queue-images", str(2 * waiting + 8 * TOGETHER)]
    flags += ["--backend-option", f"torch.mode={subject.modes[0]}"]
    kinds = {
        "jpeg": (subject.pictures, 1),
        f"jpeg {PHOTO[0]}x{PHOTO[1]}": ([photo_of(data) for data in subject.pictures], 1),
        f"raw x{TOGETHER}": (pixels_of(subject), TOGETHER),
    }
    rows: list[Figures] = []
    with Served(*flags, ready_within_s=READY_WITHIN_S) as served:
        for kind, (bodies, images) in kinds.items():
            row = _loaded(subject, served, bodies, images, max(2, waiting // images))
            share = row["images_per_s"] / engine_per_s
            rows.append({"request": kind, **row, "engine_per_s": engine_per_s, "share": share})
    return rows


def _loaded(subject: Subject, served: Served, bodies: list[bytes], images: int, callers: int) -> dict[str, float]:
    warm_up_s = min(1.0, subject.seconds)
    closed = run(served, bodies, LoadPlan(ClosedLoop(callers), subject.seconds, warm_up_s))
    rate = closed.per_second(len(closed.tally.ok))
    open_rate = max(1.0, SHARE * rate)
    opened = run(served, bodies, LoadPlan(OpenLoop(open_rate), subject.seconds, warm_up_s))
    samples = sorted(opened.tally.ok)
    figures = {
        "images_per_s": images * rate,
        "open_images_per_s": images * open_rate,
        "not_ok": closed.tally.requests - len(closed.tally.ok) + opened.tally.requests - len(samples),
    }
    if samples:  # none where a request takes longer than it is looked for
        figures |= {"p50_ms": nearest_rank(samples, 500) * 1e3, "p99_ms": nearest_rank(samples, 990) * 1e3}
    return figures


def _engine_per_s(subject: Subject) -> float:
    """Pictures a second of the largest size, pixels there already, in the first way that the server would take."""
    size = max(subject.sizes)
    runner = prepare(subject.network(), subject.bundle.spec.input, size, subject.new_device, subject.modes[:1])
    with torch.inference_mode():
        return size / repeated_s(subject, lambda: runner.launch(size))


def photo_of(data: bytes) -> bytes:
    """The same picture as a JPEG of 640×480 pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        small = picture.convert("RGB").resize(PHOTO, Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def pixels_of(subject: Subject) -> list[bytes]:
    """The pictures at the model's size, in bodies of ``TOGETHER``: each begins one, and those after it follow."""
    inputs = subject.inputs()
    bodies: list[bytes] = []
    for first in range(len(inputs)):
        body = io.BytesIO()
        np.save(body, inputs[np.arange(first, first + TOGETHER) % len(inputs)])
        bodies.append(body.getvalue())
    return bodies
