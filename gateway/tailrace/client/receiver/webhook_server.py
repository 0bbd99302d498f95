"""Serves a webhook receiver with aiohttp."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = Callable[[list[tuple[str, str]], bytes], Awaitable[tuple[int, dict[str, str]]]]

_READ_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def serve_http(
    answer: Answer,
    max_body_bytes: int,
    host: str,
    port: int,
    certificate_file: Path | str | None,
    key_file: Path | str | None,
) -> AsyncIterator[str]:
    """Serves inside the block, which is given the URL; see `WebhookReceiver.serving`.

    Raises:
        OSError: the port is in use, or a file cannot be read.
    """
    from aiohttp import web

    async def respond(request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        body = await _body(request, max_body_bytes)
        status, headers = await answer(list(request.headers.items()), body)
        return web.Response(status=status, headers=headers)

    context = None
    if certificate_file is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate_file, key_file)
    # One handler for every path. Its own decompression would undo what was signed.
    runner = web.ServerRunner(web.Server(respond, auto_decompress=False, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
        scheme = "http" if context is None else "https"
        real_port = runner.addresses[0][1]
        yield f"{scheme}://{f'[{host}]' if ':' in host else host}:{real_port}/"
    finally:
        await runner.cleanup()


async def _body(request: Any, max_body_bytes: int) -> bytes:
    """Returns the body, or a little more than is allowed."""
    parts: list[bytes] = []
    size = 0
    while size <= max_body_bytes and (part := await request.content.read(_READ_BYTES)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
