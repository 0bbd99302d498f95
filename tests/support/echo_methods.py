"""A server with one method of each of gRPC's four kinds, for tests of what stands around calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

SERVICE = "test.Echo"
KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass
class EchoMethods:
    """Echoes bytes; `wait` is answered by nothing, and `fail` by FAILED_PRECONDITION.

    Attributes:
        target: where it listens.
        metadata: of each call, in order of arrival.
        entered: released for each call that waits.
        left: released for each call that was cancelled while it waited.
    """

    target: str = ""
    metadata: list[list[tuple[str, Any]]] = field(default_factory=list)
    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    left: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def unary_unary(self, request: bytes, context: Context) -> bytes:
        """Answers with the request."""
        self._note(context)
        return await self._answer(request, context)

    async def unary_stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """Answers twice with the request; `wait` once, and then waits."""
        self._note(context)
        yield request
        yield await self._answer(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """Answers with the last request."""
        self._note(context)
        last = b""
        async for request in requests:
            last = await self._answer(request, context)
        return last

    async def stream_stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        """Answers each request; to `wait` once, and then it waits."""
        self._note(context)
        async for request in requests:
            if request == b"wait":
                yield request
            yield await self._answer(request, context)

    def _note(self, context: Context) -> None:
        self.metadata.append(
            [(str(key), value) for key, value in context.invocation_metadata() or ()]
        )

    async def _answer(self, request: bytes, context: Context) -> bytes:
        if request == b"fail":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
        if request == b"wait":
            self.entered.release()
            try:
                await asyncio.Event().wait()
            finally:
                self.left.release()
        return request

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Returns the handlers by name."""
        made: tuple[Any, ...] = (
            grpc.unary_unary_rpc_method_handler(self.unary_unary),
            grpc.unary_stream_rpc_method_handler(self.unary_stream),
            grpc.stream_unary_rpc_method_handler(self.stream_unary),
            grpc.stream_stream_rpc_method_handler(self.stream_stream),
        )
        return dict(zip(KINDS, made, strict=True))


@asynccontextmanager
async def echo_methods(**options: Any) -> AsyncIterator[EchoMethods]:
    """A running server; `options` are those of `grpc.aio.server`."""
    echo = EchoMethods()
    server = grpc.aio.server(**options)
    server.add_registered_method_handlers(SERVICE, echo.handlers())
    echo.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield echo
    finally:
        await server.stop(None)
