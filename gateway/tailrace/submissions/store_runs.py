"""Submitting, claiming and finishing, as the store does it."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import (
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidField,
    NotFound,
    Overloaded,
    Reason,
    TailraceError,
)
from tailrace.submissions.keys import idempotency_digest
from tailrace.submissions.queue_link import Argument
from tailrace.submissions.records import (
    Claim,
    NewSubmission,
    RunPostponed,
    RunResult,
    State,
    StoredPrediction,
    Submitted,
)
from tailrace.submissions.store_base import MOST_PER_SCRIPT, StoreBase, chunks
from tailrace.submissions.stored_rows import stored_prediction
from tailrace.submissions.submission_meta import pack_meta, unpack_meta

EXPIRED_OUTCOME = status_of(
    DeadlineExceeded("the submission expired before it had a result", reason=Reason.EXPIRED)
).SerializeToString()
CANCELLED_OUTCOME = status_of(
    Cancelled("the submission was cancelled", reason=Reason.SUBMISSION_CANCELLED)
).SerializeToString()
POISON_OUTCOME = status_of(
    Internal("the submission ended what ran it, each time", reason=Reason.POISON)
).SerializeToString()

_SWEEP_MOST = 256


class RunStore(StoreBase):
    """The part of `SubmissionStore` that is about running."""

    async def submit(
        self, partition: int, submissions: Sequence[NewSubmission]
    ) -> list[Submitted | TailraceError]:
        """As `SubmissionStore.submit`."""
        outcomes: list[Submitted | TailraceError] = []
        limits = (self._limits.queued_share, self._limits.submission_ttl)
        rows = [
            (
                new.prediction_id,
                idempotency_digest(new.tenant, new.idempotency_key),
                new.not_after_ms or 0,
                pack_meta(new),
                new.request,
            )
            for new in submissions
        ]
        for chunk in chunks(rows):
            reply = await self._run("submit", partition, *limits, *chunk, durable=True)
            for place in range(0, len(reply), 4):
                outcomes.append(_submitted(*reply[place : place + 4]))
        return outcomes

    async def claim(self, partition: int, max_claims: int) -> list[Claim]:
        """As `SubmissionStore.claim`."""
        reply = await self._run(
            "claim",
            partition,
            min(max_claims, MOST_PER_SCRIPT),
            self._limits.run_lease,
            self._limits.most_crashes,
            EXPIRED_OUTCOME,
            POISON_OUTCOME,
        )
        claims = []
        for place in range(0, len(reply), 6):
            prediction_id, fence, crashes, created_ms, packed, request = reply[place : place + 6]
            meta = unpack_meta(packed)
            claims.append(
                Claim(
                    prediction_id=prediction_id.decode(),
                    fence=fence,
                    run_attempts=fence,
                    crashes=crashes,
                    tenant=meta.tenant,
                    priority=meta.priority,
                    request=request,
                    created_ms=created_ms,
                    not_after_ms=meta.not_after_ms,
                    traceparent=meta.traceparent,
                    tracestate=meta.tracestate,
                )
            )
        return claims

    async def renew(self, partition: int, claims: Sequence[Claim]) -> list[bool]:
        """As `SubmissionStore.renew`."""
        return await self._flags(
            "renew", partition, [(claim.prediction_id, claim.fence) for claim in claims]
        )

    async def finish(self, partition: int, results: Sequence[RunResult]) -> list[bool]:
        """As `SubmissionStore.finish`."""
        return await self._flags(
            "finish",
            partition,
            [
                (
                    each.prediction_id,
                    each.fence,
                    int(each.state),
                    each.dead_reason or "",
                    each.outcome,
                )
                for each in results
            ],
        )

    async def postpone(self, partition: int, given_back: Sequence[RunPostponed]) -> list[bool]:
        """As `SubmissionStore.postpone`."""
        return await self._flags(
            "postpone",
            partition,
            [
                (each.prediction_id, each.fence, max(0, each.delay_ms), int(each.counts))
                for each in given_back
            ],
        )

    async def cancel(self, prediction_id: str, tenant: str) -> StoredPrediction:
        """As `SubmissionStore.cancel`."""
        partition = self._partition_of(prediction_id)
        missing = NotFound("there is no such prediction", reason=Reason.PREDICTION_NOT_FOUND)
        if partition is None:
            raise missing
        reply = await self._run(
            "cancel", partition, prediction_id, tenant, CANCELLED_OUTCOME, durable=True
        )
        if reply[0] == 0:
            raise missing
        if reply[0] == 1:
            raise FailedPrecondition(
                "the prediction has its result", reason=Reason.PREDICTION_ENDED
            )
        return stored_prediction(prediction_id, reply[1])

    async def sweep(self, partition: int) -> int:
        """As `SubmissionStore.sweep`."""
        return int(
            await self._run(
                "sweep", partition, _SWEEP_MOST, EXPIRED_OUTCOME, self._limits.changes_ttl
            )
        )

    async def redrive(self, prediction_ids: Sequence[str], *, pending: bool = False) -> list[bool]:
        """As `SubmissionStore.redrive`."""
        redriven = [False] * len(prediction_ids)
        for partition, placed in self._by_partition(prediction_ids).items():
            for first in range(0, len(placed), MOST_PER_SCRIPT):
                chunk = placed[first : first + MOST_PER_SCRIPT]
                reply = await self._run(
                    "redrive",
                    partition,
                    self._limits.submission_ttl,
                    int(pending),
                    *(prediction_id for _, prediction_id in chunk),
                    durable=True,
                )
                for (place, _), flag in zip(chunk, reply, strict=True):
                    redriven[place] = bool(flag)
        return redriven

    async def _flags(
        self, name: str, partition: int, rows: Sequence[Sequence[Argument]]
    ) -> list[bool]:
        flags: list[bool] = []
        for chunk in chunks(rows):
            reply = await self._run(name, partition, *chunk, durable=True)
            flags += (flag == 1 for flag in reply)
        return flags


def _submitted(
    code: int, prediction_id: bytes, state: int, created_ms: int
) -> Submitted | TailraceError:
    if code == 2:
        return AlreadyExists(
            "the idempotency key was used for another submission", field="idempotency_key"
        )
    if code == 3:
        return Overloaded(
            "as many submissions wait as the queue may hold", reason=Reason.BACKLOG_FULL
        )
    if code == 4:
        return InvalidField("it has passed", field="not_after")
    return Submitted(
        prediction_id=prediction_id.decode(),
        state=State(state),
        already_submitted=code == 1,
        created_ms=created_ms,
    )
