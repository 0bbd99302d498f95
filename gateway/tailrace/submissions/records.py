"""What the queue keeps: submissions, their claims, results and deliveries.

Times are milliseconds since 1970 by the queue Redis's clock. Messages are serialised protobuf.
Nobody changes a record. Those made for every submission are not frozen, as it takes three times as
long to make one that is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class State(enum.IntEnum):
    """Where a submission is; the numbers of `tailrace.v1.PredictionState`."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    EXPIRED = 5
    CANCELLED = 6

    @property
    def is_final(self) -> bool:
        """Whether it stays there, redriving apart."""
        return self >= State.SUCCEEDED


class DeliveryState(enum.IntEnum):
    """Where the push of a result is; the numbers of `tailrace.v1.DeliveryState`."""

    NONE = 0
    PENDING = 1
    DELIVERED = 2
    DEAD = 3


class DeadReason(enum.StrEnum):
    """Why something is a dead letter."""

    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    CALLBACK_DISABLED = "CALLBACK_DISABLED"
    CALLBACK_DELETED = "CALLBACK_DELETED"
    POISON = "POISON"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackChoice:
    """Where the result of one submission goes.

    Attributes:
        key: what deliveries are grouped by: `tenant/name` of a registered callback, or `~` and a
            digest of target and secret for an inline one.
        inline: serialised `InlineCallback`, which has a secret; empty for a registered one.
        ordered: whether results with the same ordering key keep their order.
    """

    key: str
    inline: bytes = field(default=b"", repr=False)
    ordered: bool = False


@dataclass(slots=True, kw_only=True)
class NewSubmission:
    """What is to be submitted.

    Attributes:
        prediction_id: a fresh id, in the partition that the submission belongs to.
        idempotency_key: or empty.
        body_digest: digest of all that makes it this submission, bytes[32].
        request: serialised `PredictRequest`.
        not_after_ms: or None.
    """

    prediction_id: str
    tenant: str
    idempotency_key: str
    body_digest: bytes
    pipeline: str
    request_id: str
    ordering_key: str
    priority: int
    request: bytes
    callback: CallbackChoice | None
    not_after_ms: int | None
    traceparent: str = ""
    tracestate: str = ""


@dataclass(slots=True, kw_only=True)
class Submitted:
    """A submission that is in the queue, or was there already.

    Attributes:
        prediction_id: its id: that of the first submission under the same idempotency key.
        already_submitted: whether it was there already.
    """

    prediction_id: str
    state: State
    already_submitted: bool
    created_ms: int


@dataclass(slots=True, kw_only=True)
class Claim:
    """One submission, taken by one dispatcher until its lease ends.

    Attributes:
        fence: number of this claim; what is written under an older one is refused.
        run_attempts: how often it has been taken, this time included.
        crashes: how many claims of it ended without a word, by their lease.
        created_ms: when it was submitted.
    """

    prediction_id: str
    fence: int
    run_attempts: int
    crashes: int
    tenant: str
    priority: int
    request: bytes
    created_ms: int
    not_after_ms: int | None
    traceparent: str = ""
    tracestate: str = ""


@dataclass(slots=True, kw_only=True)
class RunResult:
    """What came of a claim.

    Attributes:
        state: SUCCEEDED or FAILED.
        outcome: serialised `PredictResponse` or `google.rpc.Status`.
        dead_reason: for a FAILED one that becomes a dead letter instead of being pushed.
    """

    prediction_id: str
    fence: int
    state: State
    outcome: bytes
    dead_reason: DeadReason | None = None


@dataclass(slots=True, kw_only=True)
class RunPostponed:
    """A claim given back: it runs again after a wait.

    Attributes:
        delay_ms: the wait; 0 means at once.
        counts: whether it counts as one of the crashes that make a poison entry.
    """

    prediction_id: str
    fence: int
    delay_ms: int
    counts: bool = False


@dataclass(slots=True, kw_only=True)
class StoredPrediction:
    """A submission as it is kept.

    Attributes:
        outcome: serialised `PredictResponse` if SUCCEEDED, else `google.rpc.Status`; empty before.
        started_ms, ended_ms, delivery_ended_ms: or None before.
        callback_key: as in `CallbackChoice`; empty if it has none.
        next_attempt_ms: when the push is tried next, or None.
        dead_reason: or empty.
        attempts: the latest attempts at delivering it, oldest first; empty unless asked for.
    """

    prediction_id: str
    tenant: str
    pipeline: str
    request_id: str
    ordering_key: str
    priority: int
    state: State
    outcome: bytes
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    not_after_ms: int | None
    run_attempts: int
    callback_key: str
    delivery_state: DeliveryState
    delivery_attempts: int
    next_attempt_ms: int | None
    delivery_ended_ms: int | None
    dead_reason: str
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt at delivering.

    Attributes:
        result: what came back, such as `HTTP 503`.
    """

    attempt: int
    started_ms: int
    duration_ms: int
    delivered: bool
    result: str


@dataclass(slots=True, kw_only=True)
class DeliveryClaim:
    """One result, taken by one courier until its lease ends.

    Attributes:
        fence: number of this claim; what is written under an older one is refused.
        attempt: which attempt this is, from 1.
        prediction: the submission, with its outcome; its delivery fields may be unset.
        inline: serialised `InlineCallback`, or empty.
        traceparent, tracestate: of the submission's own span; may be empty.
    """

    prediction_id: str
    fence: int
    attempt: int
    prediction: StoredPrediction
    inline: bytes = field(repr=False)
    traceparent: str
    tracestate: str = ""


@dataclass(slots=True, kw_only=True)
class DeliveryResult:
    """What came of an attempt.

    Attributes:
        record: the attempt.
        retry_delay_ms: wait until the next one; None if there is none.
        dead_reason: set if it was given up. Neither this nor a delay means that it was delivered.
    """

    prediction_id: str
    fence: int
    record: AttemptRecord
    retry_delay_ms: int | None = None
    dead_reason: DeadReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A submission reached a final state, or its delivery did.

    Attributes:
        position: of the change within its partition.
        delivery_state: NONE if it is the prediction's own state that changed.
    """

    partition: int
    position: str
    prediction_id: str
    tenant: str
    pipeline: str
    state: State
    delivery_state: DeliveryState
    changed_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How much of what a partition holds.

    Attributes:
        states: submissions by state.
        deliveries_pending: results that wait to be delivered.
        dead_letters: dead letters.
        oldest_queued_ms: when the oldest that waits was submitted, or None.
        oldest_due_ms: since when the oldest delivery is due, or None.
    """

    partition: int
    states: dict[State, int]
    deliveries_pending: int
    dead_letters: int
    oldest_queued_ms: int | None
    oldest_due_ms: int | None
