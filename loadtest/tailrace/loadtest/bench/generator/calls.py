"""One message per call: closed loop, open loop, and every message once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import grpc.aio

from tailrace.loadtest.bench.generator.answers import answer_reader
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order, Outcome
from tailrace.loadtest.bench.generator.tally import Tally
from tailrace.loadtest.bench.generator.ticks import Ticks

TIMEOUT_S = 10.0

Call: TypeAlias = Callable[[bytes], Awaitable[bytes]]
Send: TypeAlias = Callable[[Call, int], Awaitable[bool]]


async def every_score(
    channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages
) -> Outcome:
    """Returns the scores of the first messages, asked for one after the other.

    Raises:
        grpc.aio.AioRpcError: one was not answered.
    """
    call = _calls(channels, order.endpoint)[0]
    read = answer_reader(order.endpoint)
    outcome = Outcome()
    for message in messages.data[: order.messages]:
        scores = read(await call(message)).scores
        outcome.scores += scores
        outcome.answered += len(scores)
    return outcome


async def closed_loop(
    channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages
) -> Outcome:
    """Returns what came of keeping `in_flight` messages in flight until the order ends."""
    tally = Tally(order, messages)
    await keep_in_flight(channels, order, tally, _sender(order, messages, tally))
    return tally.outcome


async def open_loop(
    channels: Sequence[grpc.aio.Channel], order: Order, messages: Messages
) -> Outcome:
    """Returns what came of sending at a fixed rate, however long answers take.

    Latency counts from the instant at which a message should have been sent.
    """
    tally = Tally(order, messages)
    await send_at_rate(channels, order, tally, _sender(order, messages, tally))
    return tally.outcome


async def keep_in_flight(
    channels: Sequence[grpc.aio.Channel],
    order: Order,
    tally: Tally,
    send: Send,
    may_send: Callable[[], Awaitable[bool]] | None = None,
) -> None:
    """Keeps `in_flight` messages in flight until the order ends.

    Args:
        channels: used in turn.
        order: what to do.
        tally: takes the latencies.
        send: sends the message at a place; returns whether it was answered.
        may_send: returns once one more may be sent; False if none is to be sent any more.
    """
    calls = itertools.cycle(_calls(channels, order.endpoint))
    places = tally.places()
    await asyncio.sleep(order.starts_at - time.monotonic())

    async def caller(call: Call) -> None:
        while may_send is None or await may_send():
            if (begun_ns := time.monotonic_ns()) >= tally.ends_ns:
                return
            if await send(call, next(places)):
                ended_ns = time.monotonic_ns()
                if tally.in_window(ended_ns):
                    tally.take_latency(begun_ns, ended_ns)

    await asyncio.gather(*(caller(next(calls)) for _ in range(order.in_flight)))


async def send_at_rate(
    channels: Sequence[grpc.aio.Channel], order: Order, tally: Tally, send: Send
) -> None:
    """Sends at a fixed rate; arguments are those of `keep_in_flight`."""
    calls = itertools.cycle(_calls(channels, order.endpoint))
    places = tally.places()

    async def caller(call: Call, place: int, intended_ns: int) -> None:
        if await send(call, place) and tally.in_window(intended_ns):
            tally.take_latency(intended_ns, time.monotonic_ns())

    async with Ticks(order.rate, order.starts_at) as ticks, asyncio.TaskGroup() as group:
        while True:
            for intended_ns in await ticks.due():
                if intended_ns >= tally.ends_ns:
                    return
                group.create_task(caller(next(calls), next(places), intended_ns))


def _sender(order: Order, messages: Messages, tally: Tally) -> Send:
    read = answer_reader(order.endpoint)
    rows = order.endpoint.rows

    async def send(call: Call, place: int) -> bool:
        try:
            data = await call(messages.data[place])
        except grpc.aio.AioRpcError as error:
            tally.fail(error.code().name, rows)
            return False
        tally.count(rows)
        if tally.is_sample:
            tally.check(place, read(data))
        return True

    return send


def _calls(channels: Sequence[grpc.aio.Channel], endpoint: Endpoint) -> list[Call]:
    def bind(channel: grpc.aio.Channel) -> Call:
        # Without serialisers: bytes go out and come in as they are.
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            endpoint.method
        )
        return lambda message: method(message, timeout=TIMEOUT_S)

    return [bind(channel) for channel in channels]
