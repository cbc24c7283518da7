"""One frame between a source and a connection."""

import asyncio

from server.sender.outbox import Outbox
from server.sender.sources import Frame
from tests.server.virtual_time import run_virtually


def frame(name: str) -> Frame:
    return Frame(b"", 0.0, name)


def test_without_replacing_every_frame_is_taken_in_turn() -> None:
    async def scene() -> None:
        outbox = Outbox(newest_wins=False, replaced=lambda gone: None)
        taken = []

        async def take_slowly() -> None:
            while (one := await outbox.take()) is not None:
                await asyncio.sleep(1.0)
                taken.append(one.name)

        taking = asyncio.create_task(take_slowly())
        for name in "abcd":
            await outbox.put(frame(name))
        outbox.close()
        await taking
        assert taken == ["a", "b", "c", "d"]
        assert outbox.is_done

    run_virtually(scene())


def test_the_newest_wins_and_what_it_replaced_is_told() -> None:
    async def scene() -> None:
        gone: list[str] = []
        outbox = Outbox(newest_wins=True, replaced=lambda one: gone.append(one.name))
        for name in "abc":
            await outbox.put(frame(name))
        outbox.close()
        assert not outbox.is_done
        assert await outbox.take() == frame("c")
        assert (await outbox.take(), gone, outbox.is_done) == (None, ["a", "b"], True)

    run_virtually(scene())


def test_what_is_discarded_is_not_taken() -> None:
    async def scene() -> None:
        outbox = Outbox(newest_wins=False, replaced=lambda gone: None)
        await outbox.put(frame("a"))
        outbox.close(discard=True)
        assert (await outbox.take(), outbox.is_done) == (None, True)

    run_virtually(scene())
