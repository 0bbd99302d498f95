"""Submitted predictions as the caller gives and gets them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tailrace.client.errors import PredictionError, ServerFault, error_of_status
from tailrace.client.prediction import Prediction
from tailrace.client.request import Priority
from tailrace.client.tensor import EPOCH
from tailrace.client.values import Fields
from tailrace.v1 import prediction_service_pb2 as messages


class SubmissionState(enum.Enum):
    """Where a submission is; the numbers of `tailrace.v1.PredictionState`."""

    UNSPECIFIED = 0
    """Not told, or a state that this version of the client does not know."""
    QUEUED = 1
    """Durable, and waiting to run; also while it waits to run again."""
    RUNNING = 2
    """Taken by a dispatcher."""
    SUCCEEDED = 3
    """It has a prediction."""
    FAILED = 4
    """It has an error."""
    EXPIRED = 5
    """Its `not_after` passed, or it waited for as long as the queue keeps anything."""
    CANCELLED = 6
    """It was cancelled."""

    @property
    def is_final(self) -> bool:
        """Whether it stays there; only dead letters can be redriven."""
        return self.value >= SubmissionState.SUCCEEDED.value


class DeliveryState(enum.Enum):
    """Where the push of a result is; the numbers of `tailrace.v1.DeliveryState`."""

    UNSPECIFIED = 0
    """Not told, or a state that this version of the client does not know."""
    PENDING = 1
    """Not delivered yet."""
    DELIVERED = 2
    """The receiver has confirmed it."""
    DEAD = 3
    """Given up; kept as a dead letter."""


_STATES = {state.value: state for state in SubmissionState}
_DELIVERY_STATES = {state.value: state for state in DeliveryState}
_PRIORITIES = {priority.value: priority for priority in Priority}


@dataclass(frozen=True, slots=True)
class InlineCallback:
    """A callback that is named nowhere but in one submission, where the gateway allows that.

    Attributes:
        target: `https://…`, `grpcs://HOST:PORT` or `grpc://HOST:PORT`.
        secret: `whsec_…`, to sign with. It is kept out of `repr`.
    """

    target: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One prediction to submit.

    Attributes:
        pipeline: name of the pipeline.
        fields: the request by field name; see `tailrace.client.values.to_value`.
        callback: where to push the result: name of a registered callback of the same tenant, or
            an inline one; None means nowhere.
        idempotency_key: submissions of one tenant with the same key are one, at most 256
            characters; None means that the client makes one where it retries.
        not_after: when the result becomes worthless, with its offset; None means never.
        ordering_key: results with the same key are pushed to an ordered callback in the order of
            their submission.
        priority: how important it is among submissions.
        tenant: whom it is made for; scopes the idempotency key and the callback's name.
        pipeline_version: version to use; empty means the current one.
        request_id: id for logs and traces; empty means a fresh one.
    """

    pipeline: str
    fields: Fields
    callback: str | InlineCallback | None = None
    idempotency_key: str | None = None
    not_after: datetime | None = None
    ordering_key: str = ""
    priority: Priority = Priority.NORMAL
    tenant: str = ""
    pipeline_version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedPrediction:
    """A submission that is durable, to the degree that the gateway is set to.

    Attributes:
        id: for fetching, watching and cancelling it; the `webhook-id` of its push.
        state: where it was when the gateway answered.
        already_submitted: whether it had been submitted before under the same idempotency key;
            also where a repeat by the client found that the first attempt had arrived.
        created_at: when it was first submitted, by the queue's clock.
    """

    id: str
    state: SubmissionState
    already_submitted: bool
    created_at: datetime | None

    @classmethod
    def of_message(cls, message: messages.SubmittedPrediction) -> SubmittedPrediction:
        """Returns what a server sent."""
        return cls(
            id=message.prediction_id,
            state=_STATES.get(message.state, SubmissionState.UNSPECIFIED),
            already_submitted=message.already_submitted,
            created_at=instant(message, "create_time"),
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the push of one result stands.

    Attributes:
        state: where it is.
        callback: name of the callback; empty for an inline one.
        attempts: how often it was tried.
        next_attempt_at: when it is tried next, or None.
        ended_at: when it was delivered or given up, or None.
        dead_reason: why it was given up, such as `ATTEMPTS_EXHAUSTED`; empty unless it is DEAD.
    """

    state: DeliveryState
    callback: str
    attempts: int
    next_attempt_at: datetime | None
    ended_at: datetime | None
    dead_reason: str

    @classmethod
    def of_message(cls, message: messages.DeliveryStatus) -> Delivery:
        """Returns what a server sent."""
        return cls(
            state=_DELIVERY_STATES.get(message.state, DeliveryState.UNSPECIFIED),
            callback=message.callback,
            attempts=message.attempts,
            next_attempt_at=instant(message, "next_attempt_time"),
            ended_at=instant(message, "end_time"),
            dead_reason=message.dead_reason,
        )


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A submitted prediction as it is kept. All times are by the queue's clock.

    Attributes:
        id: its id.
        state: where it is.
        outcome: the prediction, or why there is none; None before, or where it was not asked for.
        pipeline: name of its pipeline.
        tenant: whom it is made for.
        request_id: id under which the server's logs know the request.
        ordering_key: key within which pushes keep their order; may be empty.
        priority: how important it is; None where this version does not know it.
        created_at: when it was submitted.
        started_at: when it was last taken by a dispatcher, or None.
        ended_at: when it reached a final state, or None.
        not_after: its own limit, or None.
        run_attempts: how often it was taken by a dispatcher.
        delivery: how its push stands; None without a callback, and in what is pushed.
    """

    id: str
    state: SubmissionState
    outcome: Prediction | PredictionError | None
    pipeline: str
    tenant: str
    request_id: str
    ordering_key: str
    priority: Priority | None
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    not_after: datetime | None
    run_attempts: int
    delivery: Delivery | None

    @property
    def prediction(self) -> Prediction:
        """The prediction.

        Raises:
            PredictionError: it has none: its own error, or that it has no result yet.
        """
        if isinstance(self.outcome, Prediction):
            return self.outcome
        if self.outcome is not None:
            raise self.outcome
        raise PredictionError(f"{self.id} is {self.state.name} and has no result here")

    @property
    def queue_ms(self) -> float | None:
        """Milliseconds from submission until a dispatcher last took it, or None."""
        return _between_ms(self.created_at, self.started_at)

    @property
    def run_ms(self) -> float | None:
        """Milliseconds from then until it had its result, or None."""
        return _between_ms(self.started_at, self.ended_at)

    @property
    def delivery_ms(self) -> float | None:
        """Milliseconds from its result until the receiver confirmed it, or None."""
        if self.delivery is None or self.delivery.state is not DeliveryState.DELIVERED:
            return None
        return _between_ms(self.ended_at, self.delivery.ended_at)

    @classmethod
    def of_message(cls, message: messages.PredictionRecord) -> StoredPrediction:
        """Returns the record that a server sent."""
        return cls(
            id=message.prediction_id,
            state=_STATES.get(message.state, SubmissionState.UNSPECIFIED),
            outcome=_outcome(message),
            pipeline=message.pipeline,
            tenant=message.tenant,
            request_id=message.request_id,
            ordering_key=message.ordering_key,
            priority=_PRIORITIES.get(message.priority),
            created_at=instant(message, "create_time"),
            started_at=instant(message, "start_time"),
            ended_at=instant(message, "end_time"),
            not_after=instant(message, "not_after"),
            run_attempts=message.run_attempts,
            delivery=Delivery.of_message(message.delivery)
            if message.HasField("delivery")
            else None,
        )


@dataclass(frozen=True, slots=True)
class PredictionChange:
    """One change of a submitted prediction.

    Attributes:
        prediction: as it was when the change was told; without its outcome unless asked for.
        changed_at: when it changed, by the queue's clock.
    """

    prediction: StoredPrediction
    changed_at: datetime | None

    @classmethod
    def of_message(cls, message: messages.PredictionChange) -> PredictionChange:
        """Returns the change that a server sent."""
        prediction = StoredPrediction.of_message(message.prediction)
        return cls(prediction, instant(message, "change_time"))


def instant(message: Any, field: str) -> datetime | None:
    """Returns a timestamp of a message, in UTC and in whole microseconds; None if it is unset."""
    # Any message, as each has types for the names of its own fields alone.
    if not message.HasField(field):
        return None
    time = getattr(message, field)
    return EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)


def _outcome(message: messages.PredictionRecord) -> Prediction | PredictionError | None:
    outcome = message.WhichOneof("outcome")
    if outcome is None:
        return None
    if outcome == "error":
        return error_of_status(message.error, message.request_id)
    try:
        return Prediction.of_message(message.response)
    except ServerFault as error:
        return error


def _delivery(message: messages.PredictionRecord) -> Delivery | None:
    return Delivery.of_message(message.delivery) if message.HasField("delivery") else None


def _between_ms(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds() * 1000
