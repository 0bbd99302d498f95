"""A server that has no methods, and notes the headers of every call: for tests of callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio


@dataclass
class HeardCalls(grpc.GenericRpcHandler):
    """Answers every call with UNIMPLEMENTED.

    Attributes:
        target: where it listens.
        headers: by method, those of its last call, each with all its values.
    """

    target: str = ""
    headers: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        """Notes a call, and has no handler for it."""
        heard: dict[str, list[str]] = {}
        metadata: Iterable[Any] = handler_call_details.invocation_metadata or ()
        for key, value in metadata:
            heard.setdefault(key, []).append(value)
        self.headers[handler_call_details.method.rsplit("/", 1)[1]] = heard


@asynccontextmanager
async def heard_calls() -> AsyncIterator[HeardCalls]:
    """A running server."""
    heard = HeardCalls()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((heard,))
    heard.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield heard
    finally:
        await server.stop(None)
