"""Spans in OTLP's JSON form (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

Protobuf's own, but for ids, which are hexadecimal, and enums, which are numbers; 64-bit integers
are text. Written here and not by protobuf's `json_format`, which takes five times as long.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tailrace.runtime.errors import Code
from tailrace.runtime.fault_codes import CALLERS_CODES
from tailrace.runtime.tracing.resource import SCOPE, version
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.span_names import ERROR_MESSAGE, ERROR_TYPE
from tailrace.runtime.tracing.trace_context import TraceContext

ERROR_STATUS = 2
"""STATUS_CODE_ERROR of OTLP. The other one that there is means that somebody has vouched for it."""

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def request_frame(resource: Mapping[str, AttributeValue]) -> tuple[str, str]:
    """Returns what goes before and behind the spans, joined by commas, of an export request."""
    spans = "<spans>"
    request = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": SCOPE, "version": version()}, "spans": [spans]}],
            }
        ]
    }
    before, _, behind = _encode(request).partition(f'"{spans}"')
    return before, behind


def span_text(span: Span, offset_ns: int) -> str:
    """Returns a span as a JSON object.

    Args:
        span: the span.
        offset_ns: from the monotonic clock to nanoseconds since 1970.
    """
    context = span.context
    content: dict[str, Any] = {
        "traceId": context.trace_id,
        "spanId": context.span_id,
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_ns + offset_ns),
        "endTimeUnixNano": str(span.end_ns + offset_ns),
        "attributes": _attributes(span.attributes),
    }
    if context.sampled:
        content["flags"] = context.flags
    if context.parent_id:
        content["parentSpanId"] = context.parent_id
    if context.tracestate:
        content["traceState"] = context.tracestate
    if span.links:
        content["links"] = [_link(link) for link in span.links]
    if is_error(span):
        content["status"] = {"code": ERROR_STATUS, "message": span.message}
    content["attributes"] += _attributes(failure_attributes(span))
    return _encode(content)


def _link(place: TraceContext) -> dict[str, Any]:
    link: dict[str, Any] = {"traceId": place.trace_id, "spanId": place.span_id}
    if place.tracestate:
        link["traceState"] = place.tracestate
    if place.sampled:
        link["flags"] = place.flags
    return link


def is_error(span: Span) -> bool:
    """Returns whether a span tells of an error.

    What a caller did wrong is one to the span of the call alone, and not to those of who serves it,
    as OpenTelemetry's conventions for gRPC have it. Who cancels does not want the answer any more.
    """
    if span.kind is SpanKind.CLIENT:
        return span.code is not Code.OK and span.code is not Code.CANCELLED
    return span.code is not Code.OK and span.code not in CALLERS_CODES


def failure_attributes(span: Span) -> dict[str, AttributeValue]:
    """Returns what a span that did not end well says beside its own attributes."""
    if span.code is Code.OK or span.code is Code.CANCELLED:
        return {}
    own: dict[str, AttributeValue] = {}
    if ERROR_TYPE not in span.attributes:
        own[ERROR_TYPE] = span.code.name
    # Only the status of an error has a message.
    if span.message and not is_error(span):
        own[ERROR_MESSAGE] = span.message
    return own


def _attributes(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _no_number(value)}
    return {"arrayValue": {"values": _values(value)}}


def _values(values: Sequence[str] | Sequence[int]) -> list[dict[str, Any]]:
    each: Iterable[str | int] = values
    return [_value(one) for one in each]


def _no_number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
