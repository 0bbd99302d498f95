"""Submissions, one or many per message, and the wait for their results at a receiver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import grpc.aio
from google.rpc import code_pb2

from tailrace.loadtest.bench.delivery_feed import FeedReader, digest_of, digest_text
from tailrace.loadtest.bench.generator.calls import Call, keep_in_flight, send_at_rate
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Order, Outcome
from tailrace.loadtest.bench.generator.tally import Tally
from tailrace.v1 import prediction_service_pb2

# Without a single delivery, when results are missing.
_SILENCE_S = 30.0


class _Submissions:
    """What one order has submitted.

    Attributes:
        tally: counts.
        sent: rows sent, but for those refused.
    """

    def __init__(self, order: Order, messages: Messages, feed: FeedReader | None) -> None:
        self.tally = Tally(order, messages)
        self.sent = 0
        self._order = order
        self._messages = messages
        self._feed = feed
        self._digests: list[int] = []
        self._read = _read_one if order.endpoint.rows == 1 else _read_many

    async def may_send(self) -> bool:
        """Returns once there are few enough without a result; False if all have been sent."""
        order, rows = self._order, self._order.endpoint.rows
        if order.rows and self.sent >= order.rows:
            return False
        if self._feed is not None and order.outstanding:
            while self.sent + rows - self._feed.taken > order.outstanding:
                await self._feed.changed()
        # Counted before anybody else looks.
        self.sent += rows
        return True

    async def send(self, call: Call, place: int) -> bool:
        """Sends a message; returns whether all of its submissions were acknowledged."""
        rows, tally = self._order.endpoint.rows, self.tally
        try:
            data = await call(self._messages.data[place])
        except grpc.aio.AioRpcError as error:
            tally.fail(error.code().name, rows)
            self.sent -= rows
            return False
        ids = self._read(data, tally)
        self._digests += map(digest_of, ids)
        self.sent -= rows - len(ids)
        tally.count(len(ids))
        return len(ids) == rows

    async def all_delivered(self) -> None:
        """Returns once a result of each has been delivered.

        Raises:
            TimeoutError: some are missing.
        """
        assert self._feed is not None
        while self._feed.taken < len(self._digests):
            async with asyncio.timeout(_SILENCE_S):
                await self._feed.changed()

    def outcome(self) -> Outcome:
        """Returns what came of it."""
        self.tally.outcome.digests = digest_text(self._digests)
        return self.tally.outcome


async def submit(channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages) -> Outcome:
    """Returns what came of an order that submits, once all results are there if it has a feed."""
    if not order.feed:
        submissions = _Submissions(order, messages, None)
        await _submit(channels, order, submissions)
        return submissions.outcome()
    async with FeedReader(order.feed) as feed:
        submissions = _Submissions(order, messages, feed)
        window = asyncio.create_task(_delivered_within(feed, order))
        await _submit(channels, order, submissions)
        submissions.tally.outcome.delivered = await window
        await submissions.all_delivered()
    return submissions.outcome()


async def _submit(
    channels: Sequence[grpc.aio.Channel], order: Order, submissions: _Submissions
) -> None:
    tally = submissions.tally
    if order.work == "open":
        await send_at_rate(channels, order, tally, submissions.send)
    else:
        await keep_in_flight(channels, order, tally, submissions.send, submissions.may_send)


async def _delivered_within(feed: FeedReader, order: Order) -> int:
    """Returns how many results come within the measured time."""
    begins = order.starts_at + order.ramp_s
    await asyncio.sleep(begins - time.monotonic())
    before = feed.taken
    await asyncio.sleep(begins + order.seconds - time.monotonic())
    return feed.taken - before


def _read_one(data: bytes, tally: Tally) -> list[str]:
    answer = prediction_service_pb2.SubmitPredictionResponse.FromString(data)
    return [answer.submitted.prediction_id]


def _read_many(data: bytes, tally: Tally) -> list[str]:
    answer = prediction_service_pb2.SubmitPredictionsResponse.FromString(data)
    ids = []
    for result in answer.results:
        if result.HasField("submitted"):
            ids.append(result.submitted.prediction_id)
        else:
            tally.fail(code_pb2.Code.Name(result.error.code), 1)
    return ids
