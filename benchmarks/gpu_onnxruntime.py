"""The stage ``engine`` of ``benchmarks.gpu`` for the backend ``onnxruntime``, in bound memory."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_subject import Figures, Subject, median_s
from server.backends import BackendOptions
from server.backends.bound.backend import BoundBackend
from server.backends.bound.ways import LINE, Way
from server.backends.errors import BackendError
from server.backends.onnxruntime import load

PLAIN = (Way(),)


def engine_rows(
    subject: Subject, inputs: NDArray[np.uint8], expected: NDArray[np.int64], least_s: float
) -> list[Figures]:
    """A row for each way to run and size, in the columns of torch's.

    ``launch_ms`` is a run of pixels that lie in their place already. Each is waited for, as the runtime does by itself:
    torch's follow each other without.

    Args:
        expected: the first class of each of ``inputs``.
        least_s: of one picture, by the memory's rate.
    """
    rows: list[Figures] = []
    for way in LINE if subject.on_gpu else PLAIN:
        try:
            backend = _opened(subject, way)
        except BackendError as error:
            rows.append({"mode": f"onnxruntime {way.label}", "failed": " ".join(str(error).split())[:200]})
            continue
        rows += [_timed(subject, backend, size, inputs, expected, least_s) for size in subject.sizes]
        backend.close()
    return rows


def _opened(subject: Subject, way: Way) -> BoundBackend:
    extra = {"onnxruntime.memory": "torch", "onnxruntime.preprocess": "cpu"}
    if subject.on_gpu:
        extra |= {"onnxruntime.cuda_graphs": str(int(way.recorded)), "onnxruntime.nhwc": str(int(way.channels_last))}
    options = BackendOptions("cuda" if subject.on_gpu else "cpu", subject.threads, max(subject.sizes), extra)
    backend = load(subject.bundle, options)
    if not isinstance(backend, BoundBackend):
        raise TypeError("the engine copies its batches")
    return backend


def _timed(
    subject: Subject,
    backend: BoundBackend,
    size: int,
    inputs: NDArray[np.uint8],
    expected: NDArray[np.int64],
    least_s: float,
) -> Figures:
    batch = np.ascontiguousarray(np.resize(inputs, (size, *inputs.shape[1:])))
    told = backend.run(batch)[0].argmax(1)
    step_s = median_s(subject.seconds, lambda: backend.launch(size))
    return {
        "mode": f"onnxruntime {backend.mode}",
        "batch": size,
        "launch_ms": step_s * 1e3,
        "p50_ms": median_s(subject.seconds, lambda: backend.run(batch)) * 1e3,
        "images_per_s": size / step_s,
        "roofline_share": size / step_s * least_s,
        "agrees": float((told == np.resize(expected, size)).mean()),
    }
