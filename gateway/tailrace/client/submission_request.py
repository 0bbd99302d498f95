"""The messages that submit predictions, and ask for submitted ones."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.client.errors import InvalidRequest
from tailrace.client.request import RequestTemplate, new_request_id
from tailrace.client.submission import InlineCallback, Submission, SubmissionState
from tailrace.client.tensor import microseconds
from tailrace.v1 import prediction_service_pb2 as messages


def submission_message(submission: Submission, *, needs_key: bool) -> messages.Submission:
    """Returns the message that submits one prediction.

    Args:
        submission: what to submit.
        needs_key: whether to make an idempotency key where it has none.

    Raises:
        InvalidRequest: a value that cannot be sent.
    """
    message = messages.Submission(ordering_key=submission.ordering_key)
    template = RequestTemplate(
        pipeline=submission.pipeline,
        pipeline_version=submission.pipeline_version,
        priority=submission.priority,
        tenant=submission.tenant,
    )
    request_id = submission.request_id or new_request_id()
    message.request.CopyFrom(template.request(submission.fields, request_id))
    if submission.idempotency_key is not None:
        message.idempotency_key = submission.idempotency_key
    if needs_key and not message.idempotency_key:
        message.idempotency_key = secrets.token_hex(16)
    if isinstance(submission.callback, InlineCallback):
        message.inline_callback.target = submission.callback.target
        message.inline_callback.secret = submission.callback.secret
    elif submission.callback is not None:
        message.callback = submission.callback
    if submission.not_after is not None:
        message.not_after.CopyFrom(_timestamp(submission.not_after))
    return message


def get_message(
    prediction_id: str, wait_s: float | None, tenant: str
) -> messages.GetPredictionRequest:
    """Returns the message that asks for one submitted prediction."""
    wait = None if wait_s is None else duration(wait_s)
    return messages.GetPredictionRequest(prediction_id=prediction_id, wait=wait, tenant=tenant)


def watch_message(
    ids: Collection[str],
    *,
    tenant: str,
    pipeline: str,
    states: Iterable[SubmissionState],
    deliveries: bool,
    outcomes: bool,
    position: str,
) -> messages.WatchPredictionsRequest:
    """Returns the message that asks to be told of changes. Raises TypeError for ids in one text."""
    if isinstance(ids, str):
        raise TypeError("ids are several: a list, not one text")
    return messages.WatchPredictionsRequest(
        prediction_ids=ids,
        tenant=tenant,
        pipeline=pipeline,
        states=[state.value for state in states],  # type: ignore[misc]  # numbers are accepted
        deliveries=deliveries,
        position=position,
        include_outcomes=outcomes,
    )


def list_message(
    state: SubmissionState, *, tenant: str, pipeline: str, page_size: int, page_token: str
) -> messages.ListPredictionsRequest:
    """Returns the message that asks for a page of submitted predictions."""
    return messages.ListPredictionsRequest(
        state=state.value,  # type: ignore[arg-type]  # a plain number is accepted
        tenant=tenant,
        pipeline=pipeline,
        page_size=page_size,
        page_token=page_token,
    )


def duration(seconds: float) -> Duration:
    """Returns seconds as a message."""
    message = Duration()
    message.FromNanoseconds(round(seconds * 1_000_000_000))
    return message


def _timestamp(moment: datetime) -> Timestamp:
    try:
        seconds, fraction_us = divmod(microseconds(moment), 1_000_000)
    except ValueError as error:
        raise InvalidRequest(str(error), reason="INVALID_FIELD", field="not_after") from error
    return Timestamp(seconds=seconds, nanos=fraction_us * 1000)
