"""One stream of predictions on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
)
from typing import Any, TypeAlias

import grpc
import grpc.aio

from tailrace.client.call_end import CallEnd
from tailrace.client.errors import PredictionError, ServerFault, error_of_call
from tailrace.client.stream_book import StreamBook, StreamResult, raise_end
from tailrace.client.values import Fields
from tailrace.v1.prediction_service_pb2 import PredictStreamRequest, PredictStreamResponse

Call: TypeAlias = grpc.aio.StreamStreamCall[PredictStreamRequest, PredictStreamResponse]


class AsyncStream:
    """Takes rows, sends them, and hands on what comes back, each in a task of its own."""

    def __init__(
        self,
        book: StreamBook,
        rows: Iterable[Fields] | AsyncIterable[Fields],
        open_call: Callable[[], Call],
    ) -> None:
        """Keeps what it needs; nothing is taken or sent yet.

        Args:
            book: an empty one.
            rows: the requests by field name.
            open_call: opens the call; asked for once there is a row to send.
        """
        self._book = book
        self._rows = aiter(rows) if isinstance(rows, AsyncIterable) else _each(rows)
        self._open_call = open_call
        self._call: Call | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._room, self._work, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._rows_ended = self._sent_all = self._ended = False
        self._rows_error: BaseException | None = None
        self._failure: Exception | None = None

    async def results(self) -> AsyncGenerator[StreamResult, None]:
        """Yields the results; may be called once.

        Raises:
            PredictionError: the stream broke.
            Exception: what the rows raised, once all that was taken has been yielded.
        """
        self._start(self._take_rows())
        self._start(self._send_all())
        try:
            while not self._ended:
                while (result := self._book.next_result()) is not None:
                    self._room.set()
                    yield result
                if not self._ended:
                    self._news.clear()
                    await self._news.wait()
            failure, rows_error = self._failure, self._rows_error
            # From here on no row is taken, so that none is missing from what is told.
            await self._stop()
            if isinstance(failure, PredictionError):
                self._book.broken(failure)
            while (result := self._book.next_result()) is not None:
                yield result
            raise_end(failure, rows_error)
        finally:
            await self._stop()

    async def _take_rows(self) -> None:
        try:
            while True:
                while not self._book.may_take():
                    self._room.clear()
                    await self._room.wait()
                waits = self._book.take(await anext(self._rows))
                (self._work if waits else self._news).set()
        except StopAsyncIteration:
            pass
        except BaseException as error:
            self._rows_error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._rows_ended = True
            self._work.set()

    async def _send_all(self) -> None:
        try:
            await self._send()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended; why is for the reader to say, which no call lacks.
            return

    async def _send(self) -> None:
        while True:
            message = self._book.message()
            if message is not None:
                self._room.set()
                await self._write(message)
            elif self._rows_ended:
                break
            else:
                self._work.clear()
                await self._work.wait()
        self._sent_all = True
        if self._call is None:
            self._end()
        else:
            await self._call.done_writing()

    async def _write(self, message: PredictStreamRequest) -> None:
        if self._call is None:
            self._call = self._open_call()
            self._start(self._receive(self._call, CallEnd(self._call)))
        await self._call.write(message)

    async def _receive(self, call: Call, end: CallEnd) -> None:
        try:
            # Not `read`, which leaves what has come where it is once a write has failed.
            async for response in call:
                self._book.receive(response)
                self._news.set()
        except grpc.aio.AioRpcError as seen:
            error = await end.status(seen)
            if error.code() is not grpc.StatusCode.OK:
                failure = error_of_call(error)
                failure.__cause__ = error
                self._end(failure)
                return
        except asyncio.CancelledError:
            # By whoever closed the client; after `_stop` nobody looks.
            code = grpc.StatusCode.CANCELLED
            self._end(PredictionError("the client was closed", code=code))
            raise
        complete = self._sent_all and not self._book.unanswered
        self._end(None if complete else ServerFault("the gateway ended the stream too early"))

    def _start(self, step: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(self._guarded(step)))

    async def _guarded(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except Exception as error:
            self._end(error)

    def _end(self, failure: Exception | None = None) -> None:
        # The first failure is the cause of all others.
        if not self._ended:
            self._failure, self._ended = failure, True
            self._news.set()

    async def _stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _each(rows: Iterable[Fields]) -> AsyncIterator[Fields]:
    for fields in rows:
        yield fields
