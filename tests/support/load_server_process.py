"""The process of a load server: `python -m tests.support.load_server_process JSON`.

Prints its address once it listens, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection

from tests.support.load_messages import SERVICE, echo_pool, message_class

Context = grpc.aio.ServicerContext[Any, Any]


class EchoService:
    """The methods of `load_protos/echo.proto`."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._now = 0
        self._peers: dict[str, None] = {}
        self._response = message_class("EchoResponse")

    async def echo(self, request: Any, context: Context) -> Any:
        """Answers with the request."""
        with _Call(self, context):
            return await self._answer(request, context, 1)

    async def collect(self, requests: AsyncIterator[Any], context: Context) -> Any:
        """Answers with the last message."""
        with _Call(self, context):
            read, last = 0, message_class("EchoRequest")()
            async for request in requests:
                read, last = read + 1, request
            return await self._answer(last, context, read)

    async def repeat(self, request: Any, context: Context) -> AsyncIterator[Any]:
        """Answers some times."""
        with _Call(self, context):
            for _ in range(request.answers or 1):
                yield await self._answer(request, context, 1)

    async def chat(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Answers each message."""
        with _Call(self, context):
            read = 0
            async for request in requests:
                read += 1
                yield await self._answer(request, context, read)

    async def seen(self, request: Any, context: Context) -> Any:
        """Tells what there was so far."""
        return message_class("SeenResponse")(**self._counts, peers=list(self._peers))

    async def _answer(self, request: Any, context: Context, read: int) -> Any:
        self._counts["messages"] += 1
        if request.delay_ms:
            await asyncio.sleep(request.delay_ms / 1000)
        if request.trailers:
            context.set_trailing_metadata(tuple(request.trailers.items()))
        if request.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            await context.abort(codes[request.code], request.message)
        remaining: Any = context.time_remaining()
        given: Any = context.invocation_metadata() or ()
        metadata = [
            {"name": name, "value": value.encode() if isinstance(value, str) else value}
            for name, value in given
        ]
        return self._response(
            text=request.text,
            payload=request.payload + b"\0" * request.padding,
            read=read,
            metadata=metadata,
            deadline_ms=1000 * remaining if remaining is not None else 0,
            peer=context.peer(),
        )

    def entered(self, context: Context) -> None:
        """Counts a call that begins."""
        self._now += 1
        self._counts["calls"] += 1
        self._counts["most_at_a_time"] = max(self._counts["most_at_a_time"], self._now)
        self._peers[context.peer()] = None

    def left(self, *, cancelled: bool) -> None:
        """Counts a call that is over."""
        self._now -= 1
        self._counts["cancelled"] += cancelled


class _Call:
    def __init__(self, service: EchoService, context: Context) -> None:
        self._service, self._context = service, context

    def __enter__(self) -> None:
        self._service.entered(self._context)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        self._service.left(cancelled=cancelled)


def _handlers(service: EchoService) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    kinds: dict[str, tuple[Any, Any, str]] = {
        "Echo": (grpc.unary_unary_rpc_method_handler, service.echo, "Echo"),
        "Collect": (grpc.stream_unary_rpc_method_handler, service.collect, "Echo"),
        "Repeat": (grpc.unary_stream_rpc_method_handler, service.repeat, "Echo"),
        "Chat": (grpc.stream_stream_rpc_method_handler, service.chat, "Echo"),
        "Seen": (grpc.unary_unary_rpc_method_handler, service.seen, "Seen"),
    }
    return {
        name: make(
            method,
            request_deserializer=message_class(f"{messages}Request").FromString,
            response_serializer=message_class(f"{messages}Response").SerializeToString,
        )
        for name, (make, method, messages) in kinds.items()
    }


def _credentials(config: dict[str, Any]) -> grpc.ServerCredentials:
    roots = Path(config["client_roots"]).read_bytes() if config["client_roots"] else None
    pair = (Path(config["key"]).read_bytes(), Path(config["cert"]).read_bytes())
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


async def serve(config: dict[str, Any]) -> None:
    """Serves until standard input ends."""
    options = [("grpc.so_reuseport", 0), *((name, value) for name, value in config["options"])]
    server = grpc.aio.server(options=options)
    server.add_registered_method_handlers(SERVICE, _handlers(EchoService()))
    if config["reflection"]:
        names = (SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=echo_pool())
    address = config["address"]
    if config["cert"]:
        port = server.add_secure_port(address, _credentials(config))
    else:
        port = server.add_insecure_port(address)
    await server.start()
    where = address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
    print(where, flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    # Who ends it has no use for the calls that are left.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
