"""The client of the event service for programs without asyncio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import grpc

from tailrace.client.errors import PredictionError, ServerFault, error_of_call
from tailrace.client.event import Event, EventReport
from tailrace.client.event_book import EventBook, TakeProblem
from tailrace.client.event_retries import EventRetries
from tailrace.client.stream_book import raise_end
from tailrace.client.sync_connection import SyncConnection
from tailrace.client.trace_headers import TRACEPARENT, in_trace_of_now
from tailrace.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse

OpenCall = Callable[[Iterator[IngestEventsRequest]], Iterator[IngestEventsResponse]]


class EventClient(SyncConnection):
    """Sends events to an event service, `tailrace serve events`. Threads may share it."""

    def send(
        self,
        event_type: str,
        events: Iterable[Event],
        *,
        batch_events: int = 500,
        max_unanswered: int = 8,
        retry_s: float = 60.0,
        traceparent: str = "",
        on_answer: Callable[[EventReport], None] | None = None,
        on_problem: TakeProblem | None = None,
    ) -> EventReport:
        """Returns once every event is acknowledged: lookups see what was accepted.

        Events are taken from `events` as they can be sent, on a thread of its own, and those at
        hand are sent without waiting for those that would fill a batch. Send them in the order in
        which they became known. While the service is UNAVAILABLE, what has no acknowledgement is
        sent again, in the same order; each event still counts once.

        Args:
            event_type: name of the event type.
            events: the events.
            batch_events: most events of one batch, which has to stay within the largest message.
            max_unanswered: most batches that are sent and not acknowledged.
            retry_s: how long to try again without an acknowledgement, in seconds.
            traceparent: names the span that they are sent in, as W3C's header; by default, the
                current span of OpenTelemetry, if there is one.
            on_answer: called with the report so far after each acknowledgement.
            on_problem: called with each problem, in place of keeping it in the report.

        Raises:
            PredictionError: the stream broke; `unanswered` says which events that were taken have
                no acknowledgement. Some of them may have been taken in.
            ValueError: a limit below 1.
            Exception: what `events` raised, once all that was taken is acknowledged.
        """
        book = EventBook(
            event_type,
            batch_events=batch_events,
            max_unanswered=max_unanswered,
            on_problem=on_problem,
        )

        def headers() -> tuple[tuple[str, str], ...]:
            if not traceparent:
                return self._headers()
            return *self._metadata, (TRACEPARENT, traceparent)

        def open_call(requests: Iterator[IngestEventsRequest]) -> Iterator[IngestEventsResponse]:
            return self._event_stub().IngestEvents(requests, metadata=headers())

        sending = _Sending(book, events, in_trace_of_now(open_call), on_answer)
        try:
            sending.run(EventRetries(retry_s))
        except PredictionError as error:
            raise book.broken(error) from error.__cause__
        return book.report


class _Sending:
    def __init__(
        self,
        book: EventBook,
        events: Iterable[Event],
        open_call: OpenCall,
        on_answer: Callable[[EventReport], None] | None,
    ) -> None:
        self._book = book
        self._events = events
        self._open_call = open_call
        self._on_answer = on_answer
        # Guards the book.
        self._changed = threading.Condition()
        self._attempts = 0
        self._left = False
        self._events_error: BaseException | None = None

    def run(self, retries: EventRetries) -> None:
        taking = threading.Thread(target=self._take, name="tailrace-events", daemon=True)
        taking.start()
        try:
            while self._has_work():
                try:
                    self._attempt(retries, self._requests(self._attempts))
                except PredictionError as error:
                    time.sleep(retries.pause_s(error, self._book.has_more))
                    with self._changed:
                        self._book.restart()
        except PredictionError:
            # What is just being taken belongs to what the error names.
            self._leave()
            taking.join()
            raise
        finally:
            self._leave()
        raise_end(None, self._events_error)

    def _leave(self) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def _has_work(self) -> bool:
        """Waits for an event that has no answer; returns whether there is one, or their end."""
        with self._changed:
            while not self._book.has_more and not self._book.ended:
                self._changed.wait()
            self._attempts += 1
            return self._book.has_more

    def _attempt(self, retries: EventRetries, requests: Iterator[IngestEventsRequest]) -> None:
        try:
            for answer in self._open_call(requests):
                with self._changed:
                    self._book.receive(answer)
                    self._changed.notify_all()
                retries.succeeded()
                if self._on_answer is not None:
                    self._on_answer(self._book.report)
        except grpc.RpcError as error:
            raise error_of_call(error) from error
        finally:
            with self._changed:
                # What this attempt would still send is for the next one.
                self._attempts += 1
                self._changed.notify_all()
        if self._book.has_more or not self._book.ended:
            raise ServerFault("the event service ended the stream too early")

    def _requests(self, attempt: int) -> Iterator[IngestEventsRequest]:
        while True:
            with self._changed:
                request = None
                while request is None:
                    if self._attempts != attempt:
                        return
                    request = self._book.request()
                    if request is None:
                        if self._book.ended and not self._book.has_more:
                            return
                        self._changed.wait()
            yield request

    def _take(self) -> None:
        """Takes events until they end, or nobody wants them any more."""
        try:
            for event in self._events:
                with self._changed:
                    was_empty = self._book.is_empty
                    self._book.take(event)
                    if was_empty or self._book.is_full:
                        self._changed.notify_all()
                    while self._book.is_full and not self._left:
                        self._changed.wait()
                    if self._left:
                        return
        except BaseException as error:
            self._events_error = error
        finally:
            with self._changed:
                self._book.ended = True
                self._changed.notify_all()
