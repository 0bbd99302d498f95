"""When a broken stream of events is opened again."""

from __future__ import annotations

import grpc

from tailrace.client.errors import PredictionError
from tailrace.client.retrying import Retrying


class EventRetries:
    """Counts the time without an acknowledgement; each one begins it anew."""

    def __init__(self, retry_s: float) -> None:
        """Keeps how long to try again, in seconds."""
        self._retry_s = retry_s
        self._retrying: Retrying | None = None

    def pause_s(self, error: PredictionError, has_more: bool) -> float:
        """Returns how long to wait before the stream is opened again, in seconds.

        Args:
            error: what ended it.
            has_more: whether anything has no acknowledgement.

        Raises:
            PredictionError: the error, if it is not to be tried again, or no time is left.
        """
        if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and not has_more:
            # The service lets go of those who are silent for long.
            return 0.0
        self._retrying = self._retrying or Retrying(self._retry_s)
        return self._retrying.pause_s(error)

    def succeeded(self) -> None:
        """Notes an acknowledgement."""
        self._retrying = None
