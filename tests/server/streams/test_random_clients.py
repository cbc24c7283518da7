"""Whatever a client, its models and the clock do: one event for each frame, results in order, nothing left behind."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import InternalError
from server.streams.frame import HEADER
from tests.server.streams.fakes import PICTURE, answer_of, numbered, settled
from tests.server.streams.stage import CONFIG, Stage, play

STEPS = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 3)),  # so many numbers ahead
    st.tuples(st.just("frame"), st.integers(1, 3)),
    st.tuples(st.just("odd"), st.sampled_from(["again", "bare", "short", "empty", "text", "nan"])),
    st.tuples(st.just("run"), st.integers(0, 5)),
    st.tuples(st.just("run"), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.4, 1.2, 6.0])),
    st.tuples(st.just("config"), st.sampled_from(["latest", "all", "boots", "shoes", "bad", "urgent", "gate"])),
    st.tuples(st.just("full"), st.booleans()),
    st.tuples(st.just("unload"), st.booleans()),
    st.tuples(st.just("reads"), st.booleans()),
    st.tuples(st.just("ping"), st.just(0)),
)
CONFIGS: dict[str, dict[str, Any]] = {
    "latest": {"policy": "latest"}, "all": {"policy": "all"}, "boots": {"model": "boots"}, "shoes": {"model": "shoes"},
    "bad": {"top_k": -1}, "urgent": {"priority": 0}, "gate": {"gate": 3, "smoothing": 0.5},
}  # fmt: skip


@dataclass
class Client:
    """Sends what it is told, and remembers the number of each frame (None: it has none)."""

    stage: Stage
    seq: int = 0

    def __post_init__(self) -> None:
        self.sent: list[int | None] = []
        self.frame(1)

    def frame(self, ahead: int) -> None:
        self.seq += ahead
        self._say(self.seq, numbered(self.seq))

    def odd(self, kind: str) -> None:
        if kind == "again":
            self._say(self.seq, numbered(self.seq))
        elif kind == "bare":
            self._say(None, PICTURE)
        elif kind == "short":
            self._say(None, numbered(1)[: HEADER.size - 1])
        elif kind == "nan":
            self._say(self.seq + 1, numbered(self.seq + 1, captured_at=float("nan")))
        else:
            self.seq += 1
            self._say(self.seq, numbered(self.seq, b"" if kind == "empty" else b"no picture"))

    def _say(self, seq: int | None, message: bytes) -> None:
        self.sent.append(seq)
        self.stage.client.says(message)


async def follow(stage: Stage, client: Client, step: tuple[str, Any]) -> None:
    kind, value = step
    running = [
        *((stage.model, job) for job in stage.model.running),
        *((stage.boots, job) for job in stage.boots.running),
    ]
    if kind == "frame":
        client.frame(value)
    elif kind == "odd":
        client.odd(value)
    elif kind == "take":
        stage.model.take()
        stage.boots.take()
    elif kind in ("run", "fail") and running:
        model, job = running[value % len(running)]
        model.end(job, answer_of(value) if kind == "run" else InternalError(""))
    elif kind == "wait":
        await asyncio.sleep(value)
    elif kind == "config":
        stage.client.says({"type": "config", **CONFIGS[value]})
    elif kind == "full":
        stage.model.most_waiting = 0 if value else 1000
    elif kind == "unload":
        stage.models.by_name = {"boots": stage.boots} if value else {"shoes": stage.model, "boots": stage.boots}
    elif kind == "reads":
        (stage.client.reads.set if value else stage.client.reads.clear)()
    elif kind == "ping":
        stage.client.says({"type": "ping"})
    await settled()


async def everything_answered(stage: Stage) -> None:
    """Read everything, and run what is still wanted."""
    stage.client.reads.set()
    for _ in range(60):
        await settled()
        for model in (stage.model, stage.boots):
            while model.take():
                pass
            while model.running:
                model.finish(0, answer_of(9))


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=60), policy=st.sampled_from(["latest", "all"]))
def test_every_frame_gets_exactly_one_event(steps: list[tuple[str, Any]], policy: str) -> None:
    async def scenario(stage: Stage) -> None:
        client = Client(stage)
        for step in steps:
            await follow(stage, client, step)
        stage.client.says({"type": "end"})
        await everything_answered(stage)
        assert (await stage.ended()).code == 1000
        heard = stage.client.events("result", "dropped", "error")
        of_messages = sum(step == ("config", "bad") for step in steps) + _unknown_switches(stage)
        numbers = Counter(event["seq"] for event in heard)
        numbers[None] -= of_messages
        assert +numbers == Counter(client.sent)
        results = [event["seq"] for event in stage.client.events("result")]
        assert results == sorted(results)
        assert all(event["age_ms"] <= CONFIG.max_frame_age_ms for event in stage.client.events("result")) or (
            policy == "all" or ("config", "all") in steps
        )
        stats = stage.client.heard[-1]
        assert stats["type"] == "stats"
        assert stats["frames"] == len(client.sent) == len(heard) - of_messages
        assert stats["results"] + sum(stats["dropped"].values()) + stats["errors"] == len(heard)

    play(scenario, policy=policy)


def _unknown_switches(stage: Stage) -> int:
    """Configs that named, or kept, a model that was unloaded then: errors of a message, not of a frame."""
    return sum(
        event["code"] == "unknown_model" and event["seq"] is None and event["captured_at"] is None
        for event in stage.client.events("error")
    )


@settings(max_examples=100)
@given(steps=st.lists(STEPS, max_size=40), policy=st.sampled_from(["latest", "all"]), ending=st.sampled_from("ldu"))
def test_an_end_in_the_middle_leaves_nothing_behind(steps: list[tuple[str, Any]], policy: str, ending: str) -> None:
    async def scenario(stage: Stage) -> None:
        client = Client(stage)
        for step in steps:
            await follow(stage, client, step)
        if ending == "l":
            stage.client.leaves()
        elif ending == "d":
            stage.session.drain(2.0)
        else:
            stage.client.reads.clear()
            stage.session.drain(0.0)
        close = await stage.ended()
        assert close.code == (1000 if ending == "l" else 1001)
        ended = [job for job in (*stage.model.ran, *stage.boots.ran) if job.future is not None]
        assert all(job.future.done() for job in ended if job.future is not None)
        assert stage.model.waiting == stage.boots.waiting == []
        heard = Counter(event["seq"] for event in stage.client.events("result", "dropped", "error"))
        del heard[None]
        assert heard <= Counter(client.sent)
        taken = stage.session.tally.frames
        told = stage.session.tally
        abandoned = sum(stage.counted("abandoned", name) for name in ("shoes", "boots"))
        errors = sum(stage.counted("error", name) for name in ("shoes", "boots"))
        assert told.results + sum(told.dropped.values()) + errors + abandoned == taken

    play(scenario, policy=policy)
