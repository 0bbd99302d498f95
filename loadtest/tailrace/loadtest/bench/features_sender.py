"""Sends events to the event service, in a process of its own.

`python -m … TARGET`: reads an order as JSON per line of its input, and answers each with a line.
Messages are serialised before the clock starts, as those of the other benchmarks are.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
import numpy as np
import uvloop

from tailrace.loadtest.bench.features_data import EVENT, EVENT_ENTITIES, KEY
from tailrace.v1 import event_service_pb2

_METHOD = "/tailrace.v1.EventService/IngestEvents"
# Events lie so far before now; each is a little later than the one before it.
_BEHIND_NS = 1_000_000_000
_APART_NS = 1_000


def messages(first: int, events: int, batch: int) -> list[bytes]:
    """Returns serialised batches of events of random entities, no id twice.

    Args:
        first: number of the first event, which makes its id.
        events: how many.
        batch: events of one message.
    """
    chance = np.random.default_rng(first)
    entities = chance.integers(0, EVENT_ENTITIES, events).tolist()
    amounts = chance.random(events).tolist()
    start_ns = time.time_ns() - _BEHIND_NS - events * _APART_NS
    made = []
    for begin in range(0, events, batch):
        request = event_service_pb2.IngestEventsRequest(batch=begin + 1, event=EVENT)
        for number in range(begin, min(begin + batch, events)):
            event = request.events.add()
            event.id = f"event-{first + number}"
            event.event_time.FromNanoseconds(start_ns + number * _APART_NS)
            event.fields[KEY].int64_value = entities[number]
            event.fields["amount"].double_value = amounts[number]
        made.append(request.SerializeToString())
    return made


class Stream:
    """One stream of batches, at a pace or as fast as they are answered."""

    def __init__(self, call: Any, batches: Sequence[bytes], in_flight: int) -> None:
        """Keeps the parts.

        Args:
            call: the stream.
            batches: to send.
            in_flight: most batches that are not answered.
        """
        self._call = call
        self._batches = batches
        self._free = asyncio.Semaphore(in_flight)
        self._sent_at: list[float] = []
        self.latencies_ms: list[float] = []
        self.accepted = 0
        self.others = 0

    async def run(self, ticks: AsyncIterator[float], stop: asyncio.Event) -> None:
        """Sends a batch at each tick until told to stop, and returns once all are answered.

        Raises:
            RuntimeError: there are too few batches.
        """
        reading = asyncio.create_task(self._read())
        sent = 0
        async for tick in ticks:
            await self._free.acquire()
            if stop.is_set():
                break
            if sent == len(self._batches):
                raise RuntimeError(f"{sent} batches were too few")
            self._sent_at.append(tick)
            await self._call.write(self._batches[sent])
            sent += 1
        await self._call.done_writing()
        await reading

    async def _read(self) -> None:
        while (data := await self._call.read()) is not grpc.aio.EOF:
            answer = event_service_pb2.IngestEventsResponse.FromString(data)
            self.latencies_ms.append(
                (time.monotonic() - self._sent_at[len(self.latencies_ms)]) * 1e3
            )
            self.accepted += answer.accepted
            self.others += answer.duplicates + answer.refused
            self._free.release()


async def at_once() -> AsyncIterator[float]:
    """Yields now, again and again."""
    while True:
        yield time.monotonic()


async def paced(starts_at: float, every_s: float) -> AsyncIterator[float]:
    """Yields the instants at which something is due, once each is there; never skips one."""
    loop = asyncio.get_running_loop()
    number = 0
    while True:
        due = starts_at + number * every_s
        if due > time.monotonic():
            is_due = loop.create_future()
            loop.call_at(loop.time() + due - time.monotonic(), is_due.set_result, None)
            await is_due
        yield due
        number += 1


async def send(target: str, order: dict[str, Any]) -> dict[str, float]:
    """Carries out an order, and returns what came of it.

    The order has `first`, `events` (more than will be sent), `batch`, `streams`, `in_flight`
    (batches per stream), and `rate` (events per second of all streams, 0 for as fast as they are
    answered).
    Then a line is written once all is serialised, one read to begin, and one read to stop.
    """
    streams, batch = order["streams"], order["batch"]
    share = order["events"] // streams
    parts = [messages(order["first"] + n * share, share, batch) for n in range(streams)]
    print("{}", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    stop = asyncio.Event()
    starts_at = time.monotonic()

    async def until_told() -> None:
        await asyncio.to_thread(sys.stdin.readline)
        stop.set()

    async with grpc.aio.insecure_channel(target) as channel:
        method: Any = channel.stream_stream(_METHOD)
        running = [Stream(method(), batches, order["in_flight"]) for batches in parts]
        every_s = batch * streams / order["rate"] if order["rate"] else 0.0
        async with asyncio.TaskGroup() as group:
            group.create_task(until_told())
            for number, stream in enumerate(running):
                begins = starts_at + every_s * number / streams
                ticks = paced(begins, every_s) if every_s else at_once()
                group.create_task(stream.run(ticks, stop))
        seconds = time.monotonic() - starts_at
    latencies = [latency for stream in running for latency in stream.latencies_ms]
    p50, p99 = np.percentile(latencies, [50, 99]).tolist()
    return {
        "accepted": sum(stream.accepted for stream in running),
        "others": sum(stream.others for stream in running),
        "seconds": seconds,
        "p50_ms": p50,
        "p99_ms": p99,
    }


async def serve(target: str) -> None:
    """Carries out orders until the input ends."""
    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await send(target, json.loads(line))), flush=True)


def main() -> None:
    """Runs."""
    uvloop.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
