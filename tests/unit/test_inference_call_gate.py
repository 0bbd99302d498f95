"""How many calls are let into a model, and in which order."""

from __future__ import annotations

import asyncio
import time

import pytest

from tailrace.inference import call_gate
from tailrace.inference.backend import ModelMetadata
from tailrace.inference.call_gate import CallGate, CallLimits
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import DeadlineExceeded, Overloaded


def soon() -> Deadline:
    return Deadline.after_s(10)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_are_inside() -> None:
    gate = CallGate("m", at_once=2, max_waiting=10)
    inside = most = 0

    async def call() -> None:
        nonlocal inside, most
        await gate.enter(soon(), 2)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        gate.leave()

    await asyncio.gather(*(call() for _ in range(12)))
    assert most == 2


async def test_one_too_many_waiting_is_refused_with_pushback() -> None:
    gate = CallGate("m", at_once=1, max_waiting=1)
    await gate.enter(soon(), 2)
    waiting = asyncio.create_task(gate.enter(soon(), 2))
    await settle()
    with pytest.raises(Overloaded) as refused:
        await gate.enter(soon(), 2)
    assert refused.value.retry_after_ms
    gate.leave()
    await waiting


async def test_the_most_important_call_is_next_and_equals_in_order_of_arrival() -> None:
    gate = CallGate("m", at_once=1, max_waiting=10)
    await gate.enter(soon(), 2)
    order: list[str] = []

    async def call(name: str, priority: int) -> None:
        await gate.enter(soon(), priority)
        order.append(name)
        gate.leave()

    calls = [("first", 2), ("sheddable", 3), ("second", 2), ("critical", 1)]
    tasks = [asyncio.create_task(call(*each)) for each in calls]
    await settle()
    gate.leave()
    await asyncio.gather(*tasks)
    assert order == ["critical", "first", "second", "sheddable"]


async def test_waiting_ends_at_the_deadline_and_frees_the_place_in_the_queue() -> None:
    gate = CallGate("m", at_once=1, max_waiting=1)
    await gate.enter(soon(), 2)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await gate.enter(Deadline.after_s(0.01), 2)
    gate.leave()
    await gate.enter(Deadline.after_s(0.01), 2)


async def test_a_cancelled_call_loses_its_place_whether_it_had_got_in_or_not() -> None:
    gate = CallGate("m", at_once=1, max_waiting=5)
    await gate.enter(soon(), 2)
    tasks = [asyncio.create_task(gate.enter(soon(), 2)) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    # Let in and cancelled before it could run: the place goes on to the next.
    gate.leave()
    tasks[0].cancel()
    await asyncio.wait_for(tasks[2], 30)
    assert tasks[0].cancelled() and tasks[1].cancelled()
    gate.leave()
    await gate.enter(Deadline.after_s(0.01), 2)


async def test_background_calls_come_last_and_the_longest_waiting_not_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = CallGate("m", at_once=1, max_waiting=10)
    await gate.enter(soon(), 2)
    order: list[str] = []

    async def call(name: str, priority: int) -> None:
        assert await gate.enter(soon(), priority) > 0
        order.append(name)
        gate.leave()

    async def all_of(calls: list[tuple[str, int]]) -> None:
        tasks = [asyncio.create_task(call(*each)) for each in calls]
        await settle()
        gate.leave()
        await asyncio.gather(*tasks)
        await gate.enter(soon(), 2)

    calls = [("background", 4), ("sheddable", 3), ("later", 4), ("normal", 2)]
    await all_of(calls)
    assert order == ["normal", "sheddable", "background", "later"]
    order.clear()
    monkeypatch.setattr(call_gate, "BACKGROUND_PATIENCE_NS", -1)
    await all_of(calls)
    assert order == ["background", "later", "normal", "sheddable"]


async def test_background_calls_make_room_for_others_in_a_full_queue() -> None:
    gate = CallGate("m", at_once=1, max_waiting=2)
    await gate.enter(soon(), 2)
    background = [asyncio.create_task(gate.enter(soon(), 4)) for _ in range(2)]
    await settle()
    with pytest.raises(Overloaded):
        await gate.enter(soon(), 4)
    sheddable = asyncio.create_task(gate.enter(soon(), 3))
    with pytest.raises(Overloaded):
        await background[1]
    for waiting in (sheddable, background[0]):
        assert not waiting.done()
        gate.leave()
        await waiting
    gate.leave()
    # The place of the refused call did not get lost, nor was it given twice.
    await gate.enter(Deadline.after_s(0.01), 2)
    with pytest.raises(DeadlineExceeded):
        await gate.enter(Deadline.after_s(0.01), 4)


@pytest.mark.parametrize(
    "model, expected", [((0, 0), (32, 256)), ((1, 8), (1, 8)), ((99, 999), (32, 256))]
)
def test_a_model_may_ask_for_less_than_the_settings_allow(
    model: tuple[int, int], expected: tuple[int, int]
) -> None:
    metadata = ModelMetadata("m", "1", {}, {}, calls_at_once=model[0], max_queue=model[1])
    gate = CallLimits(at_once=32, max_waiting=256).gate(metadata)
    assert (gate._at_once, gate._max_waiting) == expected


async def test_background_calls_that_have_waited_for_long_go_before_others_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = CallGate("m", at_once=1, max_waiting=10)
    order: list[str] = []
    now_ns = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)

    async def call(name: str, priority: int) -> None:
        await gate.enter(soon(), priority)
        order.append(name)

    await gate.enter(soon(), 2)
    calls = [("b1", 4), ("b2", 4), ("b3", 4), ("n1", 2), ("n2", 2), ("n3", 2)]
    tasks = [asyncio.create_task(call(*each)) for each in calls]
    await settle()
    for _ in range(2):
        now_ns += call_gate.BACKGROUND_PATIENCE_NS + 1
        for _ in range(2):
            gate.leave()
            await settle()
    assert order == ["b1", "n1", "b2", "n2"]
    for _ in range(2):
        gate.leave()
        await settle()
    assert order[4:] == ["n3", "b3"]
    await asyncio.gather(*tasks)
