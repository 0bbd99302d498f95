"""Makes calls that send or receive streams, as ghz 0.121 does (`runner/worker.go`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.roster import NEVER_NS
from tailrace.loadtest.hops.response_reader import ResponseReader
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Request, RequestSource
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel_api import ChannelApi

_CANCELLED = 1
# Of a stream without pauses, so many messages go at once; longer ones leave others their turn.
_AT_ONCE = 100
# So many bytes of a stream may wait until the server takes them, and are looked at again then.
_UNSENT_BYTES = 1 << 20
_LATER_NS = 1_000_000
# So many timers of calls that are over may be left.
_SPENT_TIMERS = 1000


class _Sending:
    """What a call has still to send.

    Attributes:
        message: gives the message at a place of the stream.
        sent: messages sent.
        total: messages to send.
        next_ns: when the next one is due.
        close_ns: when the caller closes its side though there are more.
    """

    __slots__ = ("close_ns", "message", "next_ns", "sent", "total")

    def __init__(self, message: Callable[[int], bytes], total: int, close_ns: int) -> None:
        self.message, self.total, self.close_ns = message, total, close_ns
        self.sent = 0
        self.next_ns = 0


class StreamCalls(Calls):
    """The calls of one process, of a method with a stream.

    A stream that is sent has each message of the data once, or, with `stream_call_count`, so many
    in turn, `stream_interval` apart; after `stream_call_duration` the caller closes its side.
    A caller who only receives cancels the call after so many messages, or so long.
    """

    def __init__(
        self,
        options: LoadOptions,
        method: MethodSpec,
        channel: ChannelApi,
        source: RequestSource,
        recorder: Recorder,
        reader: ResponseReader | None,
    ) -> None:
        """Puts together what calls need."""
        super().__init__(options, channel, source, recorder, reader)
        self._client_streaming = method.client_streaming
        self._count = options.stream_call_count
        self._interval_ns = round(options.stream_interval * 1e9)
        self._duration_ns = round(options.stream_call_duration * 1e9)
        self._dynamic = options.stream_dynamic_messages
        # When something is to be done with which call, and the part of its data not yet sent.
        self._timers: list[tuple[int, int, Call, _Sending | None]] = []
        self._heads: tuple[Request, Request] | None = None
        counts_answers = not self._client_streaming and self._count
        if method.server_streaming and (counts_answers or reader is not None):
            channel.on_message = self._received

    def attend(self, now_ns: int) -> int:
        """Sends, closes and cancels what is due; returns when more will be: see `Calls`."""
        timers = self._timers
        while timers and timers[0][0] <= now_ns:
            _, _, call, sending = heappop(timers)
            if call.status >= 0:
                continue
            if sending is None:
                self._channel.cancel(call, _CANCELLED, "context canceled")
            else:
                self._go_on(call, sending, now_ns)
        return timers[0][0] if timers else NEVER_NS

    def _begin(self, call: Call, request: Request) -> None:
        now = call.sent_ns
        if not self._client_streaming:
            self._channel.start(call, request, last=True)
            if self._duration_ns:
                self._remind(now + self._duration_ns, call, None)
            return
        message, total = self._messages(call, request)
        if not total or (not self._interval_ns and total <= _AT_ONCE):
            whole = request
            if self._dynamic or total != len(request.messages):
                whole = Request(tuple(map(message, range(total))), request.metadata)
            self._channel.start(call, whole, last=True)
            return
        sending = _Sending(message, total, now + self._duration_ns if self._duration_ns else 0)
        self._channel.start(call, self._head(request, message), last=total == 1)
        sending.sent = 1
        sending.next_ns = now + self._interval_ns
        self._wait(call, sending)

    def _messages(self, call: Call, request: Request) -> tuple[Callable[[int], bytes], int]:
        messages = request.messages
        total = self._count if self._count and messages else len(messages)
        if self._dynamic:
            number, worker, message = call.number, call.worker, self._source.message
            return lambda place: message(number, worker, place), total
        return lambda place: messages[place % len(messages)], total

    def _head(self, request: Request, message: Callable[[int], bytes]) -> Request:
        """Returns a request with the first message only: the same for the same request."""
        if self._dynamic:
            return Request((message(0),), request.metadata)
        if self._heads is None or self._heads[0] is not request:
            self._heads = request, Request(request.messages[:1], request.metadata)
        return self._heads[1]

    def _go_on(self, call: Call, sending: _Sending, now_ns: int) -> None:
        if sending.close_ns and sending.close_ns <= now_ns:
            self._channel.close_sending(call)
            return
        if not self._interval_ns and self._channel.unsent(call) > _UNSENT_BYTES:
            # The server is behind: what waits for it here is bounded.
            sending.next_ns = now_ns + _LATER_NS
            self._wait(call, sending)
            return
        for _ in range(1 if self._interval_ns else _AT_ONCE):
            last = sending.sent + 1 == sending.total
            self._channel.send(call, sending.message(sending.sent), last=last)
            sending.sent += 1
            if last:
                return
        sending.next_ns += self._interval_ns
        if sending.next_ns < now_ns:
            # Late by more than a pause: pauses are kept, rather than the time of the last message.
            sending.next_ns = now_ns + self._interval_ns
        self._wait(call, sending)

    def _wait(self, call: Call, sending: _Sending) -> None:
        if sending.sent == sending.total:
            return
        close_ns = sending.close_ns or NEVER_NS
        self._remind(min(sending.next_ns, close_ns), call, sending)

    def _remind(self, instant_ns: int, call: Call, sending: _Sending | None) -> None:
        timers = self._timers
        heappush(timers, (instant_ns, call.number, call, sending))
        if len(timers) > 2 * len(self.in_flight) + _SPENT_TIMERS:
            # Calls that are over are not kept until they would have been too long.
            timers[:] = [each for each in timers if each[2].status < 0]
            heapify(timers)

    def _received(self, call: Call, message: bytes) -> None:
        if self._reader is not None and call.number >= self._skip_first:
            self._reader.read(message, time.monotonic_ns() - call.intended_ns)
        if self._count and not self._client_streaming and call.responses >= self._count:
            self._channel.cancel(call, _CANCELLED, "context canceled")

    def _read(self, call: Call) -> None:
        if self._channel.on_message is None:
            super()._read(call)
