"""What the engine wants of the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.call import Call


class ChannelApi(Protocol):
    """The connections of one process to one target. One thread, no event loop: who uses it polls.

    Attributes:
        on_ended: called with each call that is over, from within `poll`, and not before `start`
            has returned. It may start others.
        on_message: called with each message of a call, without gRPC's prefix; None: not called.
        bytes_sent: to sockets so far.
        bytes_received: from sockets so far.
    """

    on_ended: Callable[[Call], None]
    on_message: Callable[[Call, bytes], None] | None
    bytes_sent: int
    bytes_received: int

    def connect(self) -> None:
        """Sets up all connections.

        Raises:
            LoadError: none of the target's addresses answers in HTTP/2 within the time for it.
        """

    def start(self, call: Call, request: Request, *, last: bool) -> None:
        """Makes a call with all messages of a request; they leave with the next `poll`.

        Without a connection it waits for one, until its deadline; when connecting fails, it ends
        with UNAVAILABLE.

        Args:
            call: the call; its `deadline_ns` goes out as grpc-timeout and is kept to here.
            request: what is sent.
            last: True if the caller's side is closed with it.
        """

    def send(self, call: Call, message: bytes, *, last: bool) -> None:
        """Sends one more message of a stream; a call that is over ignores it."""

    def close_sending(self, call: Call) -> None:
        """Closes the caller's side of a stream; a call that is over ignores it."""

    def unsent(self, call: Call) -> int:
        """Returns how many bytes wait to be sent: of a stream, and of all beside it.

        Who sends without end waits while there are many, or keeps them all in memory.
        """

    def cancel(self, call: Call, status: int, message: str) -> None:
        """Ends a call here and now, with a status of the caller's own; `on_ended` is called."""

    def poll(self, wait_s: float) -> None:
        """Sends what is waiting, then reads what comes, or waits for it.

        Args:
            wait_s: longest wait, in seconds, kept to within microseconds; 0 for none.
        """

    def close(self) -> None:
        """Closes all connections; calls in flight are forgotten."""
