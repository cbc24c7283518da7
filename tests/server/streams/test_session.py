"""One stream from ready to close, with a client and models that the test turns by hand."""

import asyncio

import pytest

from server.errors import InternalError
from server.streams.control import MAX_CHARACTERS
from server.streams.outbox import MAX_EVENTS
from tests.server.streams.fakes import PICTURE, FakeModel, answer_of, numbered, settled, spec_named
from tests.server.streams.stage import CONFIG, Stage, play


def test_the_first_event_says_who_answers_and_within_which_limits() -> None:
    async def scenario(stage: Stage) -> None:
        (ready,) = await stage.hears()
        assert (ready["type"], ready["model"], ready["version"], ready["session"]) == ("ready", "shoes", 1, "s-1")
        assert ready["options"]["top_k"] == 3
        limits = ready["limits"]
        assert (limits["max_frame_bytes"], limits["max_inflight"], limits["max_frame_age_ms"]) == (10_000, 4, 1000)
        assert limits["formats"][:2] == ["jpeg", "png"]

    play(scenario, top_k=3)


def test_a_result_has_what_one_result_of_a_post_has() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(7, captured_at=2.5))
        await settled()
        stage.model.take()
        await asyncio.sleep(0.25)
        stage.model.finish(0, answer_of(3))
        (result,) = await stage.hears("result")
        assert result == {
            "type": "result", "seq": 7, "captured_at": 2.5, "model": "shoes", "version": 1,
            "predictions": [{"index": 3, "label": "class 3", "score": 0.9}], "width": 4, "height": 3, "error": None,
            "timing_ms": {"queue": 100, "decode": 200, "preprocess": 300, "infer": 400, "postprocess": 500},
            "batch_size": 1, "age_ms": 250.0, "reused": False,
        }  # fmt: skip

    play(scenario)


def test_a_job_carries_the_options_and_its_deadline() -> None:
    async def scenario(stage: Stage) -> None:
        await asyncio.sleep(2.0)
        stage.client.says(PICTURE)
        await settled()
        (job,) = stage.model.waiting
        assert (job.options.top_k, job.options.threshold, job.options.explain) == (2, 0.5, False)
        assert (job.priority, job.deadline_s, bytes(job.picture)) == (3, 3.0, PICTURE)
        assert job.history is None
        stage.client.says({"type": "config", "policy": "all", "gate": 2, "model": "boots", "explain": "cam"})
        stage.client.says(PICTURE)
        await settled()
        (job,) = stage.boots.waiting
        assert (job.deadline_s, job.options.explain) == (7.0, True)
        assert job.history is not None

    play(scenario, top_k=2, threshold=0.5, priority=3)


def test_the_gate_remembers_until_the_options_or_the_model_change() -> None:
    async def scenario(stage: Stage) -> None:
        histories = []
        for message in ("", '{"type":"config","top_k":1}', '{"type":"config","gate":0}'):
            if message:
                stage.client.says(message)
            for _ in range(2):
                stage.client.says(PICTURE)
                await settled()
                histories.append(stage.model.waiting[-1].history)
                await stage.runs(answer_of())
        assert histories[0] is histories[1] is not None
        assert histories[2] is histories[3] is not histories[0]
        assert histories[4] is histories[5] is None

    play(scenario, gate=2.0, policy="all")


def test_a_version_that_was_swapped_in_gets_a_memory_of_its_own() -> None:
    async def scenario(stage: Stage) -> None:
        newer = FakeModel(spec_named("shoes", 9))
        histories = []
        for model in (stage.model, newer):
            stage.models.by_name["shoes"] = model
            stage.client.says(PICTURE)
            await settled()
            histories.append(model.waiting[-1].history)
            model.take()
            model.finish(-1, answer_of())
        before, after = histories
        assert before is not None
        assert after is not None
        assert after is not before

    play(scenario, gate=2.0, policy="all")


def test_latest_keeps_one_waiting_frame_and_says_what_became_of_the_others() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await settled()
        stage.model.take()
        for seq in (2, 3, 4):
            stage.client.says(numbered(seq))
        dropped = await stage.hears("dropped")
        assert [(event["seq"], event["reason"]) for event in dropped] == [(2, "superseded"), (3, "superseded")]
        stage.model.take()
        stage.model.finish(1, answer_of(4))
        stage.model.finish(0, answer_of(1))
        assert [event["seq"] for event in await stage.hears("result")] == [1, 4]
        assert [bytes(job.picture) for job in stage.model.ran] == [PICTURE, PICTURE]
        assert (stage.counted("superseded"), stage.counted("result")) == (2, 2)

    play(scenario)


