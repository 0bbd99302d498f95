"""One stream of requests and results: reads only what it can answer, writes what is ready."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from google.rpc import status_pb2

from tailrace.gateway.arrival import Arrival
from tailrace.gateway.convoy import Outcome
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import (
    DeadlineExceeded,
    LimitExceeded,
    Reason,
    TailraceError,
    Unavailable,
)
from tailrace.v1 import prediction_service_pb2

Message = prediction_service_pb2.PredictStreamRequest
Reply = prediction_service_pb2.PredictStreamResponse

RESULTS_PER_MESSAGE = 256
# Of the largest message: what is left is for the frames around the results.
MESSAGE_SHARE = 0.9


class PredictionStream:
    """Answers the requests of one call, in the order in which they are done."""

    def __init__(
        self,
        predictor: Predictor,
        settings: GatewaySettings,
        trace: Mapping[str, str],
        read: Callable[[], Awaitable[Message | None]],
        write: Callable[[Reply], Awaitable[None]],
        time_remaining: Callable[[], float | None],
        draining: asyncio.Event,
    ) -> None:
        """Keeps the parts.

        Args:
            predictor: makes the predictions.
            settings: limits and timeouts.
            trace: W3C trace headers of the call.
            read: returns the next message, or None after the last.
            write: sends a message; returns once the transport takes more, and raises
                DeadlineExceeded where it does not.
            time_remaining: seconds until the call's deadline, or None if it has none.
            draining: set once the process is to end.
        """
        self._draining = draining
        self._predictor = predictor
        self._trace = trace
        self._read = read
        self._write = write
        self._time_remaining = time_remaining
        self._max_rows = settings.max_batch_rows
        self._max_unanswered = settings.stream_max_unanswered
        self._max_bytes = int(settings.max_message_bytes * MESSAGE_SHARE)
        self._idle_s = settings.stream_idle_timeout_ms / 1000
        self._arrivals: list[Arrival] = []
        self._ready: deque[tuple[int, str, Outcome]] = deque()
        self._places = 0
        self._unanswered = 0
        self._something_new = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Returns once every request has been read and answered.

        Raises:
            DeadlineExceeded: nothing was asked for the idle timeout, or no answer was taken.
            LimitExceeded: one message had far too many requests.
            Unavailable: the process is to end; what had been read is answered.
            asyncio.CancelledError: the caller left; what was not answered ends here.
        """
        reading = asyncio.create_task(self._read_requests())
        reading.add_done_callback(lambda _: self._something_new.set())
        watching = asyncio.create_task(self._draining.wait())
        watching.add_done_callback(lambda _: self._something_new.set())
        try:
            await self._write_results(reading)
            await reading
        finally:
            reading.cancel()
            watching.cancel()
            for arrival in self._arrivals:
                arrival.abandon()
            await asyncio.wait([reading, watching])

    async def _read_requests(self) -> None:
        while not self._draining.is_set():
            self._room.clear()
            if self._unanswered >= self._max_unanswered:
                await self._room.wait()
                continue
            message = await self._read()
            if message is None:
                return
            self._submit(message)

    def _submit(self, message: Message) -> None:
        requests, first = message.requests, self._places
        # As many as a stream can have unanswered are refused one by one. Of empty requests a
        # message holds millions, and to answer each would take far longer than to send them.
        if len(requests) > self._max_rows + self._max_unanswered:
            raise self._too_many(len(requests))
        self._places += len(requests)
        self._unanswered += len(requests)
        if len(requests) > self._max_rows:
            error = self._too_many(len(requests))
            for place, request in enumerate(requests, first):
                self._take(place, request.request_id, error)
            return
        arrival = self._predictor.submit(
            requests, self._time_remaining(), self._trace, first, self._take
        )
        self._arrivals = [earlier for earlier in self._arrivals if earlier.waits]
        self._arrivals.append(arrival)

    def _too_many(self, count: int) -> LimitExceeded:
        return LimitExceeded(
            f"{count} requests, at most {self._max_rows} are allowed", field="requests"
        )

    def _take(self, place: int, request_id: str, outcome: Outcome) -> None:
        self._ready.append((place, request_id, outcome))
        self._something_new.set()

    async def _write_results(self, reading: asyncio.Task[None]) -> None:
        """Returns once all is answered; also once reading has failed, which `reading` tells."""
        places_seen = 0
        while True:
            self._something_new.clear()
            while self._ready:
                await self._write_one(self._next_reply())
            if self._draining.is_set() and not self._unanswered:
                raise Unavailable("the gateway is shutting down", reason=Reason.DRAINING)
            if reading.done() and (not self._unanswered or reading.exception() is not None):
                return
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._something_new.wait()
            except TimeoutError as error:
                if self._places == places_seen and not self._unanswered:
                    raise DeadlineExceeded(f"no request came for {self._idle_s:g} s") from error
                places_seen = self._places

    def _next_reply(self) -> Reply:
        reply = Reply()
        size = 0
        while self._ready and len(reply.results) < RESULTS_PER_MESSAGE:
            place, request_id, outcome = self._ready[0]
            content = status_of(outcome) if isinstance(outcome, TailraceError) else outcome
            size += content.ByteSize()
            if size > self._max_bytes and len(reply.results):
                break
            self._ready.popleft()
            result = reply.results.add(place=place, request_id=request_id)
            if isinstance(content, status_pb2.Status):
                result.error.CopyFrom(content)
            else:
                result.response.CopyFrom(content)
        return reply

    async def _write_one(self, reply: Reply) -> None:
        await self._write(reply)
        self._unanswered -= len(reply.results)
        self._room.set()
