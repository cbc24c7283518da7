"""Frames that a model has: submitted, told about once, results in the order of their frames.

Drops and errors are told at once; a result waits for the results of older frames. Every
frame has a deadline, so nothing waits for ever.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from model_zoo.spec import ModelSpec
from server.errors import SupersededError
from server.job import Answer, Job
from server.streams.frame import Stamp
from server.streams.options import StreamOptions
from server.tracing.contracts import FrameTrace


class FrameModel(Protocol):
    """A served model, as far as streams know it."""

    @property
    def spec(self) -> ModelSpec:
        """What it is."""

    def submit_frame(self, job: Job, instead_of: Job | None = None) -> "asyncio.Future[Answer]":
        """Admit a frame."""

    def abandon(self, jobs: list[Job]) -> None:
        """Forget frames."""


@dataclass(slots=True, eq=False)
class Pending:
    """One frame on its way. ``ended``: nothing more will come; ``answer``: what its turn will tell.

    ``trace`` is None unless this frame is sampled.
    """

    stamp: Stamp
    received_s: float
    options: StreamOptions
    model: FrameModel
    job: Job
    trace: FrameTrace | None = None
    answer: Answer | None = None
    ended: bool = False


class Teller(Protocol):
    """Who tells the client, once for each frame."""

    def result(self, pending: Pending, answer: Answer) -> None:
        """It was answered."""

    def failure(self, pending: Pending, error: BaseException) -> None:
        """It was not."""


class InFlight:
    """The frames of one stream; ``idle`` while no model has any. Owned by the event loop."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._line: deque[Pending] = deque()
        self._open: set[Pending] = set()
        self._last: Pending | None = None
        self._closed = False
        self.idle = asyncio.Event()
        self.idle.set()

    def submit(self, pending: Pending) -> None:
        """Give a frame to its model; with policy ``latest`` it takes the place of the one that waits.

        Raises:
            OverloadedError, DrainingError: it was not taken; nothing is told.
        """
        before = self._replaceable(pending)
        future = pending.model.submit_frame(pending.job, before)
        self._last = pending
        self._line.append(pending)
        self._open.add(pending)
        self.idle.clear()
        future.add_done_callback(lambda done: self._ended(pending, done))

    def _replaceable(self, pending: Pending) -> Job | None:
        last = self._last
        if pending.options.policy != "latest" or last is None or last.ended:
            return None
        if last.model is pending.model:
            return last.job
        if last.job.waiting:  # it waits in another line: it leaves that, and this one joins its own at the end
            last.model.abandon([last.job])
            self._failed(last, SupersededError("a newer frame came, for another model"))
        return None

    def abandon(self) -> None:
        """The client is gone: no frame of it is run or told any more."""
        self._closed = True
        for pending in self._open:
            pending.model.abandon([pending.job])
            if pending.trace is not None:
                pending.trace.end("abandoned")
        self._open.clear()
        self._line.clear()

    def give_up(self, error: BaseException) -> int:
        """Tell this of every frame that is not answered yet; returns how many."""
        left = tuple(self._open)
        for pending in left:
            pending.model.abandon([pending.job])
            self._failed(pending, error)
        return len(left)

    def _ended(self, pending: Pending, done: "asyncio.Future[Answer]") -> None:
        if done.cancelled():  # abandoned, which was told where it was done
            return
        error = done.exception()
        if self._closed or pending.ended:
            return
        if error is not None:
            self._failed(pending, error)
            return
        pending.answer = done.result()
        self._leave(pending)
        self._advance()

    def _failed(self, pending: Pending, error: BaseException) -> None:
        if pending.ended:
            return
        self._leave(pending)
        self._teller.failure(pending, error)
        self._advance()

    def _leave(self, pending: Pending) -> None:
        pending.ended = True
        self._open.discard(pending)
        if self._last is pending:
            self._last = None  # and with it its picture
        if not self._open:
            self.idle.set()

    def _advance(self) -> None:
        """Tell the results whose turn has come."""
        while self._line and self._line[0].ended:
            pending = self._line.popleft()
            if pending.answer is not None:
                self._teller.result(pending, pending.answer)
