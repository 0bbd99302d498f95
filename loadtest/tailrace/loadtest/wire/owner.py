"""What connections want of the channel whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.encoded_request import EncodedRequest
from tailrace.loadtest.wire.request_headers import RequestHeaders
from tailrace.loadtest.wire.stream import Stream

if TYPE_CHECKING:
    from tailrace.loadtest.wire.connection import Connection


class Owner(Protocol):
    """What a connection wants of its channel.

    Attributes:
        on_ended: told of each call that is over.
        on_message: told of each message; None if nobody wants to hear.
        keep_responses: calls keep their last message.
        single: each call is answered with one message.
        max_receive: largest message in bytes; None for no limit.
        headers: what all requests begin with.
        unflushed: connections that have something to send.
    """

    on_ended: Callable[[Call], None]
    on_message: Callable[[Call, bytes], None] | None
    keep_responses: bool
    single: bool
    max_receive: int | None
    headers: RequestHeaders
    unflushed: list[Connection]

    def encoded(self, request: Request) -> EncodedRequest:
        """Returns a request's frames."""

    def retry(self, stream: Stream, now: int) -> None:
        """Makes a call again that the server has not looked at; after a pause, if it was before."""
