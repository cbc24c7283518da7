"""The systemd unit: systemd takes it, quickeye takes its command, and stopping has the time that draining needs."""

import os
import subprocess
from pathlib import Path

import pytest

from server.config import Config, resolve
from server.serving import FLUSH_S
from tests.docs.pages import ROOT

UNIT = ROOT / "deploy" / "systemd" / "quickeye.service"


def setting(name: str) -> str:
    """The value of a setting of the unit that stands there once."""
    (value,) = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.partition("=")[0] == name]
    return value


def test_stopping_takes_no_longer_than_systemd_waits() -> None:
    defaults = Config()
    assert float(setting("TimeoutStopSec")) > defaults.drain_grace_s + defaults.drain_timeout_s + FLUSH_S


def test_its_environment_is_settings_that_exist() -> None:
    environment = dict(word.split("=", 1) for word in setting("Environment").split())
    assert resolve({}, environment).config.log_format == "json"


@pytest.mark.needs_systemd
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/quickeye/.venv/bin/quickeye", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(here)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert (done.returncode, said) == (0, [])
