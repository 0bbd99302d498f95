"""Pushes to HTTPS endpoints, by Standard Webhooks 1.0.0.

What the endpoint answers is bounded in every way: no redirect is followed, nothing is
decompressed, at most `MAX_BODY_BYTES` are read, and all of it within the time of the attempt.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tailrace.runtime.tracing.trace_context import TRACEPARENT, TRACESTATE
from tailrace.submissions.push import outcome as results
from tailrace.submissions.push.address_rules import AddressRules, RefusedAddress
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.name_lookup import LookupFailed, NameLookup
from tailrace.submissions.push.outcome import PushOutcome, failed
from tailrace.submissions.push.push_item import PushItem
from tailrace.submissions.push.retry_after import retry_after_s
from tailrace.submissions.push.terse_replies import TerseReplies

MAX_BODY_BYTES = 64 * 1024
# The status has said it all; the body is read for the connection's sake only.
BODY_WAIT_S = 0.5
# Shorter than servers' own, the shortest of which is 5 s: one of us has to be the first to close.
KEEPALIVE_S = 4.0
GONE = 410
_READ_BYTES = 16 * 1024


class WebhookSender:
    """Posts signed results; keeps connections open for a while."""

    def __init__(
        self, rules: AddressRules, names: NameLookup, *, ca_file: Path | None = None
    ) -> None:
        """Takes what may be connected to, and how names are looked up.

        Args:
            rules: which addresses may be connected to.
            names: looks names up.
            ca_file: PEM certificates that endpoints' are signed by; None for the system's.

        Raises:
            OSError: the file of certificates cannot be used.
        """
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(names),
            # Here every connection passes, also to a host that is an address itself.
            socket_factory=_CheckedSockets(rules),
            use_dns_cache=False,
            ssl=context,
            # How many there may be is the callers' to say.
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
        )
        # There is no argument for it.
        replies: Any = functools.partial(TerseReplies, loop=asyncio.get_running_loop())
        connector._factory = replies
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent",),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "tailrace",
            },
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def push(self, destination: Destination, item: PushItem, timeout_s: float) -> PushOutcome:
        """Makes one attempt. Never raises but for cancellation.

        Args:
            destination: a webhook endpoint.
            item: what to send.
            timeout_s: for all of it, from looking the name up to the answer's status.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(destination, item)
        except TimeoutError:
            return failed(results.TIMEOUT)
        except RefusedAddress:
            return failed(results.REFUSED_ADDRESS)
        except LookupFailed:
            return failed(results.NO_ADDRESS)
        except aiohttp.ClientConnectorDNSError:
            return failed(results.NO_ADDRESS)
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return failed(results.TLS_ERROR)
        except aiohttp.ClientConnectorError:
            return failed(results.CONNECT_ERROR)
        except (aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError):
            return failed(results.BAD_RESPONSE)
        except aiohttp.InvalidURL:
            return failed(results.BAD_TARGET)
        except (aiohttp.ClientError, OSError):
            return failed(results.CONNECTION_LOST)

    async def _post(self, destination: Destination, item: PushItem) -> PushOutcome:
        now_s = time.time()
        body = item.webhook_body()
        signatures = [
            signer.sign(item.delivery_id, int(now_s), body)
            for signer in destination.live_signers(int(now_s * 1000))
        ]
        headers = {
            "webhook-id": item.delivery_id,
            "webhook-timestamp": str(int(now_s)),
            "webhook-signature": " ".join(signatures),
        }
        if item.traceparent:
            headers[TRACEPARENT] = item.traceparent
            if item.tracestate:
                headers[TRACESTATE] = item.tracestate
        response = await self._session.post(
            URL(destination.target.url, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            # The time is kept around all of it.
            timeout=aiohttp.ClientTimeout(total=None),
        )
        try:
            outcome = _outcome(response, now_s)
            if await _is_short(response):
                response.release()
        finally:
            # No effect on one that was read to its end; else the connection is closed.
            response.close()
        return outcome


def _outcome(response: aiohttp.ClientResponse, now_s: float) -> PushOutcome:
    status = response.status
    delivered = 200 <= status < 300
    return PushOutcome(
        delivered=delivered,
        result=f"HTTP {status}",
        retry_after_s=(
            None if delivered else retry_after_s(response.headers.get("Retry-After"), now_s)
        ),
        gone=status == GONE,
    )


async def _is_short(response: aiohttp.ClientResponse) -> bool:
    """Reads the body, and returns whether it ended early enough to use the connection again."""
    size = 0
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            while not response.content.at_eof():
                size += len(await response.content.read(_READ_BYTES))
                if size >= MAX_BODY_BYTES:
                    return False
    except (TimeoutError, aiohttp.ClientError, OSError):
        return False
    return True


class _CheckedResolver(AbstractResolver):
    """Gives aiohttp addresses that have been checked."""

    def __init__(self, names: NameLookup) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses of a name. Raises LookupFailed, RefusedAddress."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._names.addresses(host)
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


class _CheckedSockets:
    """Makes sockets for addresses that may be connected to, and for no others."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules

    def __call__(self, address_info: Sequence[Any]) -> socket.socket:
        """Returns a socket for an entry as `getaddrinfo` gives it. Raises RefusedAddress."""
        family, kind, protocol, _, place = address_info
        self._rules.check(ipaddress.ip_address(place[0]))
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made
