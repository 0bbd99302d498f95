"""SIGTERM and SIGHUP, which `timeout`, service managers and closed terminals send."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Has SIGTERM and SIGHUP do what Ctrl-C does, as long as the context lasts.

    So there is a report of what was done, and no temporary file stays. What already has a meaning,
    such as a SIGHUP that `nohup` ignores, keeps it.
    """
    taken = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:
        # A shell has its background jobs ignore Ctrl-C, and nothing but that.
        signal.default_int_handler(number, frame)
