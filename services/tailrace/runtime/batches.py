"""Batches of gRPC's operations, with a callback in place of a future and a task.

`accepting.py` looks for what is used of gRPC's inside here and in `unary_call.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # private, and so without types

from tailrace.runtime.error_mapping import unexpected

_core: Any = cygrpc


class _Waiter:
    """What a batch waits for; goes on as soon as gRPC says that it is done."""

    __slots__ = ("_batches", "batch", "then")

    def __init__(self, batches: Batches) -> None:
        self._batches = batches  # gRPC keeps no reference of its own
        self.batch: Any = None
        self.then: Callable[[bool], None] = _nothing

    def cancelled(self) -> bool:
        return False

    def set_result(self, _: None) -> None:
        done = False
        try:
            self.batch.send(None)
        except StopIteration:
            done = True
        self._end(done)

    def set_exception(self, _: Exception) -> None:
        self.batch.close()
        self._end(False)

    def __await__(self) -> Any:
        return iter((self,))

    def _end(self, done: bool) -> None:
        then, self.then, self.batch = self.then, _nothing, None
        try:
            then(done)
        except Exception as error:  # gRPC's reader goes on to the events of other calls
            unexpected(error)


class Batches:
    """Runs batches of operations, and calls back; stands in for the event loop before gRPC."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keeps the loop of this thread, on which everything is called back."""
        self._loop = loop
        self._thread = threading.get_ident()

    def start(self, state: Any, operations: tuple[Any, ...], then: Callable[[bool], None]) -> None:
        """Starts a batch.

        Args:
            state: gRPC's, of the call.
            operations: what to do.
            then: called once it is done, with whether it was; not before this returns, unless the
                call is past everything.
        """
        batch = _core.execute_batch(state, operations, self)
        try:
            waiter = batch.send(None)
        except _core.ExecuteBatchError:
            then(False)
            return
        waiter.batch, waiter.then = batch, then

    def create_future(self) -> _Waiter:
        """Returns what gRPC waits for."""
        return _Waiter(self)

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: Any) -> None:
        """Calls at once on the loop; gRPC's reader, which calls this, may run on another."""
        if threading.get_ident() == self._thread:
            callback(*args)
        else:
            self._loop.call_soon_threadsafe(callback, *args)


def _nothing(_: bool) -> None:
    return
