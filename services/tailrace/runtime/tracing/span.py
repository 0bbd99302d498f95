"""A finished span, as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tailrace.runtime.errors import Code
from tailrace.runtime.tracing.trace_context import TraceContext

AttributeValue = str | bool | int | float | Sequence[str] | Sequence[int]


class SpanKind(Enum):
    """What a span stands for, as OpenTelemetry has it."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


@dataclass(slots=True)
class Span:
    """What is told of one span.

    Attributes:
        name: from a bounded set.
        context: its place, with the place of its parent.
        kind: what it stands for.
        start_ns: on the monotonic clock.
        end_ns: on the monotonic clock.
        attributes: by name; see `span_names`.
        code: outcome; anything but OK makes it an error, but for CANCELLED.
        message: what went wrong, or empty.
        links: places of spans that it has to do with, its parent aside.
    """

    name: str
    context: TraceContext
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Mapping[str, AttributeValue]
    code: Code = Code.OK
    message: str = ""
    links: Sequence[TraceContext] = ()
