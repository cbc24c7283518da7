"""A client and a model for sessions, turned by the test's hand."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import orjson
from PIL import Image

from model_zoo.errors import UnknownModelError
from model_zoo.spec import ModelSpec, OutputSpec
from server.errors import DeadlineExceededError, OverloadedError, SupersededError
from server.exchange import Message
from server.job import Answer, Job, Prediction, StageTimes
from server.streams.frame import HEADER, MAGIC
from server.streams.options import StreamOptions
from tests.pictures import encode
from tests.server.mean_colour import INPUT

PICTURE = encode(Image.new("RGB", (4, 3), "red"), "png")


def numbered(seq: int, picture: bytes = PICTURE, captured_at: float = 1.5) -> bytes:
    """A frame with its header."""
    return HEADER.pack(MAGIC, seq, captured_at) + picture


def spec_named(name: str = "shoes", version: int = 1, *, explains: bool = False) -> ModelSpec:
    """A model's description, as far as streams read it."""
    outputs = [OutputSpec("logits", "logits", "softmax")]
    if explains:
        outputs.append(OutputSpec("map", "class_activation", "none"))
    return ModelSpec(
        name, version, "classification", INPUT, tuple(outputs), "fp32", ("fake",), licence="Apache-2.0", source="tests"
    )


def answer_of(index: int = 0, *, reused: bool = False, score: float = 0.9) -> Answer:
    """One class, seen in a picture of 4 × 3."""
    best = Prediction(index, f"class {index}", score)
    return Answer([best], best, 4, 3, StageTimes(0.1, 0.2, 0.3, 0.4, 0.5), 1, reused)


class FakeModel:
    """Keeps frames until the test takes and answers them; expires, replaces and refuses as a served model does."""

    def __init__(self, spec: ModelSpec | None = None, clock: Callable[[], float] | None = None) -> None:
        self.spec = spec or spec_named()
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.abandoned: list[Job] = []
        self.ran: list[Job] = []
        self.most_waiting = 1000
        self._clock = clock or asyncio.get_running_loop().time

    def submit_frame(self, job: Job, instead_of: Job | None = None) -> "asyncio.Future[Answer]":
        replaced = instead_of if instead_of in self.waiting else None
        if replaced is None and len(self.waiting) >= self.most_waiting:
            raise OverloadedError("full")
        loop = asyncio.get_running_loop()
        job.future = loop.create_future()
        job.waiting = True
        if replaced is None:
            self.waiting.append(job)
        else:
            self.waiting[self.waiting.index(replaced)] = job
            self.end(replaced, SupersededError("newer"))
        late = DeadlineExceededError("late")
        loop.call_later(max(0.0, job.deadline_s - self._clock()), self.end, job, late)
        return job.future

    def abandon(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.abandoned.append(job)
            self.end(job, None)

    def take(self) -> Job | None:
        """Begin to run the next one."""
        if not self.waiting:
            return None
        job = self.waiting.pop(0)
        job.waiting = False
        self.running.append(job)
        self.ran.append(job)
        return job

    def finish(self, number: int = 0, result: Answer | Exception | None = None) -> None:
        """End one of those that run."""
        if self.running:
            self.end(self.running[number % len(self.running)], result or answer_of())

    def end(self, job: Job, result: Answer | BaseException | None) -> None:
        for place in (self.waiting, self.running):
            if job in place:
                place.remove(job)
        job.waiting = False
        job.finished = True
        if job.future is None or job.future.done():
            return
        if result is None:
            job.future.cancel()
        elif isinstance(result, Answer):
            job.future.set_result(result)
        else:
            job.future.set_exception(result)


class Models:
    """A catalogue."""

    def __init__(self, *models: FakeModel) -> None:
        self.by_name = {model.spec.name: model for model in models}

    def find(self, options: StreamOptions) -> FakeModel:
        model = self.by_name.get(options.model or next(iter(self.by_name), ""))
        if model is None:
            raise UnknownModelError(f"no model {options.model}")
        return model


class FakeConnection:
    """Below the client."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.close_code = 1006
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True
        self.lost.set()


class FakeClient:
    """The other end of a session: ``says`` puts a message in, ``heard`` is what came out. ``reads``: it reads."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.heard: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()

    def says(self, message: bytes | str | dict[str, Any]) -> None:
        if isinstance(message, dict):
            message = orjson.dumps(message).decode()
        kind = "bytes" if isinstance(message, bytes) else "text"
        self._inbox.put_nowait({"type": "websocket.receive", kind: message})

    def leaves(self, code: int = 1000) -> None:
        self.connection.close_code = code
        self.connection.lost.set()
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def unread(self) -> int:
        """Messages that the session has not taken."""
        return self._inbox.qsize()

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if self.connection.lost.is_set():
            raise ConnectionResetError
        if message["type"] == "websocket.close":
            self.closed = message["code"], message["reason"]
            self.connection.lost.set()
        else:
            self.heard.append(orjson.loads(message["text"]))

    def events(self, *types: str) -> list[dict[str, Any]]:
        """What was heard of these types."""
        return [event for event in self.heard if event["type"] in types]


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in itertools.repeat(None, 30):
        await asyncio.sleep(0)
