"""What a load process asks the kernel for, on Linux. Source: prctl(2)."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel end this process when its parent ends, by whatever cause."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the call above; then no signal would ever come.
    if os.getppid() != parent_pid:
        sys.exit(f"the parent, pid {parent_pid}, is gone")


def wake_in_time() -> None:
    """Has the kernel wake this process when it asked for it, not up to 50 µs later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def collect_seldom() -> None:
    """Spares the garbage collector what lives as long as the load, and most of its turns.

    Calls leave no cycles behind, so that there is next to nothing to be found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
