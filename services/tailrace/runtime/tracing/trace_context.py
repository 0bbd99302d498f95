"""The place of a span in its trace, and its W3C form (https://www.w3.org/TR/trace-context)."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{1,64})?")
# As many characters as are to be passed on at least.
_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED = 1
HEADER_FORMS = {TRACEPARENT: _FORM, TRACESTATE: _STATE}
"""What a header's value has to be, by the header's name."""

_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


@dataclass(slots=True)
class TraceContext:
    """One span's place. Never changed once in use; not frozen, as every request makes one.

    Attributes:
        trace_id: 32 lower-case hexadecimal digits.
        span_id: of the span itself, 16 digits.
        sampled: whether its spans are told as they end.
        parent_id: of the span that it is a child of; empty for the first of a trace.
        tracestate: W3C tracestate, passed on as it came; may be empty.
    """

    trace_id: str
    span_id: str
    sampled: bool
    parent_id: str = ""
    tracestate: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` that names this span as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def flags(self) -> int:
        """The W3C trace flags, as a number."""
        return _SAMPLED if self.sampled else 0

    def child(self) -> TraceContext:
        """Returns the place of a new span below this one."""
        return TraceContext(
            self.trace_id, new_span_id(), self.sampled, self.span_id, self.tracestate
        )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Returns the headers that hand this place on as the parent."""
        if self.tracestate:
            return (TRACEPARENT, self.traceparent), (TRACESTATE, self.tracestate)
        return ((TRACEPARENT, self.traceparent),)


def new_trace_id() -> str:
    """Returns a random trace id."""
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """Returns a random span id."""
    return f"{random.getrandbits(64) or 1:016x}"


def new_trace(sampled: bool = False) -> TraceContext:
    """Returns the place of the first span of a new trace."""
    return TraceContext(new_trace_id(), new_span_id(), sampled)


def read_traceparent(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """Returns the place of the span that a header names, or None where it names none.

    Args:
        traceparent: the header's value, or empty.
        tracestate: the value of the other header, or empty. One of more than 512 characters, or
            of others than printable ASCII, is left out: each span of the trace would hold it, and
            a call that hands it on would fail.
    """
    match = _FORM.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if (
        version == "ff"
        or (version == "00" and rest)
        or trace_id == _NO_TRACE
        or span_id == _NO_SPAN
    ):
        return None
    if tracestate and not _STATE.fullmatch(tracestate):
        tracestate = ""
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), "", tracestate)


def read_headers(headers: Mapping[str, str]) -> TraceContext | None:
    """Returns the place of the span that a call's headers name, or None where they name none."""
    traceparent = headers.get(TRACEPARENT)
    if not traceparent:
        return None
    return read_traceparent(traceparent, headers.get(TRACESTATE, ""))
