"""A span that lasts as long as a body of code, told once that is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.logs import failure_text
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing


@contextmanager
def timed_span(
    tracing: Tracing,
    name: str,
    place: TraceContext,
    kind: SpanKind,
    attributes: dict[str, AttributeValue],
    *,
    start_ns: int | None = None,
    links: Sequence[TraceContext] = (),
) -> Iterator[None]:
    """Tells a span once the body is left, by whatever way: cancelled and failed ones, too.

    For what is traced only, as it costs some microseconds.

    Args:
        tracing: takes the span.
        name: of the span.
        place: of the span.
        kind: of the span.
        attributes: the body may add to them; calls by gRPC get their status.
        start_ns: on the monotonic clock; by default, now.
        links: of the span.
    """
    started_ns = time.monotonic_ns() if start_ns is None else start_ns
    code, message = Code.OK, ""
    try:
        yield
    except TailraceError as error:
        code, message = error.code, failure_text(error)
        raise
    except asyncio.CancelledError:
        code = Code.CANCELLED
        raise
    except BaseException as error:
        # Its words are for the log.
        code, message = Code.INTERNAL, type(error).__name__
        raise
    finally:
        if names.RPC_SYSTEM in attributes:
            attributes[names.RPC_STATUS] = code.name
        ended_ns = time.monotonic_ns()
        tracing.tell(
            Span(name, place, kind, started_ns, ended_ns, attributes, code, message, links)
        )
