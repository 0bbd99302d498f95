"""Waiting for conditions, and asking whether processes are gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Returns once the condition holds, and fails the test if it does not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"the condition did not hold within {timeout_s:g} s"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Returns True if no process has the id, or only a dead one that nobody has waited for."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
