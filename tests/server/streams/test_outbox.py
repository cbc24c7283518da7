"""What waits to be told."""

import asyncio
from typing import Any

from server.streams.outbox import Outbox
from tests.server.virtual_time import run_virtually


def test_events_leave_in_order_and_are_made_when_they_leave() -> None:
    async def scenario() -> list[dict[str, Any]]:
        outbox, said = Outbox(), ["early"]
        outbox.put(lambda: {"n": 1, "said": said[0]})
        outbox.put(lambda: {"n": 2, "said": said[0]})
        left = [(await outbox.head()).make()]
        said[0] = "late"
        outbox.left()
        left.append((await outbox.head()).make())
        outbox.left()
        assert outbox.empty
        return left

    assert run_virtually(scenario()) == [{"n": 1, "said": "early"}, {"n": 2, "said": "late"}]


def test_it_is_full_by_number_and_by_bytes_and_never_refuses() -> None:
    async def scenario() -> None:
        by_number, by_bytes = Outbox(max_events=2), Outbox(max_bytes=1000)
        for outbox, size_bytes in ((by_number, 1), (by_bytes, 600)):
            outbox.put(dict, size_bytes=size_bytes)
            assert not outbox.full
            outbox.put(dict, size_bytes=size_bytes)
            assert outbox.full
            outbox.put(dict, size_bytes=size_bytes)
            outbox.left()
            assert outbox.full
            outbox.left()
            assert not outbox.full

    asyncio.run(scenario())


def test_the_writer_sleeps_until_there_is_something_and_others_until_it_left() -> None:
    async def scenario() -> list[str]:
        outbox, story = Outbox(), []

        async def write() -> None:
            await outbox.head()
            story.append("written")
            outbox.left()

        async def wait() -> None:
            await outbox.next_move()
            story.append("moved")

        tasks = [asyncio.create_task(write()), asyncio.create_task(wait())]
        await asyncio.sleep(5.0)
        story.append("put")
        outbox.put(dict)
        await asyncio.gather(*tasks)
        return story

    assert run_virtually(scenario()) == ["put", "written", "moved"]
