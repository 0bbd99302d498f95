"""When a call that may be repeated is repeated."""

from __future__ import annotations

import random
import time

from tailrace.client.errors import DeadlineExceeded, PredictionError, Unavailable

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class NothingSent(DeadlineExceeded):
    """There was no time for even one attempt."""


class Retrying:
    """One call and its repeats: UNAVAILABLE is asked again until the time is over.

    Between attempts lies a pause that doubles, by up to half of it shortened at random, so that
    many callers do not come back together; and no less than what the server asks for.
    """

    def __init__(self, timeout_s: float) -> None:
        """Begins to count the time, in seconds."""
        self._ends_at = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S
        self._last: PredictionError | None = None

    def remaining_s(self) -> float:
        """Returns the time left, in seconds: the deadline of the next attempt.

        Raises:
            PredictionError: none is left: the last error, else NothingSent.
        """
        remaining_s = self._ends_at - time.monotonic()
        if remaining_s > 0:
            return remaining_s
        raise self._last or NothingSent("no time was left, so nothing was sent")

    def pause_s(self, error: PredictionError) -> float:
        """Returns how long to wait before the next attempt, in seconds.

        Raises:
            PredictionError: the error, if it is not to be repeated, or no time is left for it.
        """
        if not isinstance(error, Unavailable):
            # Where an earlier attempt says what the trouble is, that is worth more.
            raise self._last if isinstance(error, DeadlineExceeded) and self._last else error
        self._last = error
        pause_s = max(self._pause_s * random.uniform(0.5, 1.0), error.retry_after_s or 0.0)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if time.monotonic() + pause_s >= self._ends_at:
            raise error
        return pause_s

    def succeeded(self) -> None:
        """Notes that an attempt came through: the next pause is the first again."""
        self._pause_s = _FIRST_PAUSE_S
        self._last = None
