"""Runs a receiver as a program of its own."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractAsyncContextManager


async def run_until_told(serving: AbstractAsyncContextManager[str]) -> None:
    """Prints where the receiver listens, and serves until SIGINT or SIGTERM."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with serving as place:
        print(f"receiving at {place}", flush=True)
        await told.wait()