def test_latest_drops_what_is_too_old_waiting_or_running() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await settled()
        stage.model.take()
        await asyncio.sleep(0.5)
        stage.client.says(numbered(2))
        await asyncio.sleep(0.501)
        assert [(event["seq"], event["reason"]) for event in await stage.hears("dropped")] == [(1, "stale")]
        stage.model.finish(0, answer_of(1))
        await asyncio.sleep(0.5)
        assert [(event["seq"], event["reason"]) for event in await stage.hears()] == [(2, "stale")]
        assert stage.counted("stale") == 2

    play(scenario)


def test_a_result_that_grew_too_old_on_its_way_out_is_dropped() -> None:
    async def scenario(stage: Stage) -> None:
        await settled()
        stage.client.reads.clear()
        stage.client.says('{"type":"ping"}')  # the writer holds this one
        stage.client.says(numbered(1))
        await stage.runs(answer_of(1))
        await asyncio.sleep(1.1)
        stage.client.reads.set()
        assert [event["type"] for event in await stage.hears("result", "dropped")] == ["dropped"]
        assert (stage.counted("result"), stage.counted("stale")) == (0, 1)

    play(scenario)


def test_all_loses_nothing_and_stops_reading_at_its_limit() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in range(1, 9):
            stage.client.says(numbered(seq))
        await settled()
        assert (len(stage.model.waiting), stage.client.unread) == (4, 3)  # one more is held
        for seq in range(1, 9):
            await stage.runs(answer_of(seq))
        assert [event["seq"] for event in await stage.hears("result")] == list(range(1, 9))

    play(scenario, policy="all")


def test_all_answers_late_frames_with_an_error() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await asyncio.sleep(4.9)
        assert await stage.hears("error", "dropped") == []
        await asyncio.sleep(0.2)
        assert [(event["seq"], event["code"]) for event in await stage.hears("error")] == [(1, "deadline_exceeded")]

    play(scenario, policy="all")


def test_a_full_server_drops_the_frame_and_says_so() -> None:
    async def scenario(stage: Stage) -> None:
        stage.model.most_waiting = 0
        stage.client.says(numbered(1))
        (event,) = await stage.hears("dropped")
        assert event == {"type": "dropped", "seq": 1, "captured_at": 1.5, "reason": "overloaded"}
        assert stage.counted("overloaded") == 1

    play(scenario)


@pytest.mark.parametrize(
    ("picture", "code"),
    [(b"", "undecodable_image"), (b"\xff", "undecodable_image"), (b"<svg></svg>", "unsupported_format")],
)
def test_a_bad_picture_is_an_error_of_its_frame_alone(picture: bytes, code: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1, picture))
        stage.client.says(numbered(2))
        await stage.runs(answer_of(2))
        error, result = await stage.hears("error", "result")
        assert (error["seq"], error["captured_at"], error["code"]) == (1, 1.5, code)
        assert result["seq"] == 2
        assert len(stage.model.ran) == 1

    play(scenario)


def test_a_fault_of_the_model_is_an_error_without_details() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await stage.runs(InternalError("secret"))
        (event,) = await stage.hears("error")
        assert (event["seq"], event["code"]) == (1, "internal")
        assert "secret" not in event["message"]

    play(scenario)


def test_only_changed_tells_in_full_what_is_new() -> None:
    async def scenario(stage: Stage) -> None:
        told = []
        for index in (1, 1, 2, 2, 1):
            stage.client.says(PICTURE)
            await stage.runs(answer_of(index))
            (event,) = await stage.hears("result")
            told.append((len(event["predictions"]), event.get("unchanged")))
        assert told == [(1, None), (0, True), (1, None), (0, True), (1, None)]
        stage.client.says({"type": "config", "top_k": 1})
        stage.client.says(PICTURE)
        await stage.runs(answer_of(1))
        (event,) = await stage.hears("result")
        assert len(event["predictions"]) == 1  # after a config everything is new

    play(scenario, only_changed=True)


