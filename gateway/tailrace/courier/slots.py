"""How many messages are in flight: to one callback, and to all of them.

A message that takes long moves to a pool of its own, and callbacks that have been slow or failing
are given slots of that pool only. So callbacks that hang, however many, hold up none of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque

SLOW_AFTER_S = 1.0


class Pool:
    """A number of slots; whoever has waited longest is first.

    Attributes:
        taken: how many are in use; may exceed the most, by those moved here.
    """

    def __init__(self, most: int) -> None:
        """Takes how many there are."""
        self._most = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    async def take(self, wanted: int) -> int:
        """Returns how many of the wanted slots were taken: one or more."""
        while self.taken >= self._most or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._leave(turn)
                raise
            if self.taken < self._most:
                break
        taken = min(wanted, self._most - self.taken)
        self.taken += taken
        self._wake()
        return taken

    def move_in(self) -> None:
        """Takes one slot, also where there is none left."""
        self.taken += 1

    def give_back(self, count: int = 1) -> None:
        """Gives slots back."""
        self.taken -= count
        self._wake()

    def _wake(self) -> None:
        if self.taken >= self._most:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        else:
            # It had got its turn, which is the next one's now.
            self._wake()


class Slots:
    """The slots of all callbacks.

    Attributes:
        prompt: for callbacks that have answered at once so far.
        slow: for the others, and for messages that have taken longer.
    """

    def __init__(self, most: int) -> None:
        """Takes how many messages there may be in flight, of either kind."""
        self.prompt = Pool(most)
        self.slow = Pool(most)


class Slot:
    """One message's slot."""

    def __init__(self, slots: Slots, pool: Pool) -> None:
        """Takes over a slot that was taken from a pool; begins to count its time."""
        self._slots = slots
        self._pool = pool
        self._timer: asyncio.TimerHandle | None = None
        self.is_slow = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SLOW_AFTER_S, self._has_taken_long)

    def give_back(self) -> None:
        """Gives the slot back."""
        if self._timer is not None:
            self._timer.cancel()
        self._pool.give_back()

    def _has_taken_long(self) -> None:
        self.is_slow = True
        if self._pool is self._slots.prompt:
            self._slots.slow.move_in()
            self._slots.prompt.give_back()
            self._pool = self._slots.slow
