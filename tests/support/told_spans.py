"""Spans that a test has told to itself, and what has to hold for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import Span
from tailrace.runtime.tracing.tracing import Tracing, process_tracing, set_process_tracing

Edge = tuple[str, str]


class ToldSpans:
    """Keeps every span, in the order in which they were told."""

    def __init__(self) -> None:
        """Has none yet."""
        self.spans: list[Span] = []

    def put(self, span: Span) -> None:
        """Takes a span."""
        self.spans.append(span)

    def named(self, name: str) -> list[Span]:
        """Returns those of one name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Span:
        """Returns the only one of a name."""
        (span,) = self.named(name)
        return span

    def hops(self) -> list[str]:
        """Returns the hops of those that are hop calls, in the order told."""
        return [
            str(span.attributes[names.HOP]) for span in self.spans if names.HOP in span.attributes
        ]

    def request(self, request_id: str) -> Span:
        """Returns the only span of a request."""
        (span,) = [
            span
            for span in self.named(names.PREDICT)
            if span.attributes[names.REQUEST_ID] == request_id
        ]
        return span

    def below(self, parent: Span) -> list[Span]:
        """Returns the children of a span."""
        return [span for span in self.spans if span.context.parent_id == parent.context.span_id]

    def edges(self) -> Counter[Edge]:
        """Returns how often a span of one name is below one of another; `""` for none told."""
        by_id = {span.context.span_id: span.name for span in self.spans}
        return Counter((by_id.get(span.context.parent_id, ""), span.name) for span in self.spans)

    def check(self) -> None:
        """Asserts what holds for any spans of gateways and dispatchers.

        Each is told once, and ends after it began. A convoy is below a request, and hops are below
        a convoy. A convoy and each request that it carries point at each other, by link or by
        parent.
        """
        ids = [span.context.span_id for span in self.spans]
        assert len(set(ids)) == len(ids)
        by_id = dict(zip(ids, self.spans, strict=True))
        for span in self.spans:
            assert span.end_ns >= span.start_ns, span
            parent = by_id.get(span.context.parent_id)
            if parent is not None:
                assert parent.context.trace_id == span.context.trace_id
            if span.name == names.CONVOY:
                assert parent is not None and parent.name == names.PREDICT
                assert not parent.links
                for link in span.links:
                    linked = by_id[link.span_id]
                    assert linked.name == names.PREDICT
                    assert [each.span_id for each in linked.links] == [span.context.span_id]
            if names.ATTEMPTS in span.attributes:
                assert parent is not None and parent.name == names.CONVOY
                assert parent.start_ns <= span.start_ns <= span.end_ns
            if span.name == names.PREDICT and span.links:
                (link,) = span.links
                convoy = by_id[link.span_id]
                assert convoy.name == names.CONVOY
                assert span.context.span_id in [each.span_id for each in convoy.links]


@contextmanager
def told_spans(**settings: Any) -> Iterator[ToldSpans]:
    """Has this process tell its spans here, those of all requests unless `settings` say otherwise.

    Parts that are made meanwhile keep it.

    Args:
        settings: of `Tracing`.
    """
    told, before = ToldSpans(), process_tracing()
    set_process_tracing(Tracing(told, **{"sample_rate": 1.0} | settings))
    try:
        yield told
    finally:
        set_process_tracing(before)
