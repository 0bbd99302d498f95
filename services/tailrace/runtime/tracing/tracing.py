"""What a process needs to trace: whom, and where finished spans go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.tracing.span import Span
from tailrace.runtime.tracing.span_names import BY_CALLER, BY_RATIO
from tailrace.runtime.tracing.trace_context import (
    TraceContext,
    new_span_id,
    new_trace_id,
    read_headers,
)

MAX_MESSAGE = 1_024
"""Longest message of a span, in characters: some name what a caller has sent, at its full length,
and a queue of such spans would hold as many copies."""


class SpanSink(Protocol):
    """Takes finished spans; never blocks, never raises, is bounded."""

    def put(self, span: Span) -> None:
        """Takes a span, or drops and counts it."""
        ...


class Tracing:
    """Decides who is traced, and hands finished spans on.

    Attributes:
        slow_share: a request that took more than this share of what it was granted is told
            afterwards.
        follow_callers: whether what a caller decided of its trace holds here, too.
    """

    def __init__(
        self,
        sink: SpanSink | None = None,
        *,
        sample_rate: float = 0.0,
        slow_share: float = 1.0,
        afterwards_per_s: float = 0.0,
        follow_callers: bool = True,
    ) -> None:
        """Keeps the parts.

        Args:
            sink: where spans go; None where nothing is told.
            sample_rate: share of requests that are told though all went well.
            slow_share: see the attributes.
            afterwards_per_s: most requests a second that are told afterwards; failures come in
                crowds, and a crowd of spans would be their next victim.
            follow_callers: whether what a caller decided of its trace holds here, too.
        """
        self._sink = sink
        # As OpenTelemetry's TraceIdRatioBased decides, so that others of its kind agree.
        self._bound = int(sample_rate * 2**64) if sink is not None else 0
        self.follow_callers = follow_callers
        self.slow_share = slow_share
        self._per_ns = afterwards_per_s / NS_PER_S
        self._most = self._left = max(1.0, afterwards_per_s)
        self._filled_ns = time.monotonic_ns()

    @property
    def tells(self) -> bool:
        """Whether spans go anywhere."""
        return self._sink is not None

    def begin(self, headers: Mapping[str, str]) -> TraceContext:
        """Returns the place of a request's own span, below its caller's if that names one.

        Args:
            headers: W3C trace headers of the call.
        """
        parent = read_headers(headers) if headers else None
        if parent is None:
            trace_id = new_trace_id()
            return TraceContext(trace_id, new_span_id(), self._in_sample(trace_id))
        own = parent.child()
        if not self.follow_callers:
            # Not by the id that came: who chose it could choose one that is always in the sample.
            own.sampled = self._in_sample(new_trace_id())
        return own

    def sampled_by(self, trace: TraceContext) -> str:
        """Returns what has put a span into the sample: `caller` or `ratio`."""
        return BY_CALLER if trace.parent_id and self.follow_callers else BY_RATIO

    def may_tell_afterwards(self) -> bool:
        """Returns whether one request more may be told that was not in the sample; counts it."""
        if self._sink is None or not self._per_ns:
            return False
        now_ns = time.monotonic_ns()
        self._left = min(self._most, self._left + (now_ns - self._filled_ns) * self._per_ns)
        self._filled_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def tell(self, span: Span) -> None:
        """Hands a finished span on, whether or not its trace is in the sample."""
        if self._sink is not None:
            if len(span.message) > MAX_MESSAGE:
                span.message = span.message[:MAX_MESSAGE]
            self._sink.put(span)

    def _in_sample(self, trace_id: str) -> bool:
        return self._bound > 0 and int(trace_id[16:], 16) < self._bound


_process = Tracing()


def process_tracing() -> Tracing:
    """Returns the tracing of this process; it tells nothing until `set_process_tracing`."""
    return _process


def set_process_tracing(tracing: Tracing) -> None:
    """Sets the tracing of this process; call once, before its parts are made."""
    global _process
    _process = tracing
