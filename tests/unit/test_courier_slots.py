import asyncio

import pytest

from tailrace.courier import slots as slots_module
from tailrace.courier.slots import Pool, Slot, Slots


async def test_slots_are_taken_up_to_the_most_and_in_turn() -> None:
    pool = Pool(4)
    assert await pool.take(3) == 3
    assert await pool.take(3) == 1
    first = asyncio.create_task(pool.take(2))
    second = asyncio.create_task(pool.take(1))
    await asyncio.sleep(0)
    assert not first.done()

    pool.give_back(3)

    assert (await first, await second) == (2, 1)
    assert pool.taken == 4


async def test_who_gives_up_waiting_takes_nobodys_turn() -> None:
    pool = Pool(1)
    await pool.take(1)
    first = asyncio.create_task(pool.take(1))
    second = asyncio.create_task(pool.take(1))
    await asyncio.sleep(0)
    pool.give_back()
    # It has its turn by now, and does not take it.
    first.cancel()

    assert await second == 1
    assert first.cancelled()
    assert pool.taken == 1


async def test_a_message_that_takes_long_moves_and_frees_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots_module, "SLOW_AFTER_S", 0.0)
    slots = Slots(1)
    await slots.prompt.take(1)
    slot = Slot(slots, slots.prompt)

    assert await asyncio.wait_for(slots.prompt.take(1), 30) == 1

    assert slot.is_slow
    assert (slots.prompt.taken, slots.slow.taken) == (1, 1)
    slot.give_back()
    assert (slots.prompt.taken, slots.slow.taken) == (1, 0)
