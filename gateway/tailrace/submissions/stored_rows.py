"""Rows as the scripts return them, made into records."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from tailrace.submissions.records import AttemptRecord, DeliveryState, State, StoredPrediction
from tailrace.submissions.submission_meta import SubmissionMeta, unpack_meta

Row = Sequence[Any]

# Rows come by the hundred, and looking up is quicker than making the number first.
_STATES = {str(int(state)).encode(): state for state in State}
_DELIVERY_STATES = {str(int(state)).encode(): state for state in DeliveryState}

_ATTEMPT = struct.Struct(">IQI?")


def stored_prediction(
    prediction_id: str,
    row: Row,
    meta: SubmissionMeta | None = None,
    *,
    next_attempt: bytes | None = None,
    attempts: Sequence[bytes | None] = (),
) -> StoredPrediction:
    """Returns the record of a row of `read_row` in scripts/prelude.lua."""
    packed, state, started, ended, fence, delivery, now, past, delivery_ended, reason, out = row[
        :11
    ]
    meta = meta or unpack_meta(packed)
    return StoredPrediction(
        prediction_id=prediction_id,
        tenant=meta.tenant,
        pipeline=meta.pipeline,
        request_id=meta.request_id,
        ordering_key=meta.ordering_key,
        priority=meta.priority,
        state=_STATES[state],
        outcome=out or b"",
        created_ms=meta.created_ms,
        started_ms=_int_or_none(started),
        ended_ms=_int_or_none(ended),
        not_after_ms=meta.not_after_ms,
        run_attempts=int(fence or 0),
        callback_key=meta.callback_key,
        delivery_state=_DELIVERY_STATES[delivery or b"0"],
        delivery_attempts=int(now or 0) + int(past or 0),
        next_attempt_ms=_int_or_none(next_attempt),
        delivery_ended_ms=_int_or_none(delivery_ended),
        dead_reason=reason.decode() if reason else "",
        attempts=read_attempts(attempts) if attempts else (),
    )


def attempts_before(row: Row) -> int:
    """Returns how many attempts at delivering a row has had since it was last redriven."""
    return int(row[6] or 0)


def pack_attempt(record: AttemptRecord) -> bytes:
    """Returns the bytes of an attempt, as they are kept."""
    head = _ATTEMPT.pack(
        record.attempt, record.started_ms, min(record.duration_ms, 0xFFFFFFFF), record.delivered
    )
    return head + record.result.encode()


def read_attempts(packed: Sequence[bytes | None]) -> tuple[AttemptRecord, ...]:
    """Returns attempts, oldest first."""
    records = []
    for attempt in packed:
        if attempt:
            number, started_ms, duration_ms, delivered = _ATTEMPT.unpack_from(attempt)
            records.append(
                AttemptRecord(
                    attempt=number,
                    started_ms=started_ms,
                    duration_ms=duration_ms,
                    delivered=delivered,
                    result=attempt[_ATTEMPT.size :].decode(),
                )
            )
    return tuple(sorted(records, key=lambda record: (record.started_ms, record.attempt)))


def _int_or_none(text: bytes | None) -> int | None:
    return int(text) if text else None
