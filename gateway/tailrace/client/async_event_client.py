"""The client of the event service for programs on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TypeAlias

import grpc
import grpc.aio

from tailrace.client.async_connection import AsyncConnection
from tailrace.client.call_end import CallEnd
from tailrace.client.errors import PredictionError, ServerFault, error_of_call
from tailrace.client.event import Event, EventReport
from tailrace.client.event_book import EventBook, TakeProblem
from tailrace.client.event_retries import EventRetries
from tailrace.client.stream_book import raise_end
from tailrace.client.trace_headers import TRACEPARENT, in_trace_of_now
from tailrace.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse

Call: TypeAlias = grpc.aio.StreamStreamCall[IngestEventsRequest, IngestEventsResponse]
Answered = Callable[[EventReport], None]


class AsyncEventClient(AsyncConnection):
    """Sends events to an event service, `tailrace serve events`.

    Connections are opened by the first call, on the event loop that it runs on.
    """

    async def send(
        self,
        event_type: str,
        events: Iterable[Event] | AsyncIterable[Event],
        *,
        batch_events: int = 500,
        max_unanswered: int = 8,
        retry_s: float = 60.0,
        traceparent: str = "",
        on_answer: Answered | None = None,
        on_problem: TakeProblem | None = None,
    ) -> EventReport:
        """Returns once every event is acknowledged: lookups see what was accepted.

        Events are taken from `events` as they can be sent, and those at hand are sent without
        waiting for those that would fill a batch. Send them in the order in which they became
        known. While the service is UNAVAILABLE, what has no acknowledgement is sent again, in the
        same order; each event still counts once.

        Args:
            event_type: name of the event type.
            events: the events. An iterable that has to wait for its next one should be
                asynchronous: a plain one keeps the event loop waiting.
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

        def open_call() -> Call:
            return self._event_stub().IngestEvents(metadata=headers())

        sending = _Sending(book, events, in_trace_of_now(open_call), on_answer or _nothing)
        try:
            await sending.run(EventRetries(retry_s))
        except PredictionError as error:
            raise book.broken(error) from error.__cause__
        return book.report


class _Sending:
    def __init__(
        self,
        book: EventBook,
        events: Iterable[Event] | AsyncIterable[Event],
        open_call: Callable[[], Call],
        on_answer: Answered,
    ) -> None:
        self._book = book
        self._events = aiter(events) if isinstance(events, AsyncIterable) else _each(events)
        self._open_call = open_call
        self._on_answer = on_answer
        self._room, self._work = asyncio.Event(), asyncio.Event()
        self._events_error: BaseException | None = None

    async def run(self, retries: EventRetries) -> None:
        taking = asyncio.create_task(self._take())
        try:
            while await self._has_work():
                try:
                    await self._attempt(retries)
                except PredictionError as error:
                    await asyncio.sleep(retries.pause_s(error, self._book.has_more))
                    self._book.restart()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        raise_end(None, self._events_error)

    async def _has_work(self) -> bool:
        while not self._book.has_more and not self._book.ended:
            self._work.clear()
            await self._work.wait()
        return self._book.has_more

    async def _take(self) -> None:
        try:
            async for event in self._events:
                self._book.take(event)
                self._work.set()
                while self._book.is_full:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._events_error = error
        finally:
            self._book.ended = True
            self._work.set()

    async def _attempt(self, retries: EventRetries) -> None:
        call = self._open_call()
        end = CallEnd(call)
        sending = asyncio.create_task(self._send(call))
        try:
            async for answer in call:
                self._book.receive(answer)
                retries.succeeded()
                self._on_answer(self._book.report)
                self._work.set()
        except grpc.aio.AioRpcError as seen:
            error = await end.status(seen)
            if error.code() is not grpc.StatusCode.OK:
                raise error_of_call(error) from error
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            call.cancel()
        if self._book.has_more or not self._book.ended:
            raise ServerFault("the event service ended the stream too early")

    async def _send(self, call: Call) -> None:
        try:
            while True:
                request = self._book.request()
                if request is not None:
                    self._room.set()
                    await call.write(request)
                elif self._book.ended and not self._book.has_more:
                    await call.done_writing()
                    return
                else:
                    self._work.clear()
                    await self._work.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended; why is for the reader to say, which no call lacks.
            return


def _nothing(report: EventReport) -> None:
    """Takes note of nothing."""


async def _each(events: Iterable[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event
