"""Which batches of a hop go first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tailrace.runtime import turns as turns_module
from tailrace.runtime.batch import PRIORITY_BACKGROUND
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.hop_call import HopOutcome, HopRunner
from tailrace.runtime.turns import MAX_WAIT_NS, Turns
from tailrace.v1 import batch_pb2
from tests.support.hop_server import hop_batch

NORMAL = batch_pb2.PRIORITY_NORMAL


class _Context:
    def time_remaining(self) -> float | None:
        return None


class _Registry:
    async def find_for_hop(self, name: str, version: str) -> str:
        return "compiled"


class _Hop:
    """A hop whose work the test ends, one batch after the other."""

    def __init__(self) -> None:
        registry: Any = _Registry()
        self.turns = Turns()
        self.runner: Any = HopRunner("ingest", registry, ServerSettings(), self.turns)
        self.begun: list[str] = []
        self.work_ends: dict[str, asyncio.Event] = {}

    def call(self, name: str, priority: int, rows: int = 1) -> asyncio.Task[HopOutcome[None]]:
        message = hop_batch(rows)
        message.rows.priorities.extend([priority] * rows)  # type: ignore[list-item]
        ends = self.work_ends[name] = asyncio.Event()

        async def work(batch: Any, compiled: Any) -> None:
            self.begun.append(name)
            await ends.wait()

        return asyncio.create_task(self.runner.run(message, _Context(), work))

    async def end(self, name: str) -> None:
        self.work_ends[name].set()
        await _settle()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "MAX_WAIT_NS", 10**12)


@pytest.mark.usefixtures("patient")
async def test_a_background_batch_waits_for_all_others_that_are_there() -> None:
    hop = _Hop()
    calls = [hop.call("background", PRIORITY_BACKGROUND), hop.call("first", NORMAL)]
    calls.append(hop.call("second", batch_pb2.PRIORITY_SHEDDABLE))
    await _settle()
    assert hop.begun == ["first", "second"]
    await hop.end("first")
    # Others that come meanwhile go first, too.
    calls.append(hop.call("third", NORMAL))
    await hop.end("second")
    assert hop.begun == ["first", "second", "third"]
    await hop.end("third")
    assert hop.begun[3:] == ["background"]
    await hop.end("background")
    background, *others = await asyncio.gather(*calls)
    assert background.foreground and background.queue_ns > 0
    assert not any(other.foreground for other in others)


async def test_a_background_batch_gets_its_turn_where_others_never_pause() -> None:
    hop = _Hop()
    others = hop.call("others", NORMAL)
    background = hop.call("background", PRIORITY_BACKGROUND)
    hop.work_ends["background"].set()
    outcome = await background
    assert hop.begun == ["others", "background"]
    assert outcome.queue_ns >= MAX_WAIT_NS
    await hop.end("others")
    await others


@pytest.mark.usefixtures("patient")
async def test_others_that_end_early_hold_nothing_back() -> None:
    hop = _Hop()
    other = hop.call("other", NORMAL)
    background = hop.call("background", PRIORITY_BACKGROUND)
    await _settle()
    other.cancel()
    hop.work_ends["background"].set()
    assert (await background).foreground
    assert hop.begun == ["other", "background"]


async def test_a_process_without_other_work_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    hop = _Hop()
    call = hop.call("background", PRIORITY_BACKGROUND, rows=3)
    hop.work_ends["background"].set()
    assert not (await call).foreground
    with hop.turns.others():
        assert hop.turns.foreground
    assert hop.turns.foreground
    later_ns = time.monotonic_ns() + turns_module.FOREGROUND_KEPT_NS
    monkeypatch.setattr(time, "monotonic_ns", lambda: later_ns)
    assert not hop.turns.foreground


async def test_nothing_is_kept_of_a_batch_that_has_stopped_waiting() -> None:
    turns = Turns()
    with turns.others():
        for _ in range(3):
            await turns.background(time.monotonic_ns() + 1_000_000)
        leaves = asyncio.create_task(turns.background(time.monotonic_ns() + MAX_WAIT_NS))
        await _settle()
        assert len(turns._waiting) == 1
        leaves.cancel()
        await asyncio.wait([leaves])
        assert not turns._waiting
