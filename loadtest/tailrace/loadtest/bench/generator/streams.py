"""Many requests per message, on bidirectional streams of the mesh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio
from google.rpc import code_pb2

from tailrace.loadtest.bench.generator.answers import response_reading
from tailrace.loadtest.bench.generator.calls import TIMEOUT_S
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order, Outcome
from tailrace.loadtest.bench.generator.tally import Tally
from tailrace.v1 import prediction_service_pb2


@dataclass(slots=True)
class _Sent:
    """A message under way.

    Attributes:
        place: among the messages.
        begun_ns: when it was written.
        left: rows without an outcome.
        failed: whether one of its rows got an error.
    """

    place: int
    begun_ns: int
    left: int
    failed: bool = False


class _Stream:
    """One stream, with some messages in flight."""

    def __init__(self, channel: grpc.aio.Channel, order: Order, in_flight: int) -> None:
        """Opens the stream for as long as the order takes."""
        lasts_s = order.ramp_s + order.seconds + 2 * TIMEOUT_S
        self._call = _open(channel, order.endpoint, lasts_s)
        self._endpoint = order.endpoint
        self._free = asyncio.Semaphore(in_flight)
        self._sent: dict[int, _Sent] = {}

    async def run(self, tally: Tally, messages: Messages) -> None:
        """Sends until the tally ends, and takes all results in."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(tally, messages))
            group.create_task(self._read(tally))

    async def _write(self, tally: Tally, messages: Messages) -> None:
        for number, place in enumerate(tally.places()):
            await self._free.acquire()
            begun_ns = time.monotonic_ns()
            if begun_ns >= tally.ends_ns:
                break
            self._sent[number] = _Sent(place, begun_ns, self._endpoint.rows)
            await self._call.write(messages.data[place])
        await self._call.done_writing()

    async def _read(self, tally: Tally) -> None:
        while isinstance(data := await self._call.read(), bytes):
            # All of it is parsed, as an error stands inside an answer here.
            answer = prediction_service_pb2.PredictStreamResponse.FromString(data)
            checks = tally.is_sample
            answered = sum(self._take(tally, result, checks) for result in answer.results)
            tally.count(answered)
        if self._sent:
            raise RuntimeError(f"a stream ended with {len(self._sent)} messages unanswered")

    def _take(
        self, tally: Tally, result: prediction_service_pb2.PredictStreamResult, checks: bool
    ) -> bool:
        number, row = divmod(result.place, self._endpoint.rows)
        sent = self._sent[number]
        sent.left -= 1
        answered = result.HasField("response")
        if not answered:
            sent.failed = True
            tally.fail(code_pb2.Code.Name(result.error.code), 1)
        elif checks:
            reading = response_reading(result.response, self._endpoint.placement)
            tally.check(sent.place, reading, row)
        if not sent.left:
            self._finish(tally, number)
        return answered

    def _finish(self, tally: Tally, number: int) -> None:
        sent = self._sent.pop(number)
        self._free.release()
        ended_ns = time.monotonic_ns()
        if not sent.failed and tally.in_window(ended_ns):
            tally.take_latency(sent.begun_ns, ended_ns)


async def stream_loop(
    channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages
) -> Outcome:
    """Returns what came of keeping `in_flight` messages in flight, spread over all streams.

    There is one stream per connection, and latencies are those of whole messages: from writing
    one until the last of its results.
    """
    tally = Tally(order, messages)
    await asyncio.sleep(order.starts_at - time.monotonic())
    streams = min(len(channels), order.in_flight)
    async with asyncio.TaskGroup() as group:
        for place, channel in enumerate(channels[:streams]):
            share = order.in_flight // streams + (place < order.in_flight % streams)
            group.create_task(_Stream(channel, order, share).run(tally, messages))
    return tally.outcome


async def every_stream_score(
    channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages
) -> Outcome:
    """Returns the scores of the first messages, in the order of their rows.

    Raises:
        RuntimeError: a row was not answered.
    """
    call = _open(channels[0], order.endpoint, TIMEOUT_S)
    for message in messages.data[: order.messages]:
        await call.write(message)
    await call.done_writing()
    scores: dict[int, float] = {}
    while isinstance(data := await call.read(), bytes):
        for result in prediction_service_pb2.PredictStreamResponse.FromString(data).results:
            if not result.HasField("response"):
                raise RuntimeError(f"row {result.place} of a stream failed: {result.error}")
            reading = response_reading(result.response, order.endpoint.placement)
            (scores[result.place],) = reading.scores
    return Outcome(answered=len(scores), scores=[scores[place] for place in sorted(scores)])


def _open(
    channel: grpc.aio.Channel, endpoint: Endpoint, timeout_s: float
) -> grpc.aio.StreamStreamCall[bytes, bytes]:
    # Without serialisers: bytes go out and come in as they are.
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
        endpoint.method
    )
    return method(timeout=timeout_s)
