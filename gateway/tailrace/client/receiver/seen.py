"""Which deliveries have been handled already."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol


class SeenDeliveries(Protocol):
    """Where ids of handled deliveries are kept; several receivers of a callback share one.

    Methods may be called from any thread. What they raise fails the delivery, so that it comes
    again.
    """

    @property
    def blocks(self) -> bool:
        """Whether its methods may wait, as for a database: servers then call them in a thread."""
        ...

    def seen(self, delivery_ids: Sequence[str]) -> set[str]:
        """Returns those ids that have been remembered."""
        ...

    def remember(self, delivery_ids: Sequence[str]) -> None:
        """Keeps ids for as long as the courier may push them again: three and a half days."""
        ...


class MemorySeenDeliveries:
    """Keeps ids in memory: bounded, for some time, and until the process ends.

    Attributes:
        blocks: its methods never wait.
    """

    blocks = False

    def __init__(
        self,
        *,
        max_ids: int = 1_000_000,
        ttl_s: float = 4 * 86_400,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keeps the bounds.

        Args:
            max_ids: most ids; beyond that the oldest is forgotten. One takes about 250 bytes.
            ttl_s: how long an id is kept, in seconds.
            clock: seconds that never go back.
        """
        self._max_ids = max_ids
        self._ttl_s = ttl_s
        self._clock = clock
        # In order of time: an id that is remembered again moves to the end.
        self._expires: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def seen(self, delivery_ids: Sequence[str]) -> set[str]:
        """Returns those ids that are kept."""
        now = self._clock()
        with self._lock:
            return {each for each in delivery_ids if self._expires.get(each, now) > now}

    def remember(self, delivery_ids: Sequence[str]) -> None:
        """Keeps ids, and forgets what is too old or too much."""
        now = self._clock()
        with self._lock:
            for each in delivery_ids:
                self._expires[each] = now + self._ttl_s
                self._expires.move_to_end(each)
            while self._expires:
                oldest = next(iter(self._expires))
                if len(self._expires) <= self._max_ids and self._expires[oldest] > now:
                    return
                del self._expires[oldest]

    def __len__(self) -> int:
        return len(self._expires)
