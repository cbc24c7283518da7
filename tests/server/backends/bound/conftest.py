"""A bundle with maps and an embedding, and a runtime that pretends to have CUDA."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model_zoo.bundle import Bundle
from server.backends import BackendOptions
from server.backends.bound.backend import BoundBackend
from server.backends.bound.choices import device_of
from server.backends.bound.memory import Device
from server.backends.bound.opening import Opening
from server.backends.bound.ways import Way, ways
from tests.server.backends.bound.fake_cuda import PROVIDERS, FakeCuda, Faults
from tests.server.fake_bundles import MeanColour

pytest.importorskip("onnxruntime", reason="pip install 'quickeye[cpu]'")

KIND = MeanColour(name="bound", embedding=True, maps=True)
LIMIT = 6
OpenCuda = Callable[..., tuple[BoundBackend, FakeCuda]]


def other_graph() -> bytes:
    """The same with another divisor: other logits."""
    model = onnx.load_model_from_string(KIND.graph())
    divisor = next(one for one in model.graph.initializer if one.name == "std")
    divisor.CopyFrom(numpy_helper.from_array(np.array(32, np.float32), "std"))
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def bundle(store: Path) -> Bundle:
    """Mean colour, with three outputs."""
    return KIND.write(store)


@pytest.fixture(params=["torch", "fixed"])
def memory(request: pytest.FixtureRequest) -> str:
    """Whose memory holds a batch."""
    kind: str = request.param
    return kind


@pytest.fixture
def open_cuda(bundle: Bundle, memory: str) -> OpenCuda:
    """Open the bundle on a pretended GPU; gives the backend and the runtime."""

    def open_it(
        faults: Faults | None = None, line: list[Way] | None = None, stream: int = 0
    ) -> tuple[BoundBackend, FakeCuda]:
        cuda = FakeCuda(KIND.graph(), faults or Faults(), other_graph())

        def device() -> Device:
            found = device_of(cuda.runtime.module, memory, ("cpu", 0), BackendOptions("cpu"))
            found.stream = stream
            return found

        opening = Opening(
            cuda.runtime,
            bundle,
            LIMIT,
            PROVIDERS,
            device,
            preprocess="cpu",
            decode="cpu",
        )
        return opening.first_of(line or ways(PROVIDERS[0].name, False, {})), cuda

    return open_it
