"""What is written down of every epoch: metrics.csv, times.csv, TensorBoard's event files.

metrics.csv is written anew, whole, from the rows that the checkpoint holds: a run that
was killed and continued has the very file of one that was not. All that depends on a
clock is in times.csv.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from optimize.errors import DataError, RunError
from optimize.training.durable import write_whole
from optimize.training.finished import EpochRow
from optimize.training.run_folder import RunFolder

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

METRICS = tuple(field.name for field in fields(EpochRow) if field.name != "other_top1")
OTHER = "val_top1_"  # and a task's name: the column of a further task
TIMES = ("epoch", "train_s", "val_s", "images_per_s")


@dataclass(frozen=True, slots=True)
class EpochTime:
    """A row of times.csv: seconds of training and of validation, pictures per second of training."""

    epoch: int
    train_s: float
    val_s: float
    images_per_s: float


class EpochLog:
    """Writes a run's files."""

    def __init__(self, folder: RunFolder, done: int) -> None:
        """
        Args:
            done: epochs that were done before; what is known of later ones is forgotten.
        """
        self._folder = folder
        self._times = [row for row in read_times(folder) if row.epoch <= done]
        self._board = _board(folder, done)

    def write(self, rows: Sequence[EpochRow], time: EpochTime | None = None) -> None:
        """Write all rows, and the last one's time.

        Raises:
            RunError: the disk refused.
        """
        write_whole(self._folder.metrics, metrics_text(rows).encode())
        if time is not None:
            self._times.append(time)
            write_whole(self._folder.times, _times_text(self._times).encode())
        if time is not None and self._board is not None:
            with self._said_of_board():
                _show(self._board, rows[-1], time)

    def close(self) -> None:
        """Close TensorBoard's file.

        Raises:
            RunError: the disk refused.
        """
        if self._board is not None:
            with self._said_of_board():
                self._board.close()

    @contextmanager
    def _said_of_board(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"{self._folder.tensorboard} can't be written: {error.strerror}") from error


def metrics_text(rows: Sequence[EpochRow]) -> str:
    """The whole of metrics.csv; numbers so that they read back exactly, nothing where it was not looked at."""
    others = list(dict.fromkeys(name for row in rows for name in row.other_top1))
    lines = [
        [*(_shown(getattr(row, name)) for name in METRICS), *(_shown(row.other_top1.get(name)) for name in others)]
        for row in rows
    ]
    return _csv([[*METRICS, *(f"{OTHER}{name}" for name in others)], *lines])


def read_metrics(folder: RunFolder) -> tuple[EpochRow, ...]:
    """The rows of metrics.csv.

    Raises:
        DataError: it is not there, or not such a file.
    """
    try:
        with folder.metrics.open(encoding="utf-8", newline="") as file:
            return tuple(_row(line) for line in csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder.metrics}: no metrics can be read from it: {error}") from error


def read_times(folder: RunFolder) -> list[EpochTime]:
    """The rows of times.csv; none where there is no such file, as nothing depends on it."""
    with suppress(OSError, ValueError, KeyError, TypeError), folder.times.open(encoding="utf-8", newline="") as file:
        return [
            EpochTime(int(line["epoch"]), *(float(line[name]) for name in TIMES[1:])) for line in csv.DictReader(file)
        ]
    return []


def _row(line: dict[str, str]) -> EpochRow:
    numbers = {name: float(line[name]) if line[name] else None for name in METRICS}
    others = {key.removeprefix(OTHER): float(text) for key, text in line.items() if key.startswith(OTHER) and text}
    return EpochRow(**{**numbers, "epoch": int(line["epoch"])}, other_top1=others)  # type: ignore[arg-type]


def _shown(value: float | None) -> str:
    return "" if value is None else repr(value)


def _times_text(times: Sequence[EpochTime]) -> str:
    rows = [[str(one.epoch), f"{one.train_s:.3f}", f"{one.val_s:.3f}", f"{one.images_per_s:.2f}"] for one in times]
    return _csv([list(TIMES), *rows])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _board(folder: RunFolder, done: int) -> "SummaryWriter | None":
    """TensorBoard's writer, where its library is installed; ``done`` makes it forget what comes anew."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(logdir=str(folder.tensorboard), purge_step=done + 1 if done else None, write_to_disk=True)


def _show(board: "SummaryWriter", row: EpochRow, time: EpochTime) -> None:
    for name in METRICS[1:]:
        value = getattr(row, name)
        if value is not None and math.isfinite(value):
            group, _, rest = name.partition("_")
            board.add_scalar(f"{group}/{rest}" if rest else name, value, row.epoch)
    for name, value in row.other_top1.items():
        board.add_scalar(f"val/top1_{name}", value, row.epoch)
    board.add_scalar("time/images_per_s", time.images_per_s, row.epoch)
    board.flush()
