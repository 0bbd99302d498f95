"""What both tools are asked to do: the kinds of methods that the echo server has."""

from __future__ import annotations

from dataclasses import dataclass

# A stream is a few messages with pauses between them, or without. With pauses, ghz's take longer
# than ours; with few long ones, by little.
_PAUSED = ("--stream-call-count", "3", "--stream-interval", "5ms")
_FIVE = ("--stream-call-count", "5")
_OPEN = ("--async",)


@dataclass(frozen=True, slots=True)
class Workload:
    """Calls of one method in one way.

    Attributes:
        name: in tables and figures.
        method: of the echo server.
        flags: of both tools, but for rate, length and callers.
        status: what each call has to end with.
        data: what is sent, as JSON.
    """

    name: str
    method: str
    flags: tuple[str, ...] = ()
    status: str = "OK"
    data: str = '"aGVsbG8sIHdobyBpcyB0aGVyZT8="'


AGREEMENTS = (
    Workload("unary", "Say"),
    Workload("unary, open loop", "Say", _OPEN),
    Workload("client stream", "Collect", _PAUSED),
    Workload(
        "client stream, open loop, a template for each message",
        "Collect",
        (*_OPEN, *_PAUSED, "--stream-dynamic-messages"),
        data='"{{randomString 16}}"',
    ),
    Workload("server stream", "Repeat"),
    Workload(
        "server stream, open loop, cancelled after three answers",
        "Follow",
        (*_OPEN, "--stream-call-count", "3", "--count-errors"),
        status="Canceled",
    ),
    Workload("bidirectional", "Chat", _PAUSED),
    Workload(
        "bidirectional, open loop, closed after 20 ms",
        "Chat",
        ("--stream-call-count", "50", "--stream-interval", "8ms", "--stream-call-duration", "20ms")
        + _OPEN,
    ),
)
"""Compared at a rate, while the server waits."""

UNARY_COST = Workload("unary", "Say")
STREAM_COSTS = (
    Workload("client stream", "Collect", _FIVE),
    Workload("bidirectional", "Chat", _FIVE),
)
"""Compared as fast as they go."""
