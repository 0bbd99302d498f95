"""Deliveries, as the store keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.submissions.queue_link import Argument
from tailrace.submissions.records import DeadReason, DeliveryClaim, DeliveryResult
from tailrace.submissions.store_base import MOST_PER_SCRIPT, StoreBase
from tailrace.submissions.stored_rows import attempts_before, pack_attempt, stored_prediction
from tailrace.submissions.submission_meta import unpack_meta


class DeliveryStore(StoreBase):
    """The part of `SubmissionStore` that is about deliveries."""

    async def due_callbacks(self, partition: int) -> list[str]:
        """As `SubmissionStore.due_callbacks`."""
        return [key.decode() for key in await self._run("due_callbacks", partition)]

    async def claim_deliveries(
        self, partition: int, callback_key: str, max_claims: int, lease_ms: int
    ) -> list[DeliveryClaim]:
        """As `SubmissionStore.claim_deliveries`."""
        most = min(max_claims, MOST_PER_SCRIPT)
        reply = await self._run("claim_deliveries", partition, callback_key, most, max(1, lease_ms))
        claims = []
        for place in range(0, len(reply), 3):
            prediction_id, fence, row = reply[place : place + 3]
            meta = unpack_meta(row[0])
            claims.append(
                DeliveryClaim(
                    prediction_id=prediction_id.decode(),
                    fence=fence,
                    attempt=attempts_before(row) + 1,
                    prediction=stored_prediction(prediction_id.decode(), row, meta),
                    inline=meta.inline,
                    traceparent=meta.traceparent,
                    tracestate=meta.tracestate,
                )
            )
        return claims

    async def settle_deliveries(
        self, partition: int, results: Sequence[DeliveryResult]
    ) -> list[bool]:
        """As `SubmissionStore.settle_deliveries`."""
        flags: list[bool] = []
        for first in range(0, len(results), MOST_PER_SCRIPT):
            arguments: list[Argument] = []
            for each in results[first : first + MOST_PER_SCRIPT]:
                wait = "" if each.retry_delay_ms is None else max(0, each.retry_delay_ms)
                arguments += (each.prediction_id, each.fence, wait, each.dead_reason or "")
                arguments.append(pack_attempt(each.record))
            reply = await self._run("settle_deliveries", partition, *arguments, durable=True)
            flags += (flag == 1 for flag in reply)
        return flags

    async def release_deliveries(
        self, partition: int, claims: Sequence[DeliveryClaim]
    ) -> list[bool]:
        """As `SubmissionStore.release_deliveries`."""
        flags: list[bool] = []
        for first in range(0, len(claims), MOST_PER_SCRIPT):
            arguments: list[Argument] = []
            for claim in claims[first : first + MOST_PER_SCRIPT]:
                arguments += (claim.prediction_id, claim.fence)
            reply = await self._run("release_deliveries", partition, *arguments)
            flags += (flag == 1 for flag in reply)
        return flags

    async def kill_deliveries(
        self, partition: int, callback_key: str, reason: DeadReason, max_count: int
    ) -> int:
        """As `SubmissionStore.kill_deliveries`."""
        killed = 0
        while killed < max_count:
            most = min(MOST_PER_SCRIPT, max_count - killed)
            count = await self._run(
                "kill_deliveries", partition, callback_key, reason, most, durable=True
            )
            killed += count
            if count < most:
                break
        return killed
