"""The bookkeeping of one watch: where it stands, and when it is resumed.

It knows neither sockets, threads nor event loops.
"""

from __future__ import annotations

from collections import deque

from tailrace.client.errors import PredictionError
from tailrace.client.retrying import Retrying
from tailrace.client.submission import PredictionChange
from tailrace.v1 import prediction_service_pb2 as messages


class WatchBook:
    """Changes that were received and not yet handed on, and the position after those that were.

    Attributes:
        position: where to resume so that nothing is left out that was not handed on: that after
            the last message of which all changes were handed on and the next was asked for.
        begun: whether the gateway has said where the watch begins.
    """

    def __init__(self, request: messages.WatchPredictionsRequest, max_outage_s: float) -> None:
        """Keeps what to ask for.

        Args:
            request: the first one; its position is where to begin.
            max_outage_s: how long the gateway may be unavailable before the watch gives up.
        """
        self._request = request
        self._max_outage_s = max_outage_s
        self._outage: Retrying | None = None
        self._changes: deque[PredictionChange] = deque()
        self._position_after = request.position
        self.position = request.position
        self.begun = False

    def request(self) -> messages.WatchPredictionsRequest:
        """Returns what to ask for now: all that was not received yet."""
        request = messages.WatchPredictionsRequest()
        request.CopyFrom(self._request)
        request.position = self._position_after
        return request

    def receive(self, response: messages.WatchPredictionsResponse) -> None:
        """Takes a message."""
        self._outage = None
        self.begun = True
        self._changes.extend(map(PredictionChange.of_message, response.changes))
        self._position_after = response.position
        self._advance()

    def next_change(self) -> PredictionChange | None:
        """Returns the next change at hand; None if there is none, and one has to be received."""
        self._advance()
        return self._changes.popleft() if self._changes else None

    def pause_s(self, error: PredictionError) -> float:
        """Returns how long to wait before resuming, in seconds.

        Raises:
            PredictionError: the error, if it is not to be resumed after it.
        """
        if self._outage is None:
            self._outage = Retrying(self._max_outage_s)
        return self._outage.pause_s(error)

    def _advance(self) -> None:
        # Changes at hand may be of several messages, which have one position in common.
        if not self._changes:
            self.position = self._position_after
