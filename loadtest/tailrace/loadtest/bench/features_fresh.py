"""How soon lookups see an event: sends marked events, and looks each up until it is there."""

from __future__ import annotations

import time
from typing import Any

import grpc.aio
import numpy as np

from tailrace.loadtest.bench.features_contenders import TIMEOUT_S, WindowedLookups
from tailrace.loadtest.bench.features_data import EVENT, KEY, MARKED_FROM
from tailrace.v1 import event_service_pb2, event_service_pb2_grpc


async def freshness(
    windowed: WindowedLookups, target: str, events: int, first: int
) -> dict[str, Any]:
    """Returns, over some events one after the other, when lookups saw them.

    Each event is the first of its entity, which is looked up without pause until it has one. The
    service answers once lookups see an event; so it is looked up once more as soon as the answer is
    there, and `unseen` counts those that were not there then.

    Args:
        windowed: looks up.
        target: of the event service.
        events: how many.
        first: number of the first entity; none is used twice.

    Returns:
        Percentiles in ms, from before an event was sent: until a lookup that saw it had ended
        (`visible`), and until the service had answered (`accepted`).
    """
    visible_ms: list[float] = []
    accepted_ms: list[float] = []
    unseen = 0
    async with grpc.aio.insecure_channel(target) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        stream: Any = stub.IngestEvents()
        for number in range(first, first + events):
            entity = MARKED_FROM + number
            request = _request(number, entity)
            began = time.perf_counter()
            await stream.write(request)
            while not await windowed.count(entity):
                if time.perf_counter() - began > TIMEOUT_S:
                    raise RuntimeError(f"event {number} was not seen in {TIMEOUT_S:g} s")
            visible_ms.append((time.perf_counter() - began) * 1e3)
            answer = await stream.read()
            if answer is grpc.aio.EOF or answer.accepted != 1:
                raise RuntimeError(f"event {number} was not taken in: {answer}")
            accepted_ms.append((time.perf_counter() - began) * 1e3)
            unseen += await windowed.count(entity) != 1
        await stream.done_writing()
        if await stream.read() is not grpc.aio.EOF:
            raise RuntimeError("an answer too many")
    return {"visible": _percentiles(visible_ms), "accepted": _percentiles(accepted_ms),
            "events": events, "unseen": unseen}  # fmt: skip


def _request(number: int, entity: int) -> event_service_pb2.IngestEventsRequest:
    request = event_service_pb2.IngestEventsRequest(batch=number + 1, event=EVENT)
    event = request.events.add()
    event.id = f"marked-{number}"
    event.event_time.FromNanoseconds(time.time_ns())
    event.fields[KEY].int64_value = entity
    event.fields["amount"].double_value = 1.0
    return request


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50_ms": p50, "p99_ms": p99}
