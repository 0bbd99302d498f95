"""How a stream on asyncio has really ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

_WRITE_FAILED = "Internal error from Core"
_STATUS_DUE_S = 1.0

T = TypeVar("T")


class CallEnd:
    """The status with which the other side ended a call.

    A write that is under way when the server ends the call fails, and grpc.aio then says
    INTERNAL in place of what the server said, before or after that has arrived:
    https://github.com/grpc/grpc/issues/36066. It calls back for each, so that both can be told
    apart.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        """Listens to a call that has just been opened."""
        loop = asyncio.get_running_loop()
        self._told: asyncio.Future[grpc.aio.AioRpcError] = loop.create_future()
        call.add_done_callback(self._note)

    async def status(self, seen: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Returns the status, which may be OK; waits for it where only a write has failed yet.

        Args:
            seen: what reading from the call raised; stands where nothing better comes.
        """
        if self._told.done() or seen.details() == _WRITE_FAILED:
            await asyncio.wait([self._told], timeout=_STATUS_DUE_S)
        return self._told.result() if self._told.done() else seen

    def _note(self, call: grpc.aio.Call) -> None:
        details = at_once(call.details())
        if details != _WRITE_FAILED and not self._told.done():
            code, trailing = at_once(call.code()), at_once(call.trailing_metadata())
            end = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=details)
            self._told.set_result(end)


def at_once(answer: Coroutine[Any, Any, T]) -> T:
    """Returns what a coroutine says that has nothing to wait for: it may be another a step later.

    Raises:
        RuntimeError: it waits.
    """
    try:
        answer.send(None)
    except StopIteration as end:
        said: T = end.value
        return said
    answer.close()
    raise RuntimeError("a call that has ended does not know how")
