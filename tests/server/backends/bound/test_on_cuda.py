"""On a real GPU: every way answers as numpy does, recorded or not."""

from pathlib import Path

import numpy as np
import pytest

from server.backends import BackendOptions
from server.backends.bound.backend import BoundBackend
from server.backends.bound.ways import LINE, Way
from server.backends.onnxruntime import load
from server.backends.onnxruntime_providers import cuda_is_available
from server.backends.selection import prove
from server.backends.torch import torch_sees_cuda
from tests.server.backends.bound.conftest import KIND
from tests.server.backends.bound.fake_cuda import pictures

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (cuda_is_available() and torch_sees_cuda()), reason="there is no GPU: quickeye[gpu]"),
]


@pytest.mark.parametrize("memory", ["torch", "fixed"])
@pytest.mark.parametrize("way", LINE, ids=[way.label for way in LINE])
def test_every_way_answers_as_numpy(way: Way, memory: str, store: Path) -> None:
    bundle = KIND.write(store)
    extra = {
        "onnxruntime.memory": memory,
        "onnxruntime.cuda_graphs": str(int(way.recorded)),
        "onnxruntime.nhwc": str(int(way.channels_last)),
    }
    backend = load(bundle, BackendOptions("cuda", 1, 16, extra))
    assert isinstance(backend, BoundBackend)
    assert (backend.device, backend.mode) == ("cuda", way.label)
    for count in (1, 5, 16, 3):
        for one, other in zip(backend.run(pictures(count), explain=True), KIND.expected(pictures(count)), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-2)
    assert prove(backend, bundle, 16).passed
    backend.close()
