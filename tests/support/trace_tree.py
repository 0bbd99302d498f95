"""One trace as real processes have told it: its spans by name, and who is below whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.support.otlp_receiver import ReceivedSpan, read_request, request_of_json
from tests.support.waiting import wait_for

Edge = tuple[str, str]


class TraceTree:
    """The spans of one trace.

    Attributes:
        spans: in no particular order.
    """

    def __init__(self, trace_id: str, spans: Iterable[ReceivedSpan]) -> None:
        """Takes those of the trace from among others."""
        self.spans = [span for span in spans if span.trace_id == trace_id]
        self._by_id = {span.span_id: span for span in self.spans}

    def edges(self) -> Counter[Edge]:
        """Returns how often a span of one name is below one of another; `""` for none here."""
        return Counter((self.parent_name(span), span.name) for span in self.spans)

    def parent(self, span: ReceivedSpan) -> ReceivedSpan | None:
        """Returns the span above, if it is here."""
        return self._by_id.get(span.parent_id)

    def parent_name(self, span: ReceivedSpan) -> str:
        """Returns the name of the span above, `""` if it is not here."""
        above = self.parent(span)
        return above.name if above else ""

    def one(self, name: str) -> ReceivedSpan:
        """Returns the only span of a name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def services(self) -> dict[str, str]:
        """Returns the `service.name` of each span, by the span's name."""
        return {span.name: span.service for span in self.spans}


def spans_in(files: Iterable[Path]) -> list[ReceivedSpan]:
    """Returns what files of OTLP JSON have so far, but for a last line that is not whole yet."""
    return [
        span
        for file in files
        for line in file.read_bytes().split(b"\n")[:-1]
        for span in read_request(request_of_json(line))
    ]


def wait_for_tree(
    trace_id: str,
    edges: Counter[Edge],
    spans: Callable[[], Sequence[ReceivedSpan]],
    timeout_s: float = 20.0,
) -> TraceTree:
    """Returns the trace once it has as many spans as expected; fails unless they are those.

    Args:
        trace_id: which one.
        edges: what it has to have, no more and no less.
        spans: returns all spans that there are by now.
        timeout_s: how long to wait for as many.
    """
    tree = TraceTree(trace_id, [])

    def whole() -> bool:
        nonlocal tree
        tree = TraceTree(trace_id, spans())
        return len(tree.spans) >= edges.total()

    try:
        wait_for(whole, timeout_s)
    finally:
        assert tree.edges() == edges
    return tree
