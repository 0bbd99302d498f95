"""Pushes to gRPC receivers: one result a message, or many with a status each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.push import outcome as results
from tailrace.submissions.push.address_rules import AddressRules, RefusedAddress
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.grpc_channels import GrpcChannels, LentChannel
from tailrace.submissions.push.name_lookup import LookupFailed, NameLookup
from tailrace.submissions.push.outcome import PushOutcome, failed
from tailrace.submissions.push.push_item import PushItem
from tailrace.submissions.push.receiver_status import DELIVERED, failure_outcome, status_outcome
from tailrace.v1.callback_receiver_pb2 import (
    DeliverPredictionRequest,
    DeliverPredictionsRequest,
    Delivery,
)

# Receivers take 4 MiB in a message unless they say otherwise.
MAX_MESSAGE_BYTES = 3 * 1024 * 1024
# Ids, signatures and times of one delivery, about.
ITEM_BYTES = 512
_BROKEN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
)


Headers = tuple[tuple[str, str], ...]


class GrpcSender:
    """Calls receivers, over channels that are kept."""

    def __init__(
        self, rules: AddressRules, names: NameLookup, *, ca_file: Path | None = None
    ) -> None:
        """Takes the same as `GrpcChannels`."""
        self._channels = GrpcChannels(rules, names, ca_file=ca_file)

    async def close(self) -> None:
        """Closes all channels."""
        await self._channels.close()

    async def close_idle(self) -> None:
        """Closes channels that have not been used for a while."""
        await self._channels.close_idle()

    async def push(
        self,
        destination: Destination,
        items: Sequence[PushItem],
        timeout_s: float,
        trace: TraceContext | None = None,
    ) -> list[PushOutcome]:
        """Makes one attempt. Never raises but for cancellation.

        Args:
            destination: a gRPC receiver.
            items: what to send: in one message, or in a few at once where it would be too large.
            timeout_s: for all of it, from looking the name up to the answer.
            trace: the place of the attempt's span, for the headers of the call, or None.

        Returns:
            One outcome per item, in order.
        """
        headers = () if trace is None else trace.headers()
        parts = _message_parts(items)
        if len(parts) == 1:
            return await self._push_part(destination, parts[0], timeout_s, headers)
        outcomes = await asyncio.gather(
            *(self._push_part(destination, part, timeout_s, headers) for part in parts)
        )
        return [outcome for part in outcomes for outcome in part]

    async def _push_part(
        self,
        destination: Destination,
        items: Sequence[PushItem],
        timeout_s: float,
        headers: Headers,
    ) -> list[PushOutcome]:
        give_up_at = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                lent = await self._channels.lend(destination)
        except TimeoutError:
            return [failed(results.TIMEOUT)] * len(items)
        except RefusedAddress:
            return [failed(results.REFUSED_ADDRESS)] * len(items)
        except LookupFailed:
            return [failed(results.NO_ADDRESS)] * len(items)
        broken = False
        try:
            # Never 0, whose outcome would be a race.
            left_s = max(0.001, give_up_at - time.monotonic())
            return await _call(lent, destination, items, left_s, headers)
        except grpc.aio.AioRpcError as failure:
            broken = failure.code() in _BROKEN
            return [failure_outcome(failure)] * len(items)
        finally:
            await self._channels.give_back(lent, broken=broken)


async def _call(
    lent: LentChannel,
    destination: Destination,
    items: Sequence[PushItem],
    timeout_s: float,
    headers: Headers,
) -> list[PushOutcome]:
    deliveries = _deliveries(destination, items)
    if destination.max_batch == 1:
        (delivery,) = deliveries
        request = DeliverPredictionRequest(delivery=delivery)
        answer = await lent.deliver_one(request, timeout=timeout_s, metadata=headers)
        return [failed(results.BAD_RESPONSE) if answer is None else DELIVERED]
    requests = DeliverPredictionsRequest(deliveries=deliveries)
    response = await lent.deliver_many(requests, timeout=timeout_s, metadata=headers)
    if response is None or len(response.statuses) != len(items):
        return [failed(results.BAD_RESPONSE)] * len(items)
    return [
        DELIVERED if status.code == 0 else status_outcome(status) for status in response.statuses
    ]


def _deliveries(destination: Destination, items: Sequence[PushItem]) -> list[Delivery]:
    now_ms = time.time_ns() // 1_000_000
    now_s = now_ms // 1000
    attempt_time = Timestamp(seconds=now_s, nanos=now_ms % 1000 * 1_000_000)
    signers = destination.live_signers(now_ms)
    return [
        Delivery(
            delivery_id=item.delivery_id,
            attempt_time=attempt_time,
            attempt=item.attempt,
            prediction_record=item.record,
            signatures=[signer.sign(item.delivery_id, now_s, item.record) for signer in signers],
            traceparent=item.traceparent,
            tracestate=item.tracestate,
        )
        for item in items
    ]


def _message_parts(items: Sequence[PushItem]) -> list[Sequence[PushItem]]:
    parts: list[Sequence[PushItem]] = []
    begin = size = 0
    for place, item in enumerate(items):
        item_bytes = len(item.record) + ITEM_BYTES
        if size + item_bytes > MAX_MESSAGE_BYTES and place > begin:
            parts.append(items[begin:place])
            begin, size = place, 0
        size += item_bytes
    parts.append(items[begin:])
    return parts
