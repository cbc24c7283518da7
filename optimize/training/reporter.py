"""How a run tells a person where it is: a bar on a terminal, else a line for each epoch. On stderr."""

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from optimize.training.finished import EpochRow

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter(Protocol):
    """Told by the trainer; all of it may be ignored."""

    def say(self, text: str) -> None:
        """A line."""
        ...

    def begin(self, done: int, epochs: int, steps: int) -> None:
        """Training begins after ``done`` epochs of ``steps`` batches each."""
        ...

    def tick(self, epoch: int, step: int) -> None:
        """``step`` batches of ``epoch`` (from 0) are done."""
        ...

    def epoch(self, row: EpochRow, seconds: float, left_s: float) -> None:
        """An epoch is over; ``left_s`` is what the rest will take at this pace."""
        ...

    def end(self) -> None:
        """Training is over, or broke off."""
        ...


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None: ...
    def begin(self, done: int, epochs: int, steps: int) -> None: ...
    def tick(self, epoch: int, step: int) -> None: ...
    def epoch(self, row: EpochRow, seconds: float, left_s: float) -> None: ...
    def end(self) -> None: ...


class Lines:
    """A line for each epoch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._epochs = 0

    def say(self, text: str) -> None:
        """See ``Reporter.say``."""
        print(text, file=self._stream or sys.stderr, flush=True)

    def begin(self, done: int, epochs: int, steps: int) -> None:
        """See ``Reporter.begin``."""
        self._epochs = epochs
        if done:
            self.say(f"going on after epoch {done} of {epochs}")

    def tick(self, epoch: int, step: int) -> None:
        """Not told."""

    def epoch(self, row: EpochRow, seconds: float, left_s: float) -> None:
        """See ``Reporter.epoch``."""
        self.say(epoch_line(row, self._epochs, seconds, left_s))

    def end(self) -> None:
        """Nothing to end."""


class Bars(Lines):
    """A bar for the whole run on a terminal, with the time left; lines of epochs stay above it."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._steps = 1

    def say(self, text: str) -> None:
        """See ``Reporter.say``."""
        if self._bars is None:
            super().say(text)
        else:
            self._bars.console.print(text, highlight=False, markup=False)

    def begin(self, done: int, epochs: int, steps: int) -> None:
        """See ``Reporter.begin``."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().begin(done, epochs, steps)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._steps = steps
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("steps", total=epochs * steps, completed=done * steps)
        self._bars.start()

    def tick(self, epoch: int, step: int) -> None:
        """See ``Reporter.tick``."""
        if self._bars is not None and self._task is not None:
            said = f"epoch {epoch + 1}/{self._epochs}"
            self._bars.update(self._task, completed=epoch * self._steps + step, description=said)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def reporter_for(stream: TextIO) -> Reporter:
    """A bar where somebody watches, else lines."""
    return Bars() if stream.isatty() else Lines()


def epoch_line(row: EpochRow, epochs: int, seconds: float, left_s: float) -> str:
    """``epoch 3/20  loss 0.4120  top-1 86.1 %  validation:  loss 0.3902  top-1 87.2 %  41 s, 12 min left``."""
    parts = [f"epoch {row.epoch}/{epochs}", f"loss {row.train_loss:.4f}", f"top-1 {100 * row.train_top1:.1f} %"]
    if row.val_loss is not None and row.val_top1 is not None:
        parts += ["validation:", f"loss {row.val_loss:.4f}", f"top-1 {100 * row.val_top1:.1f} %"]
    parts += [f"{name} {100 * value:.1f} %" for name, value in row.other_top1.items()]
    left = f", {duration(left_s)} left" if row.epoch < epochs else ""
    return "  ".join([*parts, f"{duration(seconds)}{left}"])


def duration(seconds: float) -> str:
    """As people say it: 41 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Stopwatch:
    """Seconds since it was made or read last."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the lap before."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
