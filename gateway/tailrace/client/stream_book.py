"""The bookkeeping of one stream: which requests went out, and what became of each.

It knows neither sockets, threads nor event loops. `async_stream` and `sync_stream` ask it what
to do next: whether a row may be taken, which message to send, which result to hand on. What the
caller relies on is kept here: every row taken from the input is handed on as one result, or is
named among those without an answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.client.errors import PredictionError, ServerFault
from tailrace.client.prediction import Prediction, outcome_of
from tailrace.client.request import RequestTemplate
from tailrace.client.values import Fields
from tailrace.v1.prediction_service_pb2 import PredictStreamRequest, PredictStreamResponse


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What became of one request of a stream.

    Attributes:
        place: place of its row in the input, from 0.
        request_id: id of the request.
        outcome: the prediction, or why there is none.
    """

    place: int
    request_id: str
    outcome: Prediction | PredictionError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How much of a stream is under way at once.

    Attributes:
        rows_per_message: most requests of one message.
        max_unanswered: most rows that are taken from the input and not yet handed on as results.
        ordered: whether results are handed on in the order of the input.
    """

    rows_per_message: int
    max_unanswered: int
    ordered: bool

    def __post_init__(self) -> None:
        """Raises ValueError if no message fits."""
        if not 1 <= self.rows_per_message <= self.max_unanswered:
            raise ValueError(
                "rows_per_message is at least 1 and at most max_unanswered, not "
                f"{self.rows_per_message} with max_unanswered {self.max_unanswered}"
            )


class StreamBook:
    """Where each row of a stream stands. One thread at a time may use it."""

    def __init__(
        self, template: RequestTemplate, limits: StreamLimits, request_ids: Iterator[str]
    ) -> None:
        """Opens the book.

        Args:
            template: what all requests have in common.
            limits: how much is under way at once.
            request_ids: one id per row, drawn as the rows are taken.
        """
        self._template = template
        self._limits = limits
        self._request_ids = request_ids
        self._message = PredictStreamRequest()
        self._taken = self._sent = self._handed_on = 0
        # The gateway counts what it is sent; a row that cannot be sent has a place all the same.
        self._unanswered: dict[int, tuple[int, str]] = {}
        self._ready: deque[StreamResult] = deque()
        self._held: dict[int, StreamResult] | None = {} if limits.ordered else None

    @property
    def unanswered(self) -> dict[int, str]:
        """The ids of the requests without an answer, by place in the input."""
        return dict(self._unanswered.values())

    def may_take(self) -> bool:
        """Returns whether there is room for one more row."""
        begun, most = len(self._message.requests), self._limits.rows_per_message
        room = self._limits.max_unanswered - (self._taken - self._handed_on)
        if begun:
            return begun < most and room > 0
        # For a whole message: results handed on one by one would make messages of one row each.
        return room >= most

    def take(self, fields: Fields) -> bool:
        """Takes the next row; returns whether it will be sent, or else has its result already.

        Raises:
            ValueError: there is no request id for it; the row is not taken.
        """
        request_id = next(self._request_ids, None)
        if request_id is None:
            raise ValueError(f"{self._taken} request ids for more rows than that")
        place = self._taken
        try:
            self._template.add(self._message, fields, request_id)
        except PredictionError as error:
            self._taken += 1
            self._keep(StreamResult(place, request_id, error))
            return False
        self._taken += 1
        self._unanswered[self._sent] = (place, request_id)
        self._sent += 1
        return True

    def has_message(self) -> bool:
        """Returns whether there are rows to send."""
        return bool(self._message.requests)

    def has_whole_message(self) -> bool:
        """Returns whether the rows to send fill a message."""
        return len(self._message.requests) >= self._limits.rows_per_message

    def message(self) -> PredictStreamRequest | None:
        """Returns the rows to send, whether they fill a message or not; None if there are none."""
        if not self._message.requests:
            return None
        message, self._message = self._message, PredictStreamRequest()
        return message

    def receive(self, response: PredictStreamResponse) -> None:
        """Takes the results that the gateway sent.

        Raises:
            ServerFault: a result that no request waits for.
        """
        for result in response.results:
            request = self._unanswered.pop(result.place, None)
            if request is None:
                raise ServerFault(f"a result for request {result.place}, which waits for none")
            place, request_id = request
            self._keep(StreamResult(place, request_id, outcome_of(result, request_id)))

    def next_result(self) -> StreamResult | None:
        """Returns the next result to hand on; None if there is none yet."""
        if self._held is not None:
            result = self._held.pop(self._handed_on, None)
        else:
            result = self._ready.popleft() if self._ready else None
        if result is not None:
            self._handed_on += 1
        return result

    def broken(self, error: PredictionError) -> PredictionError:
        """Returns the error that ends the stream, with the requests that have no answer.

        What was answered is handed on first, now without waiting for what comes before it.
        """
        if self._held is not None:
            self._ready.extend(self._held[place] for place in sorted(self._held))
            self._held = None
        error.unanswered = self.unanswered
        return error

    def _keep(self, result: StreamResult) -> None:
        if self._held is not None:
            self._held[result.place] = result
        else:
            self._ready.append(result)


def raise_end(failure: Exception | None, rows_error: BaseException | None) -> None:
    """Raises what ended a stream, if anything did.

    Args:
        failure: what broke the stream, or None.
        rows_error: what the rows raised, or None; where the stream broke as well, a note tells it.
    """
    if failure is not None:
        if rows_error is not None:
            failure.add_note(f"The rows had ended before with {rows_error!r}.")
        raise failure
    if rows_error is not None:
        raise rows_error
