"""One call on the wire."""

from __future__ import annotations

# An instant on the monotonic clock, in nanoseconds, that does not come.
NEVER = 1 << 62


class Call:
    """One RPC: set by who makes it, and told back when it is over.

    Attributes:
        number: its number in the whole run.
        worker: number of its caller.
        intended_ns: when it was due, on the monotonic clock.
        sent_ns: when it was handed to the wire.
        ended_ns: when what ended it was read from the socket.
        deadline_ns: when it ends with DEADLINE_EXCEEDED; 0 for never.
        status: gRPC status code; -1 while it is not over.
        message: the status's message.
        responses: messages received.
        response: the last message received, without gRPC's prefix; None before the first. Kept
            only where the channel was told to.
        state: the engine's own, of a stream.
        wire: the wire's own.
    """

    __slots__ = (
        "deadline_ns",
        "ended_ns",
        "intended_ns",
        "message",
        "number",
        "response",
        "responses",
        "sent_ns",
        "state",
        "status",
        "wire",
        "worker",
    )

    def __init__(self, number: int, worker: int, intended_ns: int) -> None:
        self.number = number
        self.worker = worker
        self.intended_ns = intended_ns
        self.sent_ns = 0
        self.ended_ns = 0
        self.deadline_ns = 0
        self.status = -1
        self.message = ""
        self.responses = 0
        self.response: bytes | None = None
        self.state: object | None = None
        self.wire: object | None = None
