"""What the client of one stream is told: one event for each frame, and the answers to its messages.

Events are put into the outbox as they happen and made when they leave, which is also when
they are counted: what ``stats`` says is what was told before it.
"""

import time
from collections.abc import Awaitable, Callable

from model_zoo.spec import ModelSpec
from server.batcher import Clock
from server.errors import DeadlineExceededError, Refusal, SupersededError, refusal_of
from server.exchange import Message
from server.job import Answer
from server.streams import events
from server.streams.events import Event, Format
from server.streams.frame import Stamp
from server.streams.inflight import Pending
from server.streams.options import StreamOptions
from server.streams.outbox import Outbox
from server.streams.tally import Tally
from server.tracing.contracts import FrameTrace

NOTHING: object = object()


class Teller:
    """``unanswered`` counts the frames whose event has not left yet; ``max_age_s`` is for results of ``latest``."""

    def __init__(self, tally: Tally, max_age_s: float, clock: Clock = time.monotonic) -> None:
        self.tally = tally
        self.outbox = Outbox()
        self.unanswered = 0
        self._max_age_s = max_age_s
        self._clock = clock
        self._told: object = NOTHING

    async def write(self, send: Callable[[Message], Awaitable[None]], form: Format) -> None:
        """Send what there is to tell, for ever."""
        while True:
            waiting = await self.outbox.head()
            await send(form(waiting.make()))
            self.unanswered -= waiting.answers
            self.outbox.left()

    def expect(self, size_bytes: int) -> None:
        """A frame came: it will be told about once."""
        self.tally.frame(size_bytes)
        self.unanswered += 1

    def say(self, event: Event) -> None:
        """Tell something that is no frame's."""
        self.outbox.put(lambda: event)

    def stats(self) -> None:
        """Tell the counts, as they are when this leaves."""
        self.outbox.put(self.tally.as_stats)

    def reconfigured(self, options: Event) -> None:
        """Other options hold from here; the next result is told in full."""
        self._told = NOTHING
        self.say({"type": "config", **options})

    def refuse_message(self, refusal: Refusal) -> None:
        """A text message could not be followed."""

        def make() -> Event:
            self.tally.refusal()
            return events.error(None, None, refusal.code, refusal.message)

        self.outbox.put(make)

    def refuse_frame(self, seq: int | None, captured_at: float | None, refusal: Refusal, model: str = "") -> None:
        """A frame was answered with an error. ``model``: who had it, if not who answers now."""
        name = model or self.tally.model

        def make() -> Event:
            self.tally.failure(name, refusal.code)
            return events.error(seq, captured_at, refusal.code, refusal.message)

        self.outbox.put(make, answers=1)

    def drop(self, stamp: Stamp, reason: str, model: str = "") -> None:
        """A frame gets no answer: ``superseded``, ``stale`` or ``overloaded``."""
        name = model or self.tally.model
        self.outbox.put(lambda: self._dropped(stamp, reason, name), answers=1)

    def failure(self, pending: Pending, error: BaseException) -> None:
        """A frame that a model had was not answered."""
        stamp, name = pending.stamp, pending.model.spec.name
        if isinstance(error, SupersededError):
            outcome = "superseded"
            self.drop(stamp, outcome, name)
        elif isinstance(error, DeadlineExceededError) and pending.options.policy == "latest":
            outcome = "stale"
            self.drop(stamp, outcome, name)
        else:
            refusal = refusal_of(error)
            outcome = refusal.code
            self.refuse_frame(stamp.seq, stamp.captured_at, refusal, name)
        if pending.trace is not None:
            pending.trace.left(pending.job, None, pending.model.spec)
            pending.trace.end(outcome)

    def result(self, pending: Pending, answer: Answer) -> None:
        """A frame was answered, and it is its turn."""
        size_bytes = 500 + 150 * len(answer.predictions)
        if answer.class_activation is not None:
            size_bytes += 2 * answer.class_activation.nbytes
        if pending.trace is not None:
            pending.trace.left(pending.job, answer, pending.model.spec)
        # Without its job: what waits here to be told must not keep a picture.
        known = pending.stamp, pending.received_s, pending.options, pending.model.spec, pending.trace
        self.outbox.put(lambda: self._result(*known, answer), size_bytes=size_bytes, answers=1)

    def _result(
        self,
        stamp: Stamp,
        received_s: float,
        options: StreamOptions,
        spec: ModelSpec,
        trace: FrameTrace | None,
        answer: Answer,
    ) -> Event:
        age_s = self._clock() - received_s
        stale = options.policy == "latest" and age_s > self._max_age_s
        if trace is not None:
            trace.end("stale" if stale else "result")
        if stale:
            return self._dropped(stamp, "stale", spec.name)
        exemplar = None if trace is None else trace.picture.exemplar
        self.tally.result(spec.name, age_s, reused=answer.reused, exemplar=exemplar)
        event = events.result(stamp, spec, answer, age_s)
        best = answer.predictions[0].index if answer.predictions else None
        seen = (spec.name, spec.version, best, answer.unknown)
        if options.only_changed and seen == self._told:
            return events.unchanged(event)
        self._told = seen
        return event

    def _dropped(self, stamp: Stamp, reason: str, model: str) -> Event:
        self.tally.drop(model, reason)
        return events.dropped(stamp, reason)
