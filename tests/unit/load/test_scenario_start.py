"""Loads of a scenario begin in their order, however long their processes take to start."""

from __future__ import annotations

import asyncio

from tailrace.loadtest.scenario.start_line import LEAD_S, StartLine


async def test_no_load_begins_before_the_processes_of_all_are_there() -> None:
    line, begun = StartLine([0, 0.01]), list[str]()

    async def load(name: str, start: float, connected: asyncio.Event) -> None:
        await line.until_prepared(start)
        await connected.wait()
        await line.until_begin(start)
        begun.append(name)
        line.note_begin(0.0)

    first, second = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as loads:
        loads.create_task(load("second", 0.01, second))
        loads.create_task(load("first", 0, first))
        first.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not begun
        second.set()
    assert begun == ["first", "second"]


async def test_time_counts_from_the_first_call() -> None:
    line = StartLine([0])
    waiting = asyncio.create_task(line.until(0.01))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    line.note_begin(1.0)
    began = line.began
    line.note_begin(100.0)
    assert line.began == began
    await waiting


async def test_processes_of_a_late_load_are_not_waited_for() -> None:
    line = StartLine([0, LEAD_S + 60])
    await line.until_begin(0)
    late = asyncio.create_task(line.until_prepared(LEAD_S + 60))
    line.note_begin(59.0)
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def test_without_loads_that_begin_by_the_clock_time_counts_from_the_making() -> None:
    await StartLine([]).until(0.01)
