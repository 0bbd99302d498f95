"""The trace that a call belongs to."""

from __future__ import annotations

from typing import Any

from tailrace.runtime.tracing.trace_context import (
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    read_traceparent,
)

_NONE = object()


def call_trace(context: Any) -> TraceContext | None:
    """Returns the place of the caller's span if it is in the sample, else None.

    Args:
        context: of the call: `trace` of one in this process, the metadata of any other.
    """
    trace: Any = getattr(context, "trace", _NONE)
    if trace is _NONE:
        metadata = getattr(context, "invocation_metadata", None)
        trace = None if metadata is None else _in_metadata(metadata() or ())
    found: TraceContext | None = trace
    return found if found is not None and found.sampled else None


def _in_metadata(metadata: Any) -> TraceContext | None:
    traceparent = tracestate = ""
    for name, value in metadata:
        if name == TRACEPARENT:
            traceparent = value
        elif name == TRACESTATE:
            tracestate = value
    return read_traceparent(traceparent, tracestate) if traceparent else None
