"""metrics.csv holds numbers exactly and no clock; times.csv holds the clock."""

from pathlib import Path

import pytest

from optimize.errors import DataError, RunError
from optimize.training.epoch_log import EpochLog, EpochTime, metrics_text, read_metrics, read_times
from optimize.training.finished import EpochRow
from optimize.training.run_folder import RunFolder

ROWS = (
    EpochRow(1, 0.1, 2.302585092994046, 0.1, other_top1={}),
    EpochRow(2, 1e-7, 1 / 3, 0.5, 0.25, 0.75, 1.0, 1e-3, {"colour": 0.125}),
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = EpochLog(folder, 0)
    log.write(ROWS[:1], EpochTime(1, 2.0, 0.5, 31.25))
    log.write(ROWS, EpochTime(2, 2.0, 0.5, 31.25))
    log.close()

    assert read_metrics(folder) == ROWS
    assert [row.epoch for row in read_times(folder)] == [1, 2]
    header = "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,val_ece,val_top1_colour"
    assert folder.metrics.read_text(encoding="utf-8").splitlines()[0] == header
    assert any(folder.tensorboard.iterdir())


def test_a_full_disk_is_said_of_the_curves_too(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = EpochLog(folder, 0)

    class Full:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    log._board = Full()  # type: ignore[assignment]  # a disk that fills just then can't be had
    with pytest.raises(RunError, match=r"tensorboard can't be written: No space left on device"):
        log.close()


def test_going_on_forgets_the_times_of_epochs_that_come_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = EpochLog(folder, 0)
    for row in ROWS:
        log.write(ROWS[: row.epoch], EpochTime(row.epoch, 2.0, 0.5, 31.25))
    log.close()

    again = EpochLog(folder, 1)
    again.write(ROWS, EpochTime(2, 9.0, 0.5, 31.25))
    again.close()

    assert [(row.epoch, row.train_s) for row in read_times(folder)] == [(1, 2.0), (2, 9.0)]


def test_no_clock_is_in_the_metrics() -> None:
    assert metrics_text(ROWS[:1]).splitlines() == [
        "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,val_ece",
        "1,0.1,2.302585092994046,0.1,,,,",
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "epoch,lr,train_loss\none,two,three\n"])
def test_what_is_no_metrics_file_is_said(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path)
    if text:
        folder.metrics.write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=r"metrics\.csv"):
        read_metrics(folder)
