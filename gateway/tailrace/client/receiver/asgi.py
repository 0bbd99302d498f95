"""A webhook receiver as an ASGI application (https://asgi.readthedocs.io/, HTTP 2.x)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tailrace.client.receiver.intake import Intake

Answer = Callable[[list[tuple[str, str]], bytes], Awaitable[tuple[int, dict[str, str]]]]


async def serve_asgi(
    answer: Answer, max_body_bytes: int, intake: Intake, scope: Any, receive: Any, send: Any
) -> None:
    """Answers one connection as ASGI has it: a request, or the server's start and end.

    Raises:
        RuntimeError: it is neither, such as a websocket.
    """
    if scope["type"] == "lifespan":
        await _lifespan(intake, receive, send)
        return
    if scope["type"] != "http":
        raise RuntimeError(f"a webhook receiver serves HTTP, not {scope['type']}")
    status, headers = 405, {"Allow": "POST"}
    if scope["method"] == "POST":
        body = await _body(receive, max_body_bytes)
        if body is None:
            return
        sent = scope["headers"]
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent]
        status, headers = await answer(found, body)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Any, max_body_bytes: int) -> bytes | None:
    """Returns the body, or more of it than is allowed; None if the sender has gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_body_bytes or not message.get("more_body", False):
            return b"".join(parts)


async def _lifespan(intake: Intake, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await intake.drain()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})
