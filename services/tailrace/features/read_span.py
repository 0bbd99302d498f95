"""The span of what a lookup reads of Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tailrace.features.store import ViewRead
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, SpanKind
from tailrace.runtime.tracing.timed_span import timed_span
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing


@dataclass(slots=True)
class CacheTally:
    """What a lookup found in the cache.

    Attributes:
        hits: keys that were not read.
    """

    hits: int = 0


@contextmanager
def read_span(
    tracing: Tracing,
    trace: TraceContext,
    wanted: Sequence[ViewRead],
    counts: tuple[int, int],
    address: tuple[str, int],
) -> Iterator[CacheTally]:
    """Tells the span of one round trip once the body is left.

    Args:
        tracing: takes the span.
        trace: the place that the span is below.
        wanted: rows to read.
        counts: keys that are read, those of pointers among them, and further commands.
        address: host and port of Redis, or the path of its socket and 0.
    """
    keys, commands = counts
    tally = CacheTally()
    attributes: dict[str, AttributeValue] = {
        names.DB_SYSTEM: "redis",
        names.SERVER_ADDRESS: address[0],
        names.VIEWS: [read.view for read in wanted],
        names.KEYS: keys,
        names.COMMANDS: commands,
    }
    if address[1]:
        attributes[names.SERVER_PORT] = address[1]
    with timed_span(tracing, names.FEATURE_READ, trace.child(), SpanKind.CLIENT, attributes):
        try:
            yield tally
        finally:
            attributes[names.CACHE_HITS] = tally.hits
