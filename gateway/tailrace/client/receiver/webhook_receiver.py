"""Receives results over HTTPS, by Standard Webhooks 1.0.0."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tailrace.client.receiver.intake import Handler, Intake
from tailrace.client.receiver.pushed import Duplicate, Ping, PushedPrediction
from tailrace.client.receiver.refusals import CallbackGone, TryLater
from tailrace.client.receiver.seen import SeenDeliveries
from tailrace.client.receiver.webhook_event import read_event
from tailrace.webhooks.errors import MalformedDelivery, SignatureError
from tailrace.webhooks.verifying import TOLERANCE_S, Verifier

MAX_BODY_BYTES = 4 * 1024 * 1024

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class WebhookReceiver:
    """Verifies webhooks, drops duplicates, and hands the others to a handler.

    Ways to serve it: `run` and `serving` (aiohttp, with TLS), as the ASGI application that it is,
    by `answer` in any asynchronous framework, or by `receive` and `done` in any other.
    """

    def __init__(
        self,
        handler: Handler,
        keys: Sequence[str],
        *,
        seen: SeenDeliveries | None = None,
        tolerance_s: int = TOLERANCE_S,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """Reads the keys.

        Args:
            handler: takes a result, or raises.
            keys: `whsec_…` secrets and `whpk_…` public keys; one has to match, so that there may
                be several while one is being rotated.
            seen: where handled ids are kept; in memory by default.
            tolerance_s: how old or new a signature may be, in seconds.
            max_body_bytes: largest body that is read.

        Raises:
            MalformedKey: a key cannot be used, or there is none.
        """
        self._verifier = Verifier(keys, tolerance_s=tolerance_s)
        self._intake = Intake(handler, seen)
        self._max_body_bytes = max_body_bytes

    def receive(self, headers: Headers, body: bytes) -> PushedPrediction | Duplicate | Ping:
        """Returns what a request brings; calls no handler.

        Answer 204 to a Duplicate or a Ping. Handle a PushedPrediction, call `done`, and answer 204;
        if handling fails, answer 500, so that it comes again.

        Args:
            headers: of the request, in any case.
            body: as received.

        Raises:
            SignatureError: it is not to be believed; answer 401.
        """
        event = read_event(self._verifier, headers, body)
        if isinstance(event, PushedPrediction) and self._intake.seen.seen([event.delivery_id]):
            return Duplicate(event.delivery_id)
        return event

    def done(self, pushed: PushedPrediction) -> None:
        """Remembers a result that was handled, so that it counts as a Duplicate from now on."""
        self._intake.seen.remember([pushed.delivery_id])

    async def answer(self, headers: Headers, body: bytes) -> tuple[int, dict[str, str]]:
        """Returns status and headers of the answer to a request, once it was handled.

        Args:
            headers: of the request, in any case.
            body: as received.
        """
        if len(body) > self._max_body_bytes:
            return 413, {}
        try:
            event = read_event(self._verifier, headers, body)
        except MalformedDelivery:
            return 400, {}
        except SignatureError:
            return 401, {}
        if isinstance(event, Ping):
            return 204, {}
        (error,) = await self._intake.take([event])
        return _answer_to(error)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers as an ASGI application."""
        from tailrace.client.receiver.asgi import serve_asgi

        await serve_asgi(self.answer, self._max_body_bytes, self._intake, scope, receive, send)

    @contextlib.asynccontextmanager
    async def serving(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
    ) -> AsyncIterator[str]:
        """Serves with aiohttp inside the block, which is given the URL; any path will do.

        What is being handled at its end is waited for.

        Args:
            host: address to listen on.
            port: 0 for a free one.
            certificate_file: PEM certificate chain; without it, plain HTTP is served.
            key_file: PEM private key, where it is not in the same file.

        Raises:
            OSError: the port is in use, or a file cannot be read.
        """
        from tailrace.client.receiver.webhook_server import serve_http

        async with serve_http(
            self.answer, self._max_body_bytes, host, port, certificate_file, key_file
        ) as url:
            try:
                yield url
            finally:
                await self._intake.drain()

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
    ) -> None:
        """Prints the URL, and serves until Ctrl-C or SIGTERM; see `serving`."""
        from tailrace.client.receiver.running import run_until_told

        serving = self.serving(host, port, certificate_file=certificate_file, key_file=key_file)
        asyncio.run(run_until_told(serving))


def _answer_to(error: Exception | None) -> tuple[int, dict[str, str]]:
    if error is None:
        return 204, {}
    if isinstance(error, CallbackGone):
        return 410, {}
    if isinstance(error, TryLater):
        wait_s = error.retry_after_s
        return 503, {} if wait_s is None else {"Retry-After": str(max(0, round(wait_s)))}
    return 500, {}
