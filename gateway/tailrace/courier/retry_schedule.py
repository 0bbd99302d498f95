"""When a result is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence


class RetrySchedule:
    """Waits between attempts."""

    def __init__(
        self,
        waits_s: Sequence[float],
        jitter: float,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        """Takes the schedule.

        Args:
            waits_s: after the first attempt, after the second, and so on.
            jitter: largest share by which a wait is lengthened.
            random_share: from 0 to 1.
        """
        self._waits_s = tuple(waits_s)
        self._jitter = jitter
        self._random_share = random_share

    def delay_ms(self, attempt: int, retry_after_s: float | None) -> int | None:
        """Returns the wait after an attempt that failed, in ms; None after the last one.

        Args:
            attempt: which one it was, from 1.
            retry_after_s: how long the receiver wants to be left alone at least, or None.
        """
        if attempt > len(self._waits_s):
            return None
        wait_s = self._waits_s[attempt - 1] * (1 + self._jitter * self._random_share())
        return int(max(wait_s, retry_after_s or 0.0) * 1000)
