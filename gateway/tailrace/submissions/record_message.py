"""What is kept of a submission, as a `PredictionRecord`: pushed, fetched and watched alike."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, Internal, Reason, TailraceError
from tailrace.submissions.message_bytes import bytes_field
from tailrace.submissions.records import DeliveryState, State, StoredPrediction
from tailrace.v1.prediction_service_pb2 import DeliveryStatus, PredictionRecord

_RESPONSE = PredictionRecord.RESPONSE_FIELD_NUMBER
_ERROR = PredictionRecord.ERROR_FIELD_NUMBER


def _status(error: TailraceError) -> bytes:
    return status_of(error).SerializeToString(deterministic=True)


# Outcomes that the queue itself decides on, without a word of anybody who could write them.
_BARE_OUTCOMES = {
    State.EXPIRED: _status(
        DeadlineExceeded("it had not run when its time was over", reason=Reason.EXPIRED)
    ),
    State.CANCELLED: _status(
        Cancelled("it was cancelled by CancelPrediction", reason=Reason.SUBMISSION_CANCELLED)
    ),
    State.FAILED: _status(
        Internal("it ended what ran it, each time that it was run", reason=Reason.POISON)
    ),
}


def outcome_bytes(stored: StoredPrediction) -> bytes:
    """Returns the outcome: a serialised `PredictResponse` if SUCCEEDED, else `google.rpc.Status`.

    Empty where it has none yet, or where it was not asked for.
    """
    return stored.outcome or _BARE_OUTCOMES.get(stored.state, b"")


def record_bytes(stored: StoredPrediction) -> bytes:
    """Returns a serialised `PredictionRecord` with outcome and without `delivery`: what is pushed.

    The same bytes whenever it is asked for, as long as the submission keeps its final state. The
    outcome is passed on as it is kept.
    """
    return _head(stored).SerializeToString(deterministic=True) + _outcome_field(stored)


def prediction_record(stored: StoredPrediction, *, outcome: bool = True) -> PredictionRecord:
    """Returns the record with its `delivery`.

    Args:
        stored: as kept.
        outcome: whether to tell the outcome, too.
    """
    record = _head(stored)
    if outcome:
        record.MergeFromString(_outcome_field(stored))
    if _delivery_state(stored) is not DeliveryState.NONE:
        record.delivery.CopyFrom(delivery_status(stored))
    return record


def delivery_status(stored: StoredPrediction) -> DeliveryStatus:
    """Returns how the push stands; an empty message where there is no callback."""
    state = _delivery_state(stored)
    if state is DeliveryState.NONE:
        return DeliveryStatus()
    pending = state is DeliveryState.PENDING
    return DeliveryStatus(
        state=state.value,  # type: ignore[arg-type]  # a plain number is accepted
        callback=callback_name(stored.callback_key),
        attempts=stored.delivery_attempts,
        next_attempt_time=timestamp(stored.next_attempt_ms if pending else None),
        end_time=timestamp(stored.delivery_ended_ms),
        dead_reason=stored.dead_reason,
    )


def callback_name(key: str) -> str:
    """Returns the name of the callback of a key; empty for an inline one, or none."""
    # Only the key of a registered one has a slash, and a tenant may have some, too.
    return key.rpartition("/")[2] if "/" in key else ""


def timestamp(instant_ms: int | None) -> Timestamp | None:
    """Returns milliseconds since 1970 as a message, or None."""
    if instant_ms is None:
        return None
    message = Timestamp()
    message.FromMilliseconds(instant_ms)
    return message


def _delivery_state(stored: StoredPrediction) -> DeliveryState:
    # The queue notes it only with the result: until then there is nothing to push.
    if stored.delivery_state is DeliveryState.NONE and stored.callback_key:
        return DeliveryState.PENDING
    return stored.delivery_state


def _head(stored: StoredPrediction) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=stored.prediction_id,
        tenant=stored.tenant,
        pipeline=stored.pipeline,
        request_id=stored.request_id,
        ordering_key=stored.ordering_key,
        priority=stored.priority,  # type: ignore[arg-type]  # a plain number is accepted
        state=stored.state.value,  # type: ignore[arg-type]
        create_time=timestamp(stored.created_ms),
        start_time=timestamp(stored.started_ms),
        end_time=timestamp(stored.ended_ms),
        not_after=timestamp(stored.not_after_ms),
        run_attempts=stored.run_attempts,
    )


def _outcome_field(stored: StoredPrediction) -> bytes:
    outcome = outcome_bytes(stored)
    if not outcome and stored.state is not State.SUCCEEDED:
        return b""
    return bytes_field(_RESPONSE if stored.state is State.SUCCEEDED else _ERROR, outcome)
