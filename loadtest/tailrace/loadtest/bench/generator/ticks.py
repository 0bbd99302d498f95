"""Fixed-rate ticks from the kernel's timer.

An event loop's own timers are exact to a millisecond, which is longer than the distance between
two requests. Source: timerfd_create(2).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from types import TracebackType
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_NS_PER_S: Final = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Ticks:
    """Ticks at `starts_at`, and then every 1/rate seconds; all that were missed come together.

    A context manager; asynchronous, as it belongs to the running loop.
    """

    def __init__(self, rate: float, starts_at: float) -> None:
        """Describes the timer.

        Args:
            rate: ticks per second.
            starts_at: the first tick, in seconds of the monotonic clock.
        """
        self._interval_ns = round(_NS_PER_S / rate)
        self._starts_ns = round(starts_at * _NS_PER_S)
        self._ticked = asyncio.Event()
        self._passed = 0
        self._fd = -1

    async def __aenter__(self) -> Ticks:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        timing = _Itimerspec(_timespec(self._interval_ns), _timespec(self._starts_ns))
        if self._fd < 0 or libc.timerfd_settime(
            self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(timing), None
        ):
            raise OSError(ctypes.get_errno(), "no timer")
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def due(self) -> list[int]:
        """Returns the instants that have come since the last call, in monotonic nanoseconds."""
        await self._ticked.wait()
        self._ticked.clear()
        first, count = self._passed, self._count
        self._passed = count
        return [self._starts_ns + tick * self._interval_ns for tick in range(first, count)]

    _count = 0

    def _read(self) -> None:
        # The kernel tells how often the timer has run out since it was last read.
        self._count += int.from_bytes(os.read(self._fd, 8), "little")
        self._ticked.set()


def _timespec(nanoseconds: int) -> _Timespec:
    return _Timespec(*divmod(nanoseconds, _NS_PER_S))
