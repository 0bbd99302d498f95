"""The span of a batch of events, from its arrival until lookups see it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, SpanKind
from tailrace.runtime.tracing.timed_span import timed_span
from tailrace.runtime.tracing.trace_context import TraceContext, read_traceparent
from tailrace.runtime.tracing.tracing import Tracing

METHOD = "tailrace.v1.EventService/IngestEvents"
MAX_LINKS = 128
"""Most producers that one span links to: as many as OpenTelemetry keeps by default."""


def call_span(
    tracing: Tracing, trace: TraceContext, event: str, count: int
) -> tuple[dict[str, AttributeValue], AbstractContextManager[None]]:
    """Returns what the span of a batch of a call says, and the span around its being applied.

    Args:
        tracing: takes the span.
        trace: the place of the caller's span.
        event: name of the event type.
        count: events of the batch.
    """
    attributes: dict[str, AttributeValue] = {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: METHOD,
        names.EVENT: event,
        names.EVENTS: count,
    }
    span = timed_span(
        tracing,
        names.APPLY_EVENTS,
        trace.child(),
        SpanKind.SERVER,
        attributes,
        start_ns=time.monotonic_ns(),
    )
    return attributes, span


def entries_span(
    tracing: Tracing, producers: Sequence[TraceContext], partition: int, count: int
) -> tuple[dict[str, AttributeValue], AbstractContextManager[None]]:
    """Returns what the span of entries of a stream says, and the span around their being applied.

    It is below the first producer, and links to the others.

    Args:
        tracing: takes the span.
        producers: the places of spans that entries were made in; at least one.
        partition: of the stream.
        count: entries.
    """
    attributes: dict[str, AttributeValue] = {
        names.MESSAGING_SYSTEM: "redis",
        names.BATCH_COUNT: count,
        names.PARTITION: partition,
    }
    links = producers[1 : MAX_LINKS + 1]
    span = timed_span(
        tracing,
        names.APPLY_EVENTS,
        producers[0].child(),
        SpanKind.CONSUMER,
        attributes,
        links=links,
    )
    return attributes, span


def producers_of(entries: Sequence[Mapping[bytes, bytes]]) -> list[TraceContext]:
    """Returns the places in the sample that entries name as their producers', each once."""
    found: dict[tuple[str, str], TraceContext] = {}
    for fields in entries:
        named = fields.get(TRACEPARENT_FIELD)
        if named is None:
            continue
        # What is no such thing is nobody's to complain of: the event is as good without.
        trace = read_traceparent(named.decode("ascii", errors="replace"))
        if trace is not None and trace.sampled:
            found.setdefault((trace.trace_id, trace.span_id), trace)
    return list(found.values())


TRACEPARENT_FIELD = b"traceparent"
"""The field of an entry that names its producer's span, as W3C's header does."""