def test_only_changed_sees_a_class_fall_below_the_threshold() -> None:
    async def scenario(stage: Stage) -> None:
        told = []
        for shown in (True, False, False, True):
            stage.client.says(PICTURE)
            answer = answer_of(1)
            if not shown:
                answer.predictions.clear()
            await stage.runs(answer)
            (event,) = await stage.hears("result")
            told.append((len(event["predictions"]), event.get("unchanged")))
        assert told == [(1, None), (0, None), (0, True), (1, None)]

    play(scenario, only_changed=True)


def test_config_holds_for_later_frames_and_switches_models() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await settled()
        stage.model.take()
        stage.client.says({"type": "config", "model": "boots", "top_k": 1})
        stage.client.says(numbered(2))
        (config,) = await stage.hears("config")
        assert (config["model"], config["top_k"], config["version"]) == ("boots", 1, None)
        stage.boots.take()
        stage.boots.finish(0, answer_of(5))
        stage.model.finish(0, answer_of(4))
        first, second = await stage.hears("result")
        assert (first["seq"], first["model"], first["version"]) == (1, "shoes", 1)
        assert (second["seq"], second["model"], second["version"]) == (2, "boots", 3)
        assert stage.session.model == "boots"
        assert (stage.counted("result", "shoes"), stage.counted("result", "boots")) == (1, 1)

    play(scenario)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "config", "model": "hats"}, "unknown_model"),
        ({"type": "config", "top_k": 0}, "invalid_request"),
        ({"type": "config", "top_k": 1, "explain": "cam"}, "invalid_request"),
        ("{", "invalid_request"),
        ("x" * (MAX_CHARACTERS + 1), "invalid_request"),
    ],
)
def test_bad_messages_are_errors_and_change_nothing(message: str | dict[str, object], code: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(message)
        stage.client.says({"type": "config"})
        error, config = await stage.hears("error", "config")
        assert (error["seq"], error["captured_at"], error["code"]) == (None, None, code)
        assert (config["model"], config["top_k"], config["explain"]) == ("shoes", 5, None)

    play(scenario)


def test_a_model_that_was_unloaded_is_an_error_of_each_frame_until_it_is_back() -> None:
    async def scenario(stage: Stage) -> None:
        del stage.models.by_name["shoes"]
        stage.client.says(numbered(1))
        stage.client.says(numbered(2))
        assert [event["code"] for event in await stage.hears("error")] == ["unknown_model"] * 2
        stage.models.by_name["shoes"] = stage.model
        stage.client.says(numbered(3))
        await stage.runs(answer_of(3))
        assert [event["seq"] for event in await stage.hears("result")] == [3]

    play(scenario)


def test_ping_and_stats() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says({"type": "ping", "id": "a"})
        stage.client.says({"type": "ping"})
        assert await stage.hears("pong") == [{"type": "pong", "id": "a"}, {"type": "pong"}]
        await asyncio.sleep(2.0)
        stage.client.says(numbered(1))
        await settled()
        stage.model.take()
        await asyncio.sleep(0.5)
        stage.model.finish(0, answer_of(1, reused=True))
        await settled()
        stage.client.says(numbered(1))
        stage.client.says({"type": "stats"})
        (stats,) = await stage.hears("stats")
        assert stats == {
            "type": "stats", "seconds": 2.5, "frames": 2, "results": 1, "reused": 1,
            "dropped": {"superseded": 0, "stale": 0, "overloaded": 0}, "errors": 1,
            "bytes": 2 * len(numbered(1)), "frame_age_ms": {"p50": 500.0, "p99": 500.0},
        }  # fmt: skip

    play(scenario)


def test_end_answers_what_is_in_flight_then_tells_the_counts_and_closes() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1))
        await settled()
        stage.model.take()
        stage.client.says(numbered(2))
        stage.client.says({"type": "end"})
        stage.client.says(numbered(3))
        assert await stage.hears("result", "stats") == []
        stage.model.take()
        stage.model.finish(0, answer_of(1))
        stage.model.finish(0, answer_of(2))
        heard = await stage.hears("result", "stats")
        assert [event.get("seq") for event in heard] == [1, 2, None]
        assert (heard[-1]["frames"], heard[-1]["results"]) == (2, 2)
        assert stage.client.closed is not None and stage.client.closed[0] == 1000
        assert (await stage.ended()).code == 1000
        assert stage.client.unread == 1

    play(scenario)


