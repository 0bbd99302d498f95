"""Calls that have no place in a connection yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush

from tailrace.loadtest.wire.call import NEVER
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.stream import Stream

_PAUSE_NS = 1_000_000


class CallQueue:
    """Calls that wait for a connection, or for the end of a pause.

    Attributes:
        waiting: those that wait for a connection, in the order in which they get one.
        homes: the connection that each caller keeps to; none where calls go round.
    """

    def __init__(self, ready: Sequence[Connection], *, spread: bool) -> None:
        """Begins without any.

        Args:
            ready: the connections that take calls.
            spread: calls go round them; else each caller keeps to one.
        """
        self.waiting: deque[Stream] = deque()
        self.homes: dict[int, int] = {}
        self._ready, self._spread = ready, spread
        self._turn = 0
        # Calls that are made again after a pause, and when.
        self._paused: list[tuple[int, int, Stream]] = []

    def home(self, worker: int) -> int:
        """Returns with which connection a caller's next call begins to look for room."""
        if self._spread:
            self._turn += 1
            return self._turn
        return self.homes.setdefault(worker, len(self.homes))

    def place(self, stream: Stream, home: int) -> bool:
        """Hands a call to the first connection from `home` on that has room, if one has."""
        ready = self._ready
        for place in range(home, home + len(ready)):
            connection = ready[place % len(ready)]
            if connection.free:
                connection.open(stream)
                return True
        return False

    def serve(self) -> None:
        """Places calls as long as there is room; those that are over are forgotten."""
        while self.waiting:
            stream = self.waiting[0]
            home = self.home(stream.call.worker)
            if stream.call.status == -1 and not self.place(stream, home):
                return
            self.waiting.popleft()

    def again(self, stream: Stream, now: int) -> int:
        """Takes a call back that no server has looked at: to be first, or, if it was before, later.

        Returns:
            When `wake` is to be called.
        """
        stream.connection = None
        stream.retries += 1
        if stream.retries == 1:
            self.waiting.appendleft(stream)
            return NEVER
        due_ns = now + (_PAUSE_NS << (stream.retries - 1))
        heappush(self._paused, (due_ns, stream.call.number, stream))
        return due_ns

    def wake(self, now: int) -> int:
        """Ends the pauses that are over, and returns when the next one will be."""
        while self._paused and self._paused[0][0] <= now:
            self.waiting.appendleft(heappop(self._paused)[2])
        return self._paused[0][0] if self._paused else NEVER

    def clear(self) -> None:
        """Forgets all."""
        self.waiting.clear()
        self._paused.clear()
