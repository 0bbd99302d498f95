"""Many deadlines share a timer."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.gateway.deadline_watch import EMPTY_TICKS_KEPT, TICK_NS, DeadlineWatch
from tailrace.runtime import event_loop
from tailrace.runtime.deadline import NS_PER_MS


class _Waiter:
    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self.times_told = 0
        self.early_ns = 0
        self.told = asyncio.Event()

    def expire(self) -> None:
        self.early_ns = self.deadline_ns - time.monotonic_ns()
        self.times_told += 1
        self.told.set()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 25), st.booleans()), max_size=40))
def test_each_that_still_waits_is_told_once_and_not_early(plan: list[tuple[int, bool]]) -> None:
    async def run() -> None:
        watch, stayed, left = DeadlineWatch(), list[_Waiter](), list[_Waiter]()
        now_ns = time.monotonic_ns()
        for delay_ms, stays in plan:
            waiter = _Waiter(now_ns + delay_ms * NS_PER_MS)
            tick = watch.add(waiter, waiter.deadline_ns)
            if stays:
                stayed.append(waiter)
            else:
                watch.remove(waiter, tick)
                left.append(waiter)
        await asyncio.gather(*(waiter.told.wait() for waiter in stayed))
        assert [waiter.times_told for waiter in stayed] == [1] * len(stayed)
        assert all(waiter.early_ns <= TICK_NS for waiter in stayed)
        assert not any(waiter.times_told for waiter in left)
        assert not len(watch)

    event_loop.run(run())


async def test_one_who_comes_late_with_an_earlier_deadline_is_told_first() -> None:
    watch, now_ns = DeadlineWatch(), time.monotonic_ns()
    late, early = _Waiter(now_ns + 3_600_000 * NS_PER_MS), _Waiter(now_ns + 5 * NS_PER_MS)
    for waiter in (late, early):
        watch.add(waiter, waiter.deadline_ns)
    await early.told.wait()
    assert not late.times_told
    assert len(watch) == 1


async def test_those_who_left_are_forgotten_while_one_waits_before_them() -> None:
    watch, now_ns = DeadlineWatch(), time.monotonic_ns()
    watch.add(_Waiter(0), now_ns + 3_600_000 * NS_PER_MS)
    for delay_ms in range(10 * EMPTY_TICKS_KEPT):
        waiter = _Waiter(0)
        watch.remove(waiter, watch.add(waiter, now_ns + (4_000_000 + delay_ms) * NS_PER_MS))
    assert len(watch) == 1
    assert len(watch._ticks) < 2 * EMPTY_TICKS_KEPT
