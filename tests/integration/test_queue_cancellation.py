"""Calls of the queue that are cancelled, at every moment of theirs.

Up to Python 3.11, `asyncio.wait_for` loses a cancellation that comes just as it is done
(https://github.com/python/cpython/issues/86296), and redis-py sends with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.submissions.open_queue import Queue

MOST_TURNS = 200


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _cancel_at_every_turn(start: Callable[[], asyncio.Task[Any]]) -> int:
    """Returns how many turns of the loop a task takes, after it was cancelled at each of them."""
    for turns in range(MOST_TURNS):
        task = start()
        await _turns(turns)
        if not task.cancel():
            return turns
        with pytest.raises(asyncio.CancelledError):
            await task
    pytest.fail("it came to no end")


async def test_a_call_that_is_cancelled_ends_by_that(queue: Queue) -> None:
    store = queue.submissions
    await store.now_ms()

    turns = await _cancel_at_every_turn(lambda: asyncio.create_task(store.counts(0)))

    # Before it began, while it was sent, and while it was answered.
    assert turns >= 3
    assert (await store.counts(0)).partition == 0


async def test_a_time_that_is_over_is_told_to_who_set_it(queue: Queue) -> None:
    store = queue.submissions
    await store.now_ms()

    async def expire(limit: asyncio.Timeout, turns: int) -> None:
        await _turns(turns)
        limit.reschedule(0)

    over = 0
    for turns in range(MOST_TURNS):
        expiring = None
        try:
            async with asyncio.timeout(None) as limit:
                expiring = asyncio.create_task(expire(limit, turns))
                await store.counts(0)
                is_done = not limit.expired()
        except TimeoutError:
            over += 1
            continue
        assert is_done
        assert expiring is not None
        expiring.cancel()
        break
    assert over >= 1


async def test_who_waits_for_a_hint_can_be_cancelled_as_it_comes(queue: Queue) -> None:
    hints = queue.submissions._hints
    (told, _) = hints._told.values()
    channel = next(iter(hints._told))

    async def wait() -> None:
        await hints.wait(channel, 60.0)

    def start() -> asyncio.Task[None]:
        told.clear()
        task = asyncio.create_task(wait())
        asyncio.get_running_loop().call_soon(told.set)
        return task

    assert await _cancel_at_every_turn(start) >= 2
