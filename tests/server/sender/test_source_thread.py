"""Blocking calls beside an event loop."""

import asyncio
import threading

import pytest

from server.sender.source_thread import SourceThread


def test_calls_run_in_order_in_one_other_thread_and_errors_come_back() -> None:
    async def scene() -> None:
        thread = SourceThread()
        where = await asyncio.gather(*(thread.call(lambda n=n: (n, threading.get_ident())) for n in range(5)))  # type: ignore[misc]
        assert [number for number, _ in where] == [0, 1, 2, 3, 4]
        assert {ident for _, ident in where} != {threading.get_ident()}
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 // 0)
        closed = threading.Event()
        await thread.close(closed.set)
        assert closed.is_set()

    asyncio.run(scene())


def test_a_call_that_hangs_holds_up_neither_its_caller_nor_the_end() -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        go_on.wait(20)

    async def scene() -> None:
        thread = SourceThread()
        waiting = asyncio.create_task(thread.call(hang))
        await asyncio.to_thread(hanging.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        await thread.close(lambda: None)

    asyncio.run(scene())
    assert go_on.is_set()
