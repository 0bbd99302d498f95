"""What connections a channel makes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.wire.target import Target, parse_target
from tailrace.loadtest.wire.tls import server_name, tls_context


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


def link_plan(options: LoadOptions, connections: int) -> LinkPlan:
    """Returns what connections options ask for.

    Args:
        options: the target, TLS, how calls are spread, timeouts.
        connections: how many; with `round_robin`, to each of the target's addresses.

    Raises:
        LoadError: the target is no address, or a certificate cannot be read.
    """
    target = parse_target(options.host)
    return LinkPlan(
        target=target,
        context=tls_context(options),
        server_name=server_name(options, target),
        count=connections,
        spread=options.lb_strategy == "round_robin",
        attempt_s=options.connect_timeout,
        keepalive_s=options.keepalive,
    )
