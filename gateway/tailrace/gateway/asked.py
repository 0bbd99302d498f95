"""What is known of a request, whether or not it became a row."""

from __future__ import annotations

from typing import Protocol

from tailrace.runtime.tracing.trace_context import TraceContext


class Asked(Protocol):
    """A request, for those who take note of its outcome."""

    @property
    def pipeline(self) -> str:
        """The pipeline that was asked, or `_OTHER` where there is none of that name."""
        ...

    @property
    def request_id(self) -> str:
        """Its id; as sent, where it was refused on arrival."""
        ...

    @property
    def received_ns(self) -> int:
        """When it was received, on the monotonic clock."""
        ...

    @property
    def trace(self) -> TraceContext:
        """The place of its own span."""
        ...
