"""Bundles that every engine is tried on, written once."""

from pathlib import Path

import pytest

from model_zoo.architectures import ARCHITECTURES
from model_zoo.bundle import Bundle
from tests.server.fake_bundles import MeanColour


@pytest.fixture(autouse=True)
def architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own network is in the table."""
    monkeypatch.setitem(ARCHITECTURES, "mean_colour", "tests.server.mean_colour_network:mean_colour")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, for all tests of this folder."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def bundle(store: Path) -> Bundle:
    """Mean colour, with a second output."""
    return MeanColour(name="conformance", embedding=True).write(store)
