"""One running server for all the tests of a file that only post to it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.mean_colour import write_mean_colour
from tests.server.running import Running, serving


@pytest.fixture(scope="session")
def colour_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of a model that tells red, green and blue."""
    store = tmp_path_factory.mktemp("store")
    write_mean_colour(store)
    write_mean_colour(store)
    return store


@pytest.fixture(scope="module")
def server(colour_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serves ``mean_colour`` with small limits; logs JSON."""
    folder = tmp_path_factory.mktemp("server")
    flags = ["--store", str(colour_store), "--backend", "onnxruntime", "--log-format", "json"]
    limits = ["--max-body-bytes", "4000000", "--max-image-bytes", "3500000", "--body-timeout-s", "1"]
    with serving(folder, *flags, *limits) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    """Speaks to ``server``."""
    with server.client() as opened:
        yield opened
