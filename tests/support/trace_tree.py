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


class SpanFiles:
    """Reads files of OTLP JSON as they grow.

    Each line once: who reads all of them again and again holds up the receiver of Triton's spans,
    in the same interpreter, for longer than Triton waits for it.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        """Has read nothing."""
        self._read = dict.fromkeys(files, 0)
        self._spans: list[ReceivedSpan] = []

    def spans(self) -> list[ReceivedSpan]:
        """Returns what there is so far, but for a last line that is not whole yet."""
        for file, read in self._read.items():
            with file.open("rb") as source:
                source.seek(read)
                *lines, rest = source.read().split(b"\n")
                self._read[file] = source.tell() - len(rest)
            for line in lines:
                self._spans += read_request(request_of_json(line))
        return list(self._spans)


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
        found = tree.edges()
        assert found == edges, f"missing: {edges - found}, unexpected: {found - edges}"
    return tree
