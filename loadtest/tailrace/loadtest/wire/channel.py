"""The connections of one process to one target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire import status as statuses
from tailrace.loadtest.wire.call import NEVER, Call
from tailrace.loadtest.wire.call_queue import CallQueue
from tailrace.loadtest.wire.connect_error import connect_error
from tailrace.loadtest.wire.connection import SAME_TIMEOUT_NS, Connection
from tailrace.loadtest.wire.deadlines import Deadlines
from tailrace.loadtest.wire.encoded_request import EncodedRequest, Encoder
from tailrace.loadtest.wire.link_plan import link_plan
from tailrace.loadtest.wire.links import Links
from tailrace.loadtest.wire.request_headers import request_headers
from tailrace.loadtest.wire.stream import Stream

_NS = 1_000_000_000


class Channel:
    """Implements `ChannelApi`, and what connections want of an `Owner`."""

    on_ended: Callable[[Call], None]

    def __init__(
        self,
        options: LoadOptions,
        method: MethodSpec,
        *,
        connections: int = 1,
        keep_responses: bool = False,
    ) -> None:
        """Describes it; `connect` connects it.

        Args:
            options: the target, TLS, limits, timeouts.
            method: what is called.
            connections: how many; with `round_robin`, to each of the target's addresses.
            keep_responses: calls keep their last message.

        Raises:
            LoadError: the target is no address, or a certificate cannot be read.
        """
        self.on_message: Callable[[Call, bytes], None] | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.keep_responses = keep_responses
        self.single = not method.server_streaming
        self.max_receive = options.max_recv_message_size
        self.unflushed: list[Connection] = []
        plan = link_plan(options, connections)
        timeout_ns = int(options.timeout * _NS)
        self.headers = request_headers(
            path=method.path,
            authority=options.authority or options.cname or plan.target.authority,
            scheme="http" if plan.context is None else "https",
            timeout_ns=timeout_ns,
            gzip=options.enable_compression,
        )
        self._options = options
        self._encoder = Encoder(
            compressed=options.enable_compression, max_bytes=options.max_send_message_size
        )
        self._links = Links(self, plan, self._fail_waiting)
        self._ready = self._links.ready
        # Calls with at least so much time left are sent with the common header.
        self._usual_ns = timeout_ns - SAME_TIMEOUT_NS if timeout_ns else -NEVER
        self._light = self.single
        self._queue = CallQueue(self._ready, spread=plan.spread)
        self._waiting, self._homes = self._queue.waiting, self._queue.homes
        self._deadlines = Deadlines(self.cancel)
        self._refused: list[tuple[Call, int, str]] = []
        # When something is due next: a deadline, or something of the connections.
        self._timer_ns = 0

    def connect(self) -> None:
        """Sets up all connections.

        Raises:
            LoadError: none of the target's addresses answers in HTTP/2 within the time for it.
        """
        self._links.connect()
        while self._links.awaited:
            self.poll(0.1)
        if not self._ready:
            fault = self._links.last_fault
            self.close()
            raise connect_error(self._options, fault)

    def start(self, call: Call, request: Request, *, last: bool) -> None:
        """Makes a call with all messages of a request; they leave with the next `poll`."""
        encoded = request.encoded
        if encoded is None:
            encoded = self.encoded(request)
        assert isinstance(encoded, EncodedRequest)
        ready = self._ready
        home = self._homes.get(call.worker)
        if home is None:
            home = self._queue.home(call.worker)
        if last and ready and self._light and not self._waiting:
            connection = ready[home % len(ready)]
            size = encoded.size
            deadline_ns = call.deadline_ns
            if (
                size <= connection.limit
                and size <= connection.window
                and len(connection.calls) < connection.peer.max_streams
                and deadline_ns - call.sent_ns > self._usual_ns
                and not encoded.too_large
            ):
                if encoded.form is not connection.form:
                    encoded.shape(connection.form, self.headers)
                number = connection.next_number
                connection.next_number = number + 2
                place = number.to_bytes(4, "big")
                out = connection.out
                if not out:
                    self.unflushed.append(connection)
                out += (encoded.head, place, encoded.middle, place, encoded.payload)
                connection.calls[number] = call
                connection.window -= size
                if deadline_ns < connection.newest_deadline_ns:
                    connection.ordered = False
                connection.newest_deadline_ns = deadline_ns
                if 0 < deadline_ns < self._timer_ns:
                    self._timer_ns = deadline_ns
                call.wire = (connection, number, request)
                return
        self._start_stream(Stream(call, request, last=last), encoded, home)

    def _start_stream(self, stream: Stream, encoded: EncodedRequest, home: int) -> None:
        call = stream.call
        call.wire = stream
        if 0 < call.deadline_ns < self._timer_ns:
            self._timer_ns = call.deadline_ns
        if encoded.too_large:
            self._refused.append((call, statuses.RESOURCE_EXHAUSTED, encoded.too_large))
        elif self._waiting or not self._queue.place(stream, home):
            self._waiting.append(stream)

    def send(self, call: Call, message: bytes, *, last: bool) -> None:
        """Sends one more message of a stream; a call that is over ignores it."""
        if call.status != -1:
            return
        stream = call.wire
        assert isinstance(stream, Stream) and not stream.closing, "the stream is closed"
        if told := self._encoder.too_large((message,)):
            self._refused.append((call, statuses.RESOURCE_EXHAUSTED, told))
            return
        stream.send(self._encoder.framed(message), last=last)

    def close_sending(self, call: Call) -> None:
        """Closes the caller's side of a stream; a call that is over ignores it."""
        stream = call.wire
        if call.status == -1 and isinstance(stream, Stream) and not stream.closing:
            stream.close()

    def unsent(self, call: Call) -> int:
        """Returns how many bytes wait to be sent: of a stream, and of all beside it."""
        stream = call.wire
        if call.status != -1 or not isinstance(stream, Stream):
            return 0
        pipe = stream.connection.pipe if stream.connection is not None else None
        return stream.unsent_bytes + (pipe.waiting if pipe is not None else 0)

    def cancel(self, call: Call, status: int, message: str) -> None:
        """Ends a call here and now, with a status of the caller's own; `on_ended` is called."""
        if call.status != -1:
            return
        wire = call.wire
        if isinstance(wire, Stream):
            if wire.connection is not None:
                wire.connection.reset(wire.number)
        elif isinstance(wire, tuple):
            wire[0].reset(wire[1])
        call.status, call.message = status, message
        call.ended_ns = time.monotonic_ns()
        call.wire = None
        self.on_ended(call)

    def poll(self, wait_s: float) -> None:
        """Sends what is waiting, then reads what comes, or waits for it."""
        now = time.monotonic_ns()
        if now >= self._timer_ns:
            # What came while nobody looked is not late.
            self._move(0.0)
            self._timers(now)
            self._queue.serve()
        if self._refused:
            refused, self._refused = self._refused, []
            for call, code, message in refused:
                self.cancel(call, code, message)
        # Calls that end with their connection are followed by others, on those that are left.
        while self.unflushed:
            self.bytes_sent += self._links.flush()
        left_s = (self._timer_ns - now) / _NS
        self._move(min(wait_s, max(left_s, 0.0)))
        if self._links.timer_ns < self._timer_ns:
            self._timer_ns = self._links.timer_ns
        if self._waiting:
            self._queue.serve()

    def _move(self, wait_s: float) -> None:
        sent, received = self._links.poll(wait_s)
        self.bytes_sent += sent
        self.bytes_received += received

    def close(self) -> None:
        """Closes all connections; calls in flight are forgotten."""
        self._links.close()
        self._queue.clear()
        self.unflushed.clear()

    def connections(self) -> Iterator[Connection]:
        """Yields all connections that may have calls in flight."""
        return self._links.connections()

    # --- what connections want ---------------------------------------------------------------

    def encoded(self, request: Request) -> EncodedRequest:
        """Returns a request's frames, made at most once.

        Raises:
            LoadError: its metadata cannot be sent.
        """
        return self._encoder.encoded(request)

    def retry(self, stream: Stream, now: int) -> None:
        """Makes a call again that the server has not looked at; after a pause, if it was before."""
        self._timer_ns = min(self._timer_ns, self._queue.again(stream, now))

    # --- calls that end without an answer ----------------------------------------------------

    def _fail_waiting(self, why: str) -> None:
        waiting = list(self._waiting)
        self._waiting.clear()
        for stream in waiting:
            self.cancel(stream.call, statuses.UNAVAILABLE, f"no connection: {why}")

    def _timers(self, now: int) -> None:
        # Calls that are started meanwhile lower it.
        self._timer_ns = NEVER
        due_ns = self._queue.wake(now)
        due_ns = min(due_ns, self._links.timer(now))
        for connection in self.connections():
            due_ns = min(due_ns, self._deadlines.expire(connection, now))
        due_ns = min(due_ns, self._deadlines.expire_waiting(self._waiting, now))
        self._timer_ns = min(self._timer_ns, due_ns)
