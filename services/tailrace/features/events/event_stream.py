"""One stream of batches and their answers, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from tailrace.features.events.applier import Lane
from tailrace.features.events.event_metrics import BATCHES_IN_PROGRESS
from tailrace.features.events.event_span import call_span
from tailrace.features.events.intake import EventIntake, TakenBatch
from tailrace.features.events.problem import BatchOutcome
from tailrace.features.events.room import Room, bytes_of
from tailrace.runtime.config import EventsSettings
from tailrace.runtime.errors import (
    DeadlineExceeded,
    LimitExceeded,
    Reason,
    Unavailable,
)
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse

# Of the largest message: what is left is for the frames around the problems.
MESSAGE_SHARE = 0.9

MAX_ANSWER_BYTES = 1024 * 1024
"""With more in answers that its caller has not read, nothing more is read of a stream."""


class EventStream:
    """Answers the batches of one call, each once lookups see its events."""

    def __init__(
        self,
        intake: EventIntake,
        room: Room,
        settings: EventsSettings,
        read: Callable[[], Awaitable[IngestEventsRequest | None]],
        write: Callable[[IngestEventsResponse], Awaitable[None]],
        draining: asyncio.Event,
        trace: TraceContext | None = None,
    ) -> None:
        """Keeps the parts.

        Args:
            intake: takes in the batches.
            room: shared with all other streams: bounds what they have in progress.
            settings: limits and timeouts.
            read: returns the next message, or None after the last.
            write: sends a message; returns once the transport takes more, and raises
                DeadlineExceeded where it does not.
            draining: set once the process is to end.
            trace: the place of the caller's span; None where the call is not traced.
        """
        self._tracing = process_tracing()
        self._trace = trace
        self._intake = intake
        self._shared_room = room
        self._read = read
        self._write = write
        self._draining = draining
        self._max_events = settings.max_batch_rows
        self._max_unanswered = settings.events_max_unanswered
        self._max_bytes = int(settings.max_message_bytes * MESSAGE_SHARE)
        self._idle_s = settings.events_idle_timeout_ms / 1000
        self._lane = Lane()
        self._answers: deque[asyncio.Task[IngestEventsResponse]] = deque()
        self._answer_bytes = 0
        self._unanswered = 0
        self._read_so_far = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Returns once every batch has been read and answered.

        Raises:
            DeadlineExceeded: nothing was sent for the idle timeout, or no answer was taken.
            LimitExceeded: a batch had too many events; those before it are answered.
            Unavailable: the store does not take in events, and what is not answered was perhaps
                not taken in; or the process is to end, and what had been read is answered.
            asyncio.CancelledError: the caller left.
        """
        reading = asyncio.create_task(self._read_batches())
        reading.add_done_callback(lambda _: self._news.set())
        watching = asyncio.create_task(self._draining.wait())
        watching.add_done_callback(lambda _: self._news.set())
        try:
            await self._write_answers(reading)
            await reading
        finally:
            self._lane.close()
            BATCHES_IN_PROGRESS.dec(self._unanswered)
            tasks = [reading, watching, *self._answers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_batches(self) -> None:
        while not self._draining.is_set():
            self._room.clear()
            if self._unanswered >= self._max_unanswered or self._answer_bytes > MAX_ANSWER_BYTES:
                await self._room.wait()
                continue
            message = await self._read()
            if message is None:
                return
            await self._begin(message)

    async def _begin(self, message: IngestEventsRequest) -> None:
        self._read_so_far += 1
        if len(message.events) > self._max_events:
            raise LimitExceeded(
                f"{len(message.events)} events in one batch, at most {self._max_events} are "
                "allowed",
                field="events",
            )
        size = bytes_of(message)
        await self._shared_room.take(size)
        try:
            taken = self._intake.begin(message.event, message.events, self._lane)
        except BaseException:
            self._shared_room.give_back(size)
            raise
        task = asyncio.create_task(self._answer_traced(message, taken))
        # Not only once it is sent: who does not read answers must not keep others waiting.
        task.add_done_callback(lambda _: self._shared_room.give_back(size))
        self._answers.append(task)
        self._unanswered += 1
        BATCHES_IN_PROGRESS.inc()
        self._news.set()

    async def _write_answers(self, reading: asyncio.Task[None]) -> None:
        """Returns once all is answered; also once reading has failed, which `reading` tells."""
        while True:
            self._news.clear()
            while self._answers:
                answer = await asyncio.shield(self._answers[0])
                self._answers.popleft()
                await self._write(answer)
                self._unanswered -= 1
                self._answer_bytes -= answer.ByteSize()
                BATCHES_IN_PROGRESS.dec()
                self._room.set()
            if reading.done():
                return
            if self._draining.is_set():
                raise Unavailable("the event service is shutting down", reason=Reason.DRAINING)
            read_before = self._read_so_far
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._news.wait()
            except TimeoutError as error:
                if self._read_so_far == read_before:
                    raise DeadlineExceeded(f"no batch came for {self._idle_s:g} s") from error

    async def _answer_traced(
        self, message: IngestEventsRequest, taken: TakenBatch
    ) -> IngestEventsResponse:
        if self._trace is None:
            return await self._answer_to(message.batch, taken)
        count = len(message.events)
        attributes, span = call_span(self._tracing, self._trace, message.event, count)
        with span:
            answer = await self._answer_to(message.batch, taken)
            attributes[names.REFUSED] = answer.refused
            return answer

    async def _answer_to(self, number: int, taken: TakenBatch) -> IngestEventsResponse:
        # At once, as a message takes a fraction of what the outcome does.
        answer = self._answer(number, await taken.outcome())
        self._answer_bytes += answer.ByteSize()
        return answer

    def _answer(self, number: int, outcome: BatchOutcome) -> IngestEventsResponse:
        answer = IngestEventsResponse(
            batch=number,
            accepted=outcome.accepted,
            duplicates=outcome.duplicates,
            refused=outcome.refused,
        )
        for problem in outcome.problems:
            answer.problems.add(
                index=problem.index,
                view=problem.view,
                reason=int(problem.reason),
                message=problem.message,
                field=problem.field,
            )
        if answer.ByteSize() > self._max_bytes:
            # Which, where and why has room for as many events as a batch may hold.
            for each in answer.problems:
                each.message = ""
        return answer
