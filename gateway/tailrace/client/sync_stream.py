"""One stream of predictions for programs without asyncio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import grpc

from tailrace.client.errors import PredictionError, ServerFault, error_of_call
from tailrace.client.stream_book import StreamBook, StreamResult, raise_end
from tailrace.client.values import Fields
from tailrace.v1.prediction_service_pb2 import PredictStreamRequest

_COMPANY_S = 0.001
"""How long a row waits for the next one: without it, this thread would send what the other has
taken a row at a time."""


class SyncStream:
    """Takes rows in one thread, sends in gRPC's, receives in another, hands on in the caller's.

    Rows have a thread of their own so that those at hand are sent while the next one is not
    there yet. All threads are daemons: one that waits for a row keeps no process from ending.
    """

    def __init__(
        self,
        book: StreamBook,
        rows: Iterable[Fields],
        open_call: Callable[[Iterator[PredictStreamRequest]], Any],
    ) -> None:
        """Keeps what it needs; nothing is taken or sent yet.

        Args:
            book: an empty one.
            rows: the requests by field name.
            open_call: opens the call with these messages; asked for once there is a row to send.
        """
        self._book = book
        self._rows = rows
        self._open_call = open_call
        self._call: Any = None
        self._receiver: threading.Thread | None = None
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._news = threading.Condition(self._lock)
        self._rows_ended = self._sent_all = self._ended = self._stopped = False
        self._rows_error: BaseException | None = None
        self._failure: Exception | None = None

    def results(self) -> Generator[StreamResult, None, None]:
        """Yields the results; may be called once.

        Raises:
            PredictionError: the stream broke.
            Exception: what the rows raised, once all that was taken has been yielded.
        """
        threading.Thread(target=self._take_rows, name="stream-rows", daemon=True).start()
        try:
            while (result := self._wait()) is not None:
                yield result
            failure, rows_error = self._failure, self._rows_error
            # From here on no row is taken, so that none is missing from what is told.
            self._stop()
            if isinstance(failure, PredictionError):
                self._book.broken(failure)
            while (result := self._book.next_result()) is not None:
                yield result
            raise_end(failure, rows_error)
        finally:
            self._stop()

    def _wait(self) -> StreamResult | None:
        with self._lock:
            while True:
                result = self._book.next_result()
                if result is not None or self._ended:
                    if self._book.may_take():
                        self._room.notify()
                    return result
                if self._call is None and self._book.has_message():
                    self._call = self._open_call(self._messages())
                    self._receiver = threading.Thread(
                        target=self._receive, name="stream-results", daemon=True
                    )
                    self._receiver.start()
                elif self._call is None and self._rows_ended:
                    return None
                self._news.wait()

    def _take_rows(self) -> None:
        error: BaseException | None = None
        try:
            rows = iter(self._rows)
            while self._wait_for_room():
                fields = next(rows)
                with self._lock:
                    if self._stopped:
                        return
                    waits = self._book.take(fields)
                    (self._work if waits and self._call is not None else self._news).notify()
        except StopIteration:
            pass
        except BaseException as raised:
            # Whatever it is, it is the caller's to see, not this thread's.
            error = raised
        with self._lock:
            self._rows_error, self._rows_ended = error, True
            self._work.notify()
            self._news.notify()

    def _wait_for_room(self) -> bool:
        with self._lock:
            self._room.wait_for(lambda: self._stopped or self._book.may_take())
            return not self._stopped

    def _messages(self) -> Iterator[PredictStreamRequest]:
        while True:
            with self._lock:
                self._work.wait_for(lambda: self._over() or self._book.has_message())
                self._work.wait_for(
                    lambda: self._over() or self._book.has_whole_message(), _COMPANY_S
                )
                message = None if self._stopped else self._book.message()
                if message is None:
                    self._sent_all = True
                    return
                self._room.notify()
            yield message

    def _over(self) -> bool:
        return self._stopped or self._rows_ended

    def _receive(self) -> None:
        failure: Exception | None = None
        try:
            for response in self._call:
                with self._lock:
                    self._book.receive(response)
                    self._news.notify()
            if not self._sent_all or self._book.unanswered:
                failure = ServerFault("the gateway ended the stream too early")
        except grpc.RpcError as error:
            failure = error_of_call(error)
            failure.__cause__ = error
        except Exception as error:
            failure = error
        with self._lock:
            self._failure, self._ended = failure, True
            self._news.notify()

    def _stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
        with self._lock:
            self._stopped = True
            self._room.notify()
            self._work.notify()
        # A collector of garbage may close a stream from any thread.
        receiver = self._receiver
        if receiver is not None and receiver is not threading.current_thread():
            receiver.join()
