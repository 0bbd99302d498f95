"""From a submission to what the queue keeps of it: checks that cost little, and its digest.

The whole validation of the fields happens when it runs, in ingest.
"""

from __future__ import annotations

import hashlib
import random
import re

from tailrace.gateway.admission import MAX_REQUEST_ID, MAX_TENANT, check_text
from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S
from tailrace.runtime.errors import InvalidField, LimitExceeded
from tailrace.runtime.timestamps import MAX_TIMESTAMP_S, MIN_TIMESTAMP_S
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.message_bytes import bytes_field
from tailrace.submissions.records import CallbackChoice, NewSubmission
from tailrace.v1 import batch_pb2
from tailrace.v1.prediction_service_pb2 import PredictRequest, Submission

MAX_KEY = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRIORITIES = frozenset(batch_pb2.Priority.values()) - {batch_pb2.PRIORITY_UNSPECIFIED}
_REQUEST_ID = PredictRequest.REQUEST_ID_FIELD_NUMBER


def check_submission(submission: Submission, max_fields: int) -> None:
    """Checks what can be told from a submission alone.

    Args:
        submission: as received.
        max_fields: most fields of its request.

    Raises:
        InvalidField: something is missing, too long, or no point in time.
        LimitExceeded: its request has too many fields.
    """
    if not submission.HasField("request"):
        raise InvalidField("there is no request", field="request")
    request = submission.request
    if request.request_id:
        check_text(request.request_id, "request.request_id", MAX_REQUEST_ID)
    if request.tenant:
        check_text(request.tenant, "request.tenant", MAX_TENANT)
    if len(request.fields) > max_fields:
        raise LimitExceeded(
            f"{len(request.fields)} fields, at most {max_fields} are allowed",
            field="request.fields",
        )
    _check_key(submission.idempotency_key, "idempotency_key")
    _check_key(submission.ordering_key, "ordering_key")
    if submission.HasField("not_after"):
        not_after = submission.not_after
        in_range = MIN_TIMESTAMP_S <= not_after.seconds <= MAX_TIMESTAMP_S
        if not in_range or not 0 <= not_after.nanos < NS_PER_S:
            raise InvalidField("it is not a point in time", field="not_after")
        # Before 1970; to the queue, 0 is none. Whether others have passed is the queue's to say, as
        # one that is there already is acknowledged also then.
        if _milliseconds(submission) <= 0:
            raise InvalidField("it has passed", field="not_after")


def new_submission(
    prediction_id: str,
    submission: Submission,
    callback: CallbackChoice | None,
    trace: TraceContext,
    max_bytes: int,
) -> NewSubmission:
    """Returns what is to be submitted, of what `check_submission` let through.

    The request in the message is changed by this.

    Args:
        prediction_id: a fresh id in the partition that it belongs to.
        submission: as received.
        callback: where its result goes.
        trace: the place of the submission's own span.
        max_bytes: largest size of its request, in bytes.

    Raises:
        LimitExceeded: its request is larger.
    """
    request = submission.request
    request_id = request.request_id or f"{random.getrandbits(128):032x}"
    # Neither makes it another submission; the id is appended, so that all is serialised once.
    request.ClearField("request_id")
    request.ClearField("timeout")
    # Of an enum any number can be sent.
    if request.priority not in _PRIORITIES:
        request.priority = batch_pb2.PRIORITY_NORMAL
    body = request.SerializeToString(deterministic=True)
    if len(body) > max_bytes:
        raise LimitExceeded(f"{len(body)} bytes, at most {max_bytes} are allowed", field="request")
    not_after_ms = _milliseconds(submission) if submission.HasField("not_after") else None
    return NewSubmission(
        prediction_id=prediction_id,
        tenant=request.tenant,
        idempotency_key=submission.idempotency_key,
        ordering_key=submission.ordering_key,
        body_digest=_digest(
            body,
            callback.key.encode() if callback else b"",
            submission.ordering_key.encode(),
            b"" if not_after_ms is None else b"%d" % not_after_ms,
        ),
        pipeline=request.pipeline,
        request_id=request_id,
        priority=request.priority,
        request=body + bytes_field(_REQUEST_ID, request_id.encode()),
        callback=callback,
        not_after_ms=not_after_ms,
        traceparent=trace.traceparent,
        tracestate=trace.tracestate,
    )


def _check_key(key: str, field: str) -> None:
    if len(key) > MAX_KEY:
        raise InvalidField(f"{len(key)} characters, at most {MAX_KEY} are allowed", field=field)
    if _CONTROL.search(key):
        raise InvalidField("control characters are not allowed", field=field)


def _milliseconds(submission: Submission) -> int:
    not_after = submission.not_after
    return not_after.seconds * 1000 + not_after.nanos // NS_PER_MS


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
