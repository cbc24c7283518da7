"""``benchmarks.gpu`` where a stage fails: the others are kept."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_subject import Figures, Subject


def test_a_stage_that_fails_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Subject) -> Figures:
        assert json.loads(out.read_text())["probe"] == {"copy": 1.0}, "written as it was found"
        raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    out = tmp_path / "figures.json"
    monkeypatch.setattr(gpu, "probe", lambda _: {"copy": 1.0})
    monkeypatch.setattr(gpu, "engine", fails)
    monkeypatch.setattr(gpu, "decode", lambda _: [{"decoder": "CPU"}])
    stages = ["--stages", "probe", "engine", "decode"]
    monkeypatch.setattr(
        sys, "argv", ["gpu", "--device", "cpu", "--network", "grey28_small", *stages, "--out", str(out)]
    )
    assert gpu.main() == 1
    found = json.loads(out.read_text())
    assert found["engine"] == {"failed": "CUDA error: an illegal memory access was encountered"}
    assert (found["probe"], found["decode"]) == ({"copy": 1.0}, [{"decoder": "CPU"}])
    assert "illegal memory access" in capsys.readouterr().out
