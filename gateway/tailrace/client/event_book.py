"""What has been sent of a stream of events, what of it has no answer, and what comes next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.client.errors import InvalidRequest, PredictionError, ServerFault
from tailrace.client.event import Event, EventProblem, EventReport
from tailrace.v1 import error_pb2
from tailrace.v1 import event_service_pb2 as messages

TakeProblem = Callable[[EventProblem], None]

_REASON_PREFIX = "ERROR_REASON_"


@dataclass(slots=True)
class _Batch:
    message: messages.IngestEventsRequest
    places: list[int]


class EventBook:
    """Batches of events in order; after a break, those without an answer come first again."""

    def __init__(
        self,
        event_type: str,
        *,
        batch_events: int,
        max_unanswered: int,
        on_problem: TakeProblem | None = None,
    ) -> None:
        """Starts empty.

        Args:
            event_type: name of the event type.
            batch_events: most events of one batch.
            max_unanswered: most batches that are sent and not answered.
            on_problem: called with each problem, in place of keeping it in the report.

        Raises:
            ValueError: a limit below 1.
        """
        if batch_events < 1 or max_unanswered < 1:
            raise ValueError("batch_events and max_unanswered are at least 1")
        self.report = EventReport()
        self.ended = False
        self._event_type = event_type
        self._batch_events = batch_events
        self._max_unanswered = max_unanswered
        self._on_problem = on_problem or self.report.problems.append
        self._next: _Batch | None = None
        self._unanswered: deque[_Batch] = deque()
        self._sent = 0
        self._places = 0
        self._numbers = 0

    @property
    def is_empty(self) -> bool:
        """Whether the next batch has no events yet."""
        return self._next is None

    @property
    def is_full(self) -> bool:
        """Whether the next batch takes no more events."""
        return self._next is not None and len(self._next.places) >= self._batch_events

    @property
    def has_more(self) -> bool:
        """Whether anything taken has no answer yet."""
        return bool(self._unanswered) or self._next is not None

    @property
    def unanswered(self) -> dict[int, str]:
        """The ids of the events that were taken and have no answer, by place."""
        batches = [*self._unanswered, *([self._next] if self._next else [])]
        return {
            place: event.id
            for batch in batches
            for place, event in zip(batch.places, batch.message.events, strict=True)
        }

    def take(self, event: Event) -> None:
        """Adds an event to the next batch; one that cannot be sent is refused here."""
        place = self._places
        self._places += 1
        try:
            message = event.to_message()
        except InvalidRequest as error:
            self.report.refused += 1
            reason = error.reason or "INVALID_EVENT"
            self._on_problem(
                EventProblem(place, str(event.id), "", reason, error.message, error.field)
            )
            return
        if self._next is None:
            self._numbers += 1
            request = messages.IngestEventsRequest(batch=self._numbers, event=self._event_type)
            self._next = _Batch(request, [])
        self._next.message.events.append(message)
        self._next.places.append(place)

    def request(self) -> messages.IngestEventsRequest | None:
        """Returns the next batch to send; None if there is none, or none may be sent now."""
        if self._sent < len(self._unanswered):
            self._sent += 1
            return self._unanswered[self._sent - 1].message
        if self._next is None or len(self._unanswered) >= self._max_unanswered:
            return None
        batch, self._next = self._next, None
        self._unanswered.append(batch)
        self._sent += 1
        return batch.message

    def restart(self) -> None:
        """Notes that the stream broke: what has no answer is sent again."""
        self.report.sent_again += self._sent
        self._sent = 0

    def receive(self, answer: messages.IngestEventsResponse) -> None:
        """Notes the answer to the oldest batch. Raises ServerFault if it is to another one."""
        if not self._sent or self._unanswered[0].message.batch != answer.batch:
            raise ServerFault(f"an answer to batch {answer.batch}, which is not the next one")
        batch = self._unanswered.popleft()
        self._sent -= 1
        self.report.accepted += answer.accepted
        self.report.duplicates += answer.duplicates
        self.report.refused += answer.refused
        for problem in answer.problems:
            self._on_problem(_problem(batch, problem))

    def broken(self, error: PredictionError) -> PredictionError:
        """Returns the error that ends the stream, with the events that have no answer."""
        error.unanswered = self.unanswered
        return error


def _problem(batch: _Batch, problem: messages.EventProblem) -> EventProblem:
    if problem.index >= len(batch.places):
        raise ServerFault(f"a problem of event {problem.index}, which its batch does not have")
    if problem.reason in error_pb2.ErrorReason.values():
        reason = error_pb2.ErrorReason.Name(problem.reason).removeprefix(_REASON_PREFIX)
    else:
        reason = str(problem.reason)
    return EventProblem(
        place=batch.places[problem.index],
        id=batch.message.events[problem.index].id,
        view=problem.view,
        reason=reason,
        message=problem.message,
        field=problem.field,
    )
