"""The caller's place in its own trace, as headers of a call.

The mesh goes on with the trace in which a call is made, and its caller need not switch on anything.
OpenTelemetry is not needed for that, and never imported: whoever has a span under way has done so.
"""

from __future__ import annotations

import contextvars
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

P = ParamSpec("P")
T = TypeVar("T")


def with_trace_headers(metadata: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Returns metadata together with the W3C headers of the current span, if there is one.

    Args:
        metadata: of the call. A `traceparent` in it stands, and nothing is added.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return tuple(metadata)
    # Where one thread of the process is still importing the module, there is no span in it yet.
    current = getattr(trace, "get_current_span", None)
    place = None if current is None else current().get_span_context()
    named = {key.lower() for key, _ in metadata}
    if place is None or not place.is_valid or TRACEPARENT in named:
        return tuple(metadata)
    parent = f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"
    headers: tuple[tuple[str, str], ...] = (*metadata, (TRACEPARENT, parent))
    if place.trace_state and TRACESTATE not in named:
        headers += ((TRACESTATE, place.trace_state.to_header()),)
    return headers


def in_trace_of_now(open_call: Callable[P, T]) -> Callable[P, T]:
    """Returns what opens a call in the trace of whoever asks here, in any thread or task later."""
    return functools.partial(contextvars.copy_context().run, open_call)
