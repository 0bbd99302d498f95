"""Of several jobs, the first to end decides."""

from __future__ import annotations

import asyncio

import pytest

from tailrace.cli.first_done import first_done


async def test_others_are_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await first_done(endless(), asyncio.sleep(0.01))
    assert cancelled.is_set()


async def test_error_of_the_first_is_raised() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await first_done(asyncio.Event().wait(), fail())


async def test_error_of_a_cancelled_one_is_not() -> None:
    async def complain() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("late") from None

    await first_done(complain(), asyncio.sleep(0.01))
