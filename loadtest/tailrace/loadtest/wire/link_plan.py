"""What connections a channel makes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from tailrace.loadtest.wire.target import Target


@dataclass(frozen=True)
class LinkPlan:
    """What connections are made, and to where.

    Attributes:
        target: the server.
        context: for TLS; None for plaintext.
        server_name: that certificates are checked against.
        count: connections; where they are spread, to each address.
        spread: to all addresses, and not to the first that answers.
        attempt_s: time for an attempt, in seconds; 0 for a usual one.
        keepalive_s: after so long without traffic, a ping; 0 for none.
    """

    target: Target
    context: ssl.SSLContext | None
    server_name: str
    count: int
    spread: bool
    attempt_s: float
    keepalive_s: float
