"""Counts and times the calls of one gRPC method."""

from __future__ import annotations

import time

from tailrace.runtime.errors import Code
from tailrace.runtime.metrics import CALL_SECONDS, CALLS, CALLS_IN_FLIGHT


class CallCount:
    """The metrics of one method, found once.

    Attributes:
        in_flight: calls of all methods that are not over.
    """

    in_flight = 0

    def __init__(self, method: str) -> None:
        """Finds the metrics.

        Args:
            method: full name, such as `tailrace.v1.IngestService/Preprocess`.
        """
        self._method = method
        self._answered = CALLS.labels(method, Code.OK.name)
        self._seconds = CALL_SECONDS.labels(method)

    def began(self) -> float:
        """Notes a call; returns the time, in seconds of the monotonic clock, for `ended`."""
        CallCount.in_flight += 1
        return time.monotonic()

    def ended(self, code: Code, began: float) -> None:
        """Notes the end of a call.

        Args:
            code: its outcome.
            began: what `began` returned.
        """
        CallCount.in_flight -= 1
        (self._answered if code is Code.OK else CALLS.labels(self._method, code.name)).inc()
        self._seconds.observe(time.monotonic() - began)


# Read when somebody asks, which costs the calls nothing.
CALLS_IN_FLIGHT.set_function(lambda: CallCount.in_flight)
