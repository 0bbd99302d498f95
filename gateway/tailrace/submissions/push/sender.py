"""Pushes to callbacks of every kind: what courier and gateway use."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Sequence
from pathlib import Path

import structlog

from tailrace.runtime.config import CallbackSettings
from tailrace.runtime.start_error import StartError
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.push.address_rules import AddressRules
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.grpc_sender import GrpcSender
from tailrace.submissions.push.name_lookup import GetAddrInfo, NameLookup
from tailrace.submissions.push.outcome import UNREADABLE_RESULT, PushOutcome, failed
from tailrace.submissions.push.push_item import PushItem, ping_item
from tailrace.submissions.push.webhook_sender import WebhookSender

PING_PREFIX = "ping-"

_log = structlog.get_logger(__name__)


class Sender:
    """Makes attempts, by the kind of the target; connections are kept between them."""

    def __init__(
        self,
        allowed_networks: Sequence[str],
        *,
        ca_file: Path | None = None,
        get_addr_info: GetAddrInfo = socket.getaddrinfo,
    ) -> None:
        """Opens nothing yet; wants a running event loop.

        Args:
            allowed_networks: that are not public, and that may be connected to all the same.
            ca_file: PEM certificates that receivers' are signed by; None for the system's.
            get_addr_info: the system's resolver, or another of the same shape.

        Raises:
            ValueError: a network is not one.
            OSError: the file of certificates cannot be used.
        """
        rules = AddressRules(allowed_networks)
        self._names = NameLookup(rules, get_addr_info)
        self._webhooks = WebhookSender(rules, self._names, ca_file=ca_file)
        self._grpc = GrpcSender(rules, self._names, ca_file=ca_file)

    async def close(self) -> None:
        """Closes all connections."""
        self._names.close()
        await self._webhooks.close()
        await self._grpc.close()

    async def close_idle(self) -> None:
        """Closes connections that have not been used for a while."""
        await self._grpc.close_idle()

    async def push(
        self,
        destination: Destination,
        items: Sequence[PushItem],
        timeout_s: float,
        trace: TraceContext | None = None,
    ) -> list[PushOutcome]:
        """Makes one attempt with one message. Never raises but for cancellation.

        Args:
            destination: where to.
            items: one, or up to `destination.max_batch`.
            timeout_s: for the attempt, all in all.
            trace: the place of the attempt's span, or None; it travels with a message as the items'
                own do with each of them.

        Returns:
            One outcome per item, in order.
        """
        try:
            if destination.target.is_grpc:
                return await self._grpc.push(destination, items, timeout_s, trace)
            (item,) = items
            return [await self._webhooks.push(destination, item, timeout_s)]
        except Exception as error:  # one result that cannot be sent is no reason to stop
            _log.error("push failed unexpectedly", exc_info=error)
            return [failed(UNREADABLE_RESULT)] * len(items)

    async def ping(self, destination: Destination, now_ms: int, timeout_s: float) -> PushOutcome:
        """Sends a signed ping, and returns what came of it."""
        item = ping_item(f"{PING_PREFIX}{uuid.uuid4().hex}", now_ms)
        (outcome,) = await self.push(destination, [item], timeout_s)
        return outcome


def open_sender(settings: CallbackSettings) -> Sender:
    """Returns a sender as the settings want it. Raises StartError for settings it cannot use."""
    try:
        return Sender(settings.callback_allowed_networks, ca_file=settings.callback_ca_file)
    except ValueError as error:
        raise StartError(f"TAILRACE_CALLBACK_ALLOWED_NETWORKS cannot be used: {error}") from error
    except OSError as error:
        raise StartError(f"TAILRACE_CALLBACK_CA_FILE cannot be used: {error}") from error
