"""Work of a large batch off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

Abandoned = Callable[[], bool]


def never() -> bool:
    """Returns False: somebody waits."""
    return False


async def in_thread(work: Callable[[Abandoned], Result]) -> Result:
    """Returns what `work` returns, run in a thread.

    A thread cannot be stopped. `work` is handed a function that says whether the call has been
    cancelled, to be asked between steps.
    """
    gone = threading.Event()
    try:
        return await asyncio.to_thread(work, gone.is_set)
    except asyncio.CancelledError:
        gone.set()
        raise
