"""The kernel and its twin; the kernel runs on a GPU where there is one, else in Triton's interpreter.

Triton decides for each kernel where that is defined whether it interprets, so ours is imported here.
"""

from importlib import import_module

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_images

from server.backends.ragged import twin
from server.backends.ragged.arguments import RaggedResize
from tests.triton_interpreter import import_interpreted

import_interpreted("server.backends.ragged.kernel")


@pytest.fixture(params=["twin", "kernel"])
def resize(request: pytest.FixtureRequest) -> RaggedResize:
    """One after the other."""
    return twin.resize if request.param == "twin" else request.getfixturevalue("kernel_resize")


@pytest.fixture(scope="session")
def kernel_resize() -> RaggedResize:
    """The kernel."""
    pytest.importorskip("triton", reason="needs Triton: pip install triton==3.7.1")
    resize: RaggedResize = import_module("server.backends.ragged.kernel").resize
    return resize


@pytest.fixture(scope="session")
def natural() -> list[tuple[str, NDArray[np.uint8]]]:
    """Natural photos with their names, RGB."""
    photos = [(name, getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    return photos + list(zip(("china", "flower"), load_sample_images().images, strict=True))
