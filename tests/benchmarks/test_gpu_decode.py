"""The race of decoders runs to its end with a device's decoder, too."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu_decode import decode
from benchmarks.gpu_subject import Subject
from server.backends.torch_engine.device import CpuDevice
from tests.pictures import encode, picture
from tests.server.fake_bundles import MeanColour
from tests.server.fake_jpeg_decoder import FakeJpegDecoder


def subject_of(store: Path) -> Subject:
    files = [encode(picture(90, 60), "jpeg"), encode(picture(64, 48), "png"), encode(picture(60, 90), "jpeg")]
    bundle = MeanColour(height=32, width=24).write(store)
    return Subject(bundle, store, "cpu", lambda: CpuDevice(1), CpuDevice(1), 1, files, [1, 2, 4], ["eager"], 0.01)


def test_every_racer_has_a_row_for_each_of_the_two_largest_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = FakeJpegDecoder()

    def open_decoder(place: torch.device, channels: int) -> FakeJpegDecoder:
        return decoder

    monkeypatch.setattr("benchmarks.gpu_decode.open_decoder", open_decoder)
    rows = decode(subject_of(tmp_path))
    assert [row["batch"] for row in rows] == [2, 4] * 4
    assert [row["by"] for row in rows[::2]][::3] == ["one core", "both"]
    assert all(float(str(row["per_s"])) > 0 for row in rows)
    (device,) = [row for row in rows if row["by"] == "device" and row["batch"] == 4]
    assert (device["mean_levels"], device["worst_levels"], device["refused"]) == (0, 0, 0)
    decoder.changed = lambda pixels: pixels.roll(1, 2)
    assert "differ from the CPU's" in str(decode(subject_of(tmp_path / "other"))[-1]["failed"])


def test_without_a_device_s_decoder_the_cpu_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.backends.torch_engine.nvimgcodec.LIBRARY", "nvidia_that_nobody_has.nvimgcodec")
    rows = decode(subject_of(tmp_path))
    assert [row["by"] for row in rows if "per_s" not in row] == ["device", "both"]
    assert all("nvidia_that_nobody_has" in str(row["failed"]) for row in rows if "per_s" not in row)
