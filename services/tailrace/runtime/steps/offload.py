"""Where the work of a batch is done: on the event loop, or in a thread beside it."""

from __future__ import annotations

import asyncio
import resource
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
Abandoned = Callable[[], bool]

# Longest that one batch may hold up the others of its process. A pipeline whose small batches
# take longer, several in a row, moves to threads: one slow batch is a busy machine, not a slow
# pipeline, and a thread costs every batch a millisecond under load.
MAX_ON_LOOP_S = 0.01
SLOW_IN_A_ROW = 3
SLOW_FOR_S = 60.0


def never() -> bool:
    """Returns False: somebody waits."""
    return False


class Pace:
    """Remembers whether a pipeline has lately been slow, as one with a blocking function is."""

    def __init__(self) -> None:
        """Starts as fast."""
        self._slow_until_s = float("-inf")
        self._slow_in_a_row = 0

    @property
    def is_slow(self) -> bool:
        """Whether several small batches in a row took long within the last minute."""
        return time.monotonic() < self._slow_until_s

    def timed(self, work: Callable[[], Result]) -> Result:
        """Returns what `work` on a small batch returns, and notes how long it took."""
        # Looked at only where the batch before was slow, as it costs a system call.
        waits = _waits() if self._slow_in_a_row else None
        started_cpu_s = time.thread_time() if waits is not None else 0.0
        started_s = time.monotonic()
        try:
            return work()
        finally:
            duration_s = time.monotonic() - started_s
            if duration_s > MAX_ON_LOOP_S and waits is not None and _waits() == waits:
                # It never waited, so what it did not run it was kept from by other processes:
                # on a busy machine that says nothing of the pipeline.
                duration_s = time.thread_time() - started_cpu_s
            self.note(duration_s)

    def note(self, duration_s: float) -> None:
        """Notes how long a small batch took, without any wait for a thread or a processor."""
        if duration_s <= MAX_ON_LOOP_S:
            self._slow_in_a_row = 0
            return
        self._slow_in_a_row += 1
        if self._slow_in_a_row >= SLOW_IN_A_ROW:
            self._slow_until_s = time.monotonic() + SLOW_FOR_S


class Offloader:
    """Runs small batches on the event loop, as a thread costs more than they do."""

    def __init__(self, offload_cells: int) -> None:
        """Keeps the number of values from which on a batch is large."""
        self._offload_cells = offload_cells

    def run(
        self, cells: int, pace: Pace, work: Callable[[Abandoned], Result]
    ) -> Result | Coroutine[Any, Any, Result]:
        """Returns what `work` returns, or for work that is for a thread, what to await for it.

        Args:
            cells: number of values in the batch.
            pace: of the batch's pipeline; where it is slow, small batches go to a thread, too.
            work: is handed a function that says whether the call has been cancelled, to be
                asked between steps: a thread cannot be stopped.
        """
        if cells >= self._offload_cells:
            return _in_thread(work)
        if pace.is_slow:
            return _in_thread(lambda abandoned: pace.timed(lambda: work(abandoned)))
        return pace.timed(lambda: work(never))


def _waits() -> int | None:
    """Returns how often this thread has given up its processor to wait; None if not known."""
    if sys.platform != "linux":
        return None
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


async def _in_thread(work: Callable[[Abandoned], Result]) -> Result:
    gone = threading.Event()
    try:
        return await asyncio.to_thread(work, gone.is_set)
    except asyncio.CancelledError:
        gone.set()
        raise
