"""What all streams of events together may have in progress."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.features.events.room import Room


async def settled() -> None:
    """Returns once every task has gone as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_room_is_given_in_the_order_of_asking_and_never_more_than_there_is() -> None:
    room = Room(100)
    await room.take(60)
    given: list[int] = []

    async def ask(size: int) -> None:
        await room.take(size)
        given.append(size)

    tasks = [asyncio.create_task(ask(size)) for size in (50, 30, 20)]
    await settled()
    assert given == [], "the first does not fit, and none may overtake it"
    room.give_back(60)
    await settled()
    assert given == [50, 30, 20]
    assert room.taken == 100
    await asyncio.gather(*tasks)


async def test_what_is_larger_than_all_room_has_it_for_itself() -> None:
    room = Room(100)
    await room.take(1)
    waiting = asyncio.create_task(room.take(500))
    await settled()
    assert not waiting.done()
    room.give_back(1)
    await waiting
    assert room.taken == 500


async def test_who_leaves_while_waiting_takes_nothing_and_lets_the_next_one_in() -> None:
    room = Room(100)
    await room.take(100)
    first, second = (asyncio.create_task(room.take(80)) for _ in range(2))
    await settled()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    room.give_back(100)
    await second
    assert room.taken == 80