def test_a_frame_over_the_limit_ends_the_stream() -> None:
    async def scenario(stage: Stage) -> None:
        stage.client.says(numbered(1, PICTURE + bytes(CONFIG.max_frame_bytes - len(PICTURE))))
        stage.client.says(numbered(2, PICTURE + bytes(CONFIG.max_frame_bytes)))
        await settled()
        assert stage.client.closed is not None and stage.client.closed[0] == 1009
        assert len(stage.model.abandoned) == 1

    play(scenario)


def test_a_client_that_leaves_takes_its_frames_with_it() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in range(1, 5):
            stage.client.says(numbered(seq))
        await settled()
        stage.model.take()
        stage.client.leaves(1001)
        assert (await stage.ended()).code == 1001
        assert stage.model.waiting == []
        assert stage.counted("abandoned") == 4

    play(scenario, policy="all")


def test_a_connection_that_is_lost_ends_a_session_that_does_not_read() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in range(1, 9):
            stage.client.says(numbered(seq))
        await settled()
        assert stage.client.unread == 3
        stage.client.connection.lost.set()
        assert (await stage.ended()).code == 1006
        assert stage.model.waiting == []
        assert stage.client.unread == 3

    play(scenario, policy="all")


def test_a_client_that_does_not_read_is_not_read_either() -> None:
    async def scenario(stage: Stage) -> None:
        await settled()
        stage.client.reads.clear()
        for _ in range(1000):
            stage.client.says({"type": "ping"})
        await asyncio.sleep(60.0)
        taken = 1000 - stage.client.unread
        assert MAX_EVENTS <= taken <= MAX_EVENTS + 2
        stage.client.reads.set()
        assert len(await stage.hears("pong")) >= MAX_EVENTS

    play(scenario)


def test_draining_answers_what_is_in_flight_tells_the_counts_and_closes() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in (1, 2):
            stage.client.says(numbered(seq))
        await settled()
        stage.session.drain(30.0)
        stage.client.says(numbered(3))
        assert await stage.hears("result", "stats") == []
        await stage.runs(answer_of(1), answer_of(2))
        heard = await stage.hears("result", "stats")
        assert [event["type"] for event in heard] == ["result", "result", "stats"]
        assert stage.client.closed == (1001, "the server is stopping")
        assert (await stage.ended()).code == 1001

    play(scenario, policy="all")


def test_a_frame_that_is_held_when_the_drain_begins_is_still_told() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in range(1, 7):
            stage.client.says(numbered(seq))
        await settled()
        assert (len(stage.model.waiting), stage.client.unread) == (4, 1)
        stage.session.drain(30.0)
        await stage.runs(*(answer_of(seq) for seq in range(1, 6)))
        heard = await stage.hears("result", "error", "stats")
        assert [event.get("seq") for event in heard] == [1, 2, 3, 4, 5, None]

    play(scenario, policy="all")


def test_what_is_not_answered_within_the_drain_is_told_so() -> None:
    async def scenario(stage: Stage) -> None:
        for seq in (1, 2):
            stage.client.says(numbered(seq))
        await settled()
        stage.model.take()
        stage.session.drain(2.0)
        await asyncio.sleep(2.5)
        heard = await stage.hears("error", "stats")
        assert sorted((event.get("seq"), event.get("code")) for event in heard[:2]) == [
            (1, "draining"),
            (2, "draining"),
        ]
        assert heard[2]["errors"] == stage.session.given_up == 2
        assert (await stage.ended()).code == 1001

    play(scenario, policy="all")


def test_a_client_that_does_not_read_delays_no_drain() -> None:
    async def scenario(stage: Stage) -> None:
        await settled()
        stage.client.reads.clear()
        stage.client.says({"type": "ping"})
        await settled()
        stage.session.drain(30.0)
        began_s = asyncio.get_running_loop().time()
        assert (await stage.ended()).code == 1001
        assert asyncio.get_running_loop().time() - began_s == 1.0
        assert stage.client.connection.aborted

    play(scenario)


def test_a_fault_of_ours_closes_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Stage) -> None:
        await settled()
        stage.models.by_name["shoes"] = object()  # type: ignore[assignment]
        stage.client.says(numbered(1))
        assert (await stage.ended()).code == 1011
        assert stage.client.closed == (1011, "a fault on our side; the server's log has it under the session's name")

    play(scenario)
    assert "stream s-1 failed" in caplog.text
