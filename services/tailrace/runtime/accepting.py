"""Accepts calls ahead of their turn.

grpc.aio asks its core for the next call only once it has taken in the one before, which takes
about four turns of the event loop. Under load, when turns are long, calls then wait unseen, and no
convoy can be formed of them. Here each unary method has further requests for calls standing, so
that many calls arrive in one turn, and each call that comes this way is served with little more
than gRPC's core (`unary_call.py`). See `event_loop.py` for what that is worth.

gRPC has no public way to do this. What is used of its inside is looked for first; where any of it
is missing, calls are accepted one at a time, as gRPC does by itself. Seen with grpcio 1.85.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # private, and so without types

from tailrace.runtime.batches import Batches
from tailrace.runtime.call_count import CallCount
from tailrace.runtime.error_mapping import Begin
from tailrace.runtime.unary_call import (
    USED_OF_GRPC,
    DirectCall,
    TaskCall,
    UnaryCall,
)

ACCEPTED_AHEAD = 16
_OF_SERVER = ("_request_registered_call",)
_OF_MODULE = ("_RequestCallError", *USED_OF_GRPC)

_log = structlog.get_logger(__name__)


class Accepting:
    """Keeps requests for calls standing, beside the server's own."""

    def __init__(self, server: grpc.aio.Server, max_calls: int) -> None:
        """Keeps the parts.

        Args:
            server: whose calls to accept.
            max_calls: most calls in flight of those accepted here; more are refused.
        """
        self._core: Any = getattr(server, "_server", None)
        self._max_calls = max_calls
        self._calls: set[UnaryCall] = set()
        self._standing: list[asyncio.Task[None]] = []

    @property
    def busy(self) -> bool:
        """Whether any call that was accepted here is not over."""
        return bool(self._calls)

    def start(
        self,
        methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
        begins: Mapping[str, tuple[Begin, CallCount]],
    ) -> None:
        """Begins; call once the server has started.

        Args:
            methods: registered unary methods by full name, such as `/tailrace.v1.X/Y`.
            begins: of those that are served without a task, what begins and what counts them.
        """
        missing = [name for name in _OF_SERVER if not hasattr(self._core, name)]
        missing += [name for name in _OF_MODULE if not hasattr(cygrpc, name)]
        if missing:
            _log.warning("calls are accepted one at a time: gRPC has changed", missing=missing)
            return
        batches = Batches(asyncio.get_running_loop())

        def in_task(method: str) -> Callable[[Any], UnaryCall]:
            handler = methods[method]
            return lambda state: TaskCall(batches, state, self._calls.discard, handler)

        def direct(method: str) -> Callable[[Any], UnaryCall]:
            begin, count = begins[method]
            return lambda state: DirectCall(batches, state, self._calls.discard, begin, count)

        for method in methods:
            make = direct(method) if method in begins else in_task(method)
            for _ in range(ACCEPTED_AHEAD):
                self._standing.append(asyncio.create_task(self._accept(method.encode(), make)))

    async def stop(self) -> None:
        """Ends what still stands; call once the server has stopped."""
        for task in self._standing:
            task.cancel()
        if self._standing:
            await asyncio.wait(self._standing)

    async def _accept(self, method: bytes, make: Callable[[Any], UnaryCall]) -> None:
        core: Any = cygrpc
        while True:
            try:
                state = await self._core._request_registered_call(method)
            except core._RequestCallError:
                return  # the server is shutting down
            call = make(state)
            full = len(self._calls) >= self._max_calls
            self._calls.add(call)
            if full:
                call.refuse()
            else:
                call.begin()
