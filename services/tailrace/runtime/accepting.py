"""Accepts calls ahead of their turn.

grpc.aio asks its core for the next call only once it has taken in the one before, which takes
about four turns of the event loop. Under load, when turns are long, calls then wait unseen, and no
convoy can be formed of them. Here each unary method has further requests for calls standing, so
that many calls arrive in one turn. See `event_loop.py` for what that is worth.

gRPC has no public way to do this. What is used of its inside is looked for first; where any of it
is missing, calls are accepted one at a time, as gRPC does by itself. Seen with grpcio 1.85.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # private, and so without types

ACCEPTED_AHEAD = 16
_OF_SERVER = ("_request_registered_call",)
_OF_MODULE = (
    "_RequestCallError",
    "_handle_cancellation_from_core",
    "_handle_exceptions",
    "_handle_rpc",
)

_log = structlog.get_logger(__name__)


class Accepting:
    """Keeps requests for calls standing, beside the server's own."""

    def __init__(self, server: grpc.aio.Server, max_calls: int) -> None:
        """Keeps the parts.

        Args:
            server: whose calls to accept.
            max_calls: most calls in flight of those accepted here; more are refused by gRPC.
        """
        self._core: Any = getattr(server, "_server", None)
        self._max_calls = max_calls
        self._calls: set[asyncio.Task[None]] = set()
        self._standing: list[asyncio.Task[None]] = []

    @property
    def busy(self) -> bool:
        """Whether any call that was accepted here is not over."""
        return bool(self._calls)

    def start(self, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Begins; call once the server has started.

        Args:
            methods: registered unary methods by full name, such as `/tailrace.v1.X/Y`.
        """
        missing = [name for name in _OF_SERVER if not hasattr(self._core, name)]
        missing += [name for name in _OF_MODULE if not hasattr(cygrpc, name)]
        if missing:
            _log.warning("calls are accepted one at a time: gRPC has changed", missing=missing)
            return
        for method, handler in methods.items():
            for _ in range(ACCEPTED_AHEAD):
                self._standing.append(asyncio.create_task(self._accept(method, handler)))

    async def stop(self) -> None:
        """Ends what still stands; call once the server has stopped."""
        for task in self._standing:
            task.cancel()
        if self._standing:
            await asyncio.wait(self._standing)

    async def _accept(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> None:
        core: Any = cygrpc
        loop = asyncio.get_running_loop()
        resolver, name = _Resolver(handler), method.encode()
        while True:
            try:
                state = await self._core._request_registered_call(name)
            except core._RequestCallError:
                return  # the server is shutting down
            full = len(self._calls) >= self._max_calls
            call = core._handle_rpc(method, resolver, (), state, loop, full)
            task = loop.create_task(core._handle_exceptions(state, call, loop, method))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            loop.create_task(core._handle_cancellation_from_core(task, state, loop))


class _Resolver:
    """Tells gRPC the handler of a method."""

    def __init__(self, handler: grpc.RpcMethodHandler[Any, Any]) -> None:
        self._handler = handler

    def resolve_handler(self, *_: Any) -> grpc.RpcMethodHandler[Any, Any]:
        return self._handler
