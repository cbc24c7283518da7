"""What the tests may need from the machine, and what happens where it is missing.

A test marked ``needs_X`` is skipped with the way to get X; where CI is set, the
same test fails instead: CI installs all of it, and a skip would hide a hole.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.triton_interpreter import NEEDED, import_interpreted

# No example may fail for being slow: machines are shared, and tests assert no times.
settings.register_profile("quickeye", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quickeye")

import_interpreted(*NEEDED)

CLOTHING = Path(os.environ.get("QUICKEYE_CLOTHING", Path(__file__).parents[2] / "shared" / "data" / "clothing"))

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

# marker -> (is it there?, what to do)
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "needs_chromium": (lambda: shutil.which("chromium") is not None, "needs Chromium: apt-get install chromium"),
    "needs_prometheus": (
        lambda: all(shutil.which(program) is not None for program in ("prometheus", "promtool")),
        "needs Prometheus and promtool: apt-get install --no-install-recommends prometheus",
    ),
    "needs_systemd": (
        lambda: shutil.which("systemd-analyze") is not None,
        "needs systemd-analyze: apt-get install systemd",
    ),
    "needs_nginx": (lambda: shutil.which("nginx") is not None, "needs nginx: apt-get install nginx"),
    "needs_fashion_mnist": (
        FASHION_MNIST.is_dir,
        "needs Fashion-MNIST: apt-get install dataset-fashion-mnist",
    ),
    "needs_clothing": (
        lambda: (CLOTHING / "validation").is_dir(),
        "needs the clothing photos: set QUICKEYE_CLOTHING to a folder with train/ and validation/",
    ),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test whose needs are not met."""
    for marker, (is_there, advice) in NEEDS.items():
        if item.get_closest_marker(marker) is not None and not is_there():
            if os.environ.get("CI"):
                pytest.fail(advice)
            pytest.skip(advice)


@pytest.fixture(scope="session")
def clothing() -> Path:
    """The clothing photos: ``train/<class>/*.jpg`` and ``validation/<class>/*.jpg``."""
    return CLOTHING


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests noted down with ``record_property("note", …)``."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    notes = [value for report in reports for name, value in getattr(report, "user_properties", []) if name == "note"]
    for note in dict.fromkeys(notes):
        terminalreporter.write_line(f"note: {note}")
