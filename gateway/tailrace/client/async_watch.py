"""One watch of submitted predictions, for programs on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc.aio

from tailrace.client.errors import DeadlineExceeded, PredictionError, Unavailable, error_of_call
from tailrace.client.submission import PredictionChange
from tailrace.client.watch_book import WatchBook
from tailrace.v1.prediction_service_pb2 import WatchPredictionsRequest


class AsyncSubmissionWatch(AsyncIterator[PredictionChange]):
    """Changes of submitted predictions, as they happen.

    One task iterates. Closing it, from any task of the same event loop, ends the iteration.
    """

    def __init__(
        self,
        book: WatchBook,
        open_call: Callable[[WatchPredictionsRequest, float | None], Any],
        timeout_s: float | None,
    ) -> None:
        """Keeps what it needs; nothing is opened yet. `AsyncClient.watch_submissions` does this."""
        self._book = book
        self._open_call = open_call
        self._timeout_s = timeout_s
        self._ends_at: float | None = None
        self._call: Any = None
        self._closed = asyncio.Event()

    @property
    def position(self) -> str:
        """Where to resume so that nothing is left out that this iterator has not handed on.

        The change that it handed on last counts as handed on once the next one is asked for.
        """
        return self._book.position

    async def begin(self) -> Self:
        """Returns once the gateway has said where the watch begins: later changes are told.

        Raises:
            PredictionError: the gateway refuses.
        """
        while not self._book.begun and await self._receive():
            pass
        return self

    def close(self) -> None:
        """Ends the watch."""
        self._closed.set()
        call = self._call
        if call is not None:
            call.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PredictionChange:
        while True:
            change = self._book.next_change()
            if change is not None:
                return change
            if not await self._receive():
                raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return await self.begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _receive(self) -> bool:
        """Takes one message; False if the watch has ended."""
        while not self._closed.is_set():
            try:
                if self._call is None:
                    self._call = self._open_call(self._book.request(), self._remaining_s())
                message = await self._call.read()
                if message is not grpc.aio.EOF:
                    self._book.receive(message)
                    return True
                # A server that ends a watch without a word is going away.
                trouble: PredictionError = Unavailable("the gateway ended the watch")
            except grpc.aio.AioRpcError as failure:
                trouble = error_of_call(failure)
                trouble.__cause__ = failure
            except DeadlineExceeded:
                return False
            except asyncio.CancelledError:
                # Closing cancels the call, and not the task that reads from it.
                if self._closed.is_set() and not _is_cancelled():
                    return False
                self.close()
                raise
            self._call = None
            if self._closed.is_set() or self._is_over(trouble):
                return False
            pause_s = self._book.pause_s(trouble)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause_s)
        return False

    def _remaining_s(self) -> float | None:
        if self._timeout_s is None:
            return None
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._timeout_s
        remaining_s = self._ends_at - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded("the time of the watch is over")
        return remaining_s

    def _is_over(self, trouble: Exception) -> bool:
        return isinstance(trouble, DeadlineExceeded) and self._ends_at is not None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
