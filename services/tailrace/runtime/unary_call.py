"""One unary call, driven on gRPC's inside with a task for its handler at most.

grpc.aio spends two tasks, a dozen coroutines and a future per event on each call. Here an event of
a call ends in a function. `accepting.py` looks for all that is used of gRPC's inside.

Two kinds of handler: a coroutine function, as registered, runs in a task. One that is marked by
`also_begun_by` is told of the request, and answers whenever it can; there is no task then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # private, and so without types

from tailrace.runtime.batches import Batches
from tailrace.runtime.call_count import CallCount
from tailrace.runtime.error_mapping import error_status, unexpected
from tailrace.runtime.errors import Code, TailraceError

USED_OF_GRPC = (
    "AbortError",
    "ExecuteBatchError",
    "ReceiveCloseOnServerOperation",
    "ReceiveMessageOperation",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
    "_ServicerContext",
    "execute_batch",
)

_log = structlog.get_logger(__name__)
_core: Any = cygrpc
_NO_FLAGS = 0
_RESOURCE_EXHAUSTED = Code.RESOURCE_EXHAUSTED.value


class UnaryCall:
    """A call of which nothing is known yet but its method."""

    def __init__(self, batches: Batches, state: Any, over: Callable[[UnaryCall], None]) -> None:
        """Keeps the parts.

        Args:
            batches: runs its operations.
            state: gRPC's, of the call.
            over: called once nothing more happens to it.
        """
        self._batches = batches
        self._state = state
        self._over = over
        self._gone = False
        self._answered = False
        self._closing = _core.ReceiveCloseOnServerOperation(_NO_FLAGS)
        self._receiving = _core.ReceiveMessageOperation(_NO_FLAGS)

    def begin(self) -> None:
        """Reads the request, and watches for the caller to leave."""
        self._batches.start(self._state, (self._closing,), self._closed)
        self._batches.start(self._state, (self._receiving,), self._received)

    def refuse(self) -> None:
        """Ends the call: there are as many as are allowed."""
        self._batches.start(self._state, (self._closing,), self._closed)
        self._finish(None, _RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", ())

    def _received(self, done: bool) -> None:
        data = self._receiving.message() if done else None
        if data is None or self._gone:
            self._end()
        else:
            self._serve(data)

    def _closed(self, done: bool) -> None:
        if not done or self._closing.cancelled():
            self._gone = True
            if not self._answered:
                self._left()

    def _serve(self, data: bytes) -> None:
        raise NotImplementedError

    def _left(self) -> None:
        """Ends the work: the caller has left."""

    def _new_context(self) -> Any:
        return _core._ServicerContext(self._state, None, None, asyncio.get_running_loop())

    def _finish(self, data: bytes | None, code: int, details: str, metadata: Any) -> None:
        # A call that is cancelled may outlive its server, which gRPC does not expect.
        if self._gone:
            self._end()
            return
        self._answered = True
        status = _core.SendStatusFromServerOperation(metadata, code, details, _NO_FLAGS)
        first = _core.SendInitialMetadataOperation(None, _NO_FLAGS)
        if data is None:
            operations: tuple[Any, ...] = (first, status)
        else:
            operations = (first, _core.SendMessageOperation(data, _NO_FLAGS), status)
        self._batches.start(self._state, operations, self._end)

    def _end(self, _: bool = True) -> None:
        self._over(self)


class TaskCall(UnaryCall):
    """Runs a coroutine function in a task."""

    def __init__(
        self,
        batches: Batches,
        state: Any,
        over: Callable[[UnaryCall], None],
        handler: grpc.RpcMethodHandler[Any, Any],
    ) -> None:
        """Keeps the handler, and the rest as `UnaryCall`."""
        super().__init__(batches, state, over)
        self._handler: Any = handler
        self._task: asyncio.Task[None] | None = None

    def _serve(self, data: bytes) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(data))
        # One that is cancelled before it begins never runs.
        self._task.add_done_callback(self._task_over)

    def _task_over(self, _: asyncio.Task[None]) -> None:
        if not self._answered:
            self._end()

    def _left(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, data: bytes) -> None:
        context = self._new_context()
        try:
            answer = await self._handler.unary_unary(data, context)
            serialize = self._handler.response_serializer
            answer = answer if serialize is None else serialize(answer)
        except (_core.AbortError, _core.ExecuteBatchError):
            return  # the status has been sent, or the caller has left
        except Exception as error:
            failure = unexpected(error)
            self._finish(None, *error_status(failure))
        else:
            code = _number(context.code())
            data = answer if code == grpc.StatusCode.OK.value[0] else b""
            self._finish(data, code, context.details(), context.trailing_metadata())


class DirectCall(UnaryCall):
    """Tells a handler of the request, which answers or fails it later.

    Attributes:
        abandon: called if the caller leaves before there is an answer.
    """

    def __init__(
        self,
        batches: Batches,
        state: Any,
        over: Callable[[UnaryCall], None],
        begin: Callable[[bytes, DirectCall], None],
        count: CallCount,
    ) -> None:
        """Keeps what begins to serve it and what counts it, and the rest as `UnaryCall`."""
        super().__init__(batches, state, over)
        self._begin_serving = begin
        self._count = count
        self._started = 0.0
        self._settled = False
        self._context: Any = None
        self.abandon: Callable[[], None] | None = None

    def time_remaining(self) -> float | None:
        """Returns the seconds until the call's deadline, or None if it has none."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    def invocation_metadata(self) -> Any:
        """Returns the metadata that the caller sent, as pairs."""
        return self._context.invocation_metadata()

    def answer(self, message: Serializable) -> None:
        """Answers; without effect where the call has its outcome already."""
        if self._settled:
            return
        try:
            data = message.SerializeToString()
        except Exception as error:  # one answer that cannot be written, of many being handed out
            self.fail(unexpected(error))
            return
        self._settle(Code.OK)
        self._finish(data, 0, "", ())

    def fail(self, error: TailraceError) -> None:
        """Ends the call with an error; without effect where it has its outcome already."""
        if not self._settled:
            self._settle(error.code)
            self._finish(None, *error_status(error))

    def _serve(self, data: bytes) -> None:
        self._started = self._count.began()
        self._context = self._new_context()
        try:
            self._begin_serving(data, self)
        except TailraceError as error:
            self.fail(error)
        except Exception as error:  # the edge: whatever is left is INTERNAL with an opaque id
            self.fail(unexpected(error))

    def _left(self) -> None:
        if not self._settled and self._started:
            self._settle(Code.CANCELLED)
            if self.abandon is not None:
                self.abandon()
            self._end()

    def _settle(self, code: Code) -> None:
        self._settled = True
        self.abandon = None if code is not Code.CANCELLED else self.abandon
        self._count.ended(code, self._started)


class Serializable(Protocol):
    """A message."""

    def SerializeToString(self) -> bytes:
        """Returns it in the wire format."""
        ...


def _number(code: Any) -> int:
    return int(code.value[0] if isinstance(code, grpc.StatusCode) else code or 0)
