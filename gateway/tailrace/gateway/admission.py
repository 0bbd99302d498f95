"""From a request to a row of a convoy: identity, deadline, limits."""

from __future__ import annotations

import math
import random
import re

from tailrace.gateway.convoy import ConvoyRow
from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S
from tailrace.runtime.errors import DeadlineExceeded, InvalidField, LimitExceeded
from tailrace.runtime.pipeline.spec import DeadlineSection
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import batch_pb2, prediction_service_pb2

MAX_REQUEST_ID = 128
MAX_TENANT = 64
_PRIORITIES = frozenset(batch_pb2.Priority.values()) - {batch_pb2.PRIORITY_UNSPECIFIED}
_PRINTABLE = re.compile(r"[\x21-\x7e]*")


def request_deadline_ns(
    section: DeadlineSection, call_remaining_s: float | None, timeout_ns: int | None
) -> int:
    """Returns the nanoseconds that a request is granted.

    The least of what the call has left, the request's own timeout and the pipeline's maximum;
    where neither caller nor request says anything, the pipeline's default.

    Args:
        section: the pipeline's bounds.
        call_remaining_s: seconds until the call's deadline, or None if it has none.
        timeout_ns: the request's own timeout, or None.
    """
    wanted = [math.inf]
    if call_remaining_s is not None:
        wanted.append(call_remaining_s * NS_PER_S)
    if timeout_ns is not None:
        wanted.append(timeout_ns)
    granted = min(wanted)
    if math.isinf(granted):
        granted = section.default_ms * NS_PER_MS
    return int(min(granted, section.maximum_ms * NS_PER_MS))


def admit(
    request: prediction_service_pb2.PredictRequest,
    section: DeadlineSection,
    call_remaining_s: float | None,
    received_ns: int,
    max_fields: int,
    trace: TraceContext,
    serialised: bytes | None = None,
) -> ConvoyRow:
    """Returns the request as a row.

    Args:
        request: as received.
        section: the pipeline's deadline bounds.
        call_remaining_s: seconds that the call had left on receipt, or None.
        received_ns: instant of receipt on the monotonic clock.
        max_fields: most fields allowed.
        trace: the place of the request's own span.
        serialised: the bytes that the request was read from, if they are at hand.

    Raises:
        InvalidField: id, tenant or timeout cannot be used.
        LimitExceeded: too many fields.
        DeadlineExceeded: the deadline was spent on arrival.
    """
    if request.request_id:
        check_text(request.request_id, "request_id", MAX_REQUEST_ID)
    if request.tenant:
        check_text(request.tenant, "tenant", MAX_TENANT)
    if len(request.fields) > max_fields:
        raise LimitExceeded(
            f"{len(request.fields)} fields, at most {max_fields} are allowed", field="fields"
        )
    timeout_ns = None
    if request.HasField("timeout"):
        timeout_ns = request.timeout.seconds * NS_PER_S + request.timeout.nanos
    granted_ns = request_deadline_ns(section, call_remaining_s, timeout_ns)
    if granted_ns <= 0:
        raise DeadlineExceeded("the deadline was spent on arrival")
    return ConvoyRow(
        pipeline=request.pipeline,
        request_id=request.request_id or f"{random.getrandbits(128):032x}",
        fields=request.fields,
        deadline_ns=received_ns + granted_ns,
        granted_ns=granted_ns,
        received_ns=received_ns,
        trace=trace,
        # Of an enum any number can be sent.
        priority=request.priority if request.priority in _PRIORITIES else batch_pb2.PRIORITY_NORMAL,
        tenant=request.tenant,
        data=request.SerializeToString() if serialised is None else serialised,
    )


def check_text(text: str, field: str, longest: int) -> None:
    """Raises InvalidField where a text is too long, or not printable ASCII without spaces."""
    if len(text) > longest:
        raise InvalidField(f"{len(text)} characters, at most {longest} are allowed", field=field)
    if not _PRINTABLE.fullmatch(text):
        raise InvalidField("only printable ASCII without spaces is allowed", field=field)
