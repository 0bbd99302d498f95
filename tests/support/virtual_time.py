"""An event loop whose clock jumps to the next timer: hours in a moment, and the same every time."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")

START_S = 1_000.0


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a time, lets it pass."""

    now_s = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen: a task waits for ever")
        self.now_s += max(timeout, 0.0)
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now_s


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


@contextmanager
def _clock_of(loop: _VirtualLoop) -> Iterator[None]:
    with (
        mock.patch.object(time, "monotonic_ns", lambda: round(loop.time() * 1e9)),
        mock.patch.object(time, "monotonic", loop.time),
    ):
        yield


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine to its end on a loop of its own, whose time is also `time.monotonic_ns`."""
    loop = _VirtualLoop()
    try:
        with _clock_of(loop):
            try:
                return loop.run_until_complete(main)
            finally:
                loop.run_until_complete(_cancel_all())
    finally:
        loop.close()
