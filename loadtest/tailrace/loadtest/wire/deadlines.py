"""Ends calls whose time is up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tailrace.loadtest.wire import status
from tailrace.loadtest.wire.call import NEVER, Call
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.stream import Stream


class Deadlines:
    """Ends calls whose time is up, and tells when the next one's will be."""

    def __init__(self, cancel: Callable[[Call, int, str], None]) -> None:
        """Takes what ends a call with a status and a message."""
        self._cancel = cancel

    def expire(self, connection: Connection, now: int) -> int:
        """Ends the calls of a connection that are late, and returns when the next one will be."""
        calls = connection.calls
        while connection.ordered and calls:
            oldest = next(iter(calls.values()))
            if not self._over(oldest, now):
                return oldest.deadline_ns or NEVER
        left = [call for call in list(calls.values()) if not self._over(call, now)]
        connection.ordered = connection.ordered or not left
        return min((call.deadline_ns or NEVER for call in left), default=NEVER)

    def expire_waiting(self, waiting: deque[Stream], now: int) -> int:
        """Takes calls that are over from the head of a queue, and returns when the next will be."""
        while waiting and self._over(waiting[0].call, now):
            waiting.popleft()
        return (waiting[0].call.deadline_ns or NEVER) if waiting else NEVER

    def _over(self, call: Call, now: int) -> bool:
        if call.status == -1 and 0 < call.deadline_ns <= now:
            self._cancel(call, status.DEADLINE_EXCEEDED, status.DEADLINE_MESSAGE)
        return call.status != -1
