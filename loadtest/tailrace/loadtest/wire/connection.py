"""One HTTP/2 connection that carries calls."""

from __future__ import annotations

import socket
import time

from tailrace.loadtest.wire import frames, status
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.owner import Owner
from tailrace.loadtest.wire.peer_settings import MOST_STREAMS, PeerSettings
from tailrace.loadtest.wire.pipe import Pipe
from tailrace.loadtest.wire.request_headers import Form
from tailrace.loadtest.wire.stream import Stream

SAME_TIMEOUT_NS = 1_000_000
"""What a call has left is rounded to what most have, whose header is encoded already."""
# Beyond, a connection gives way to another. That is looked at when something is sent: until then,
# calls may take the place of others that were never sent, but for a few times only. Numbers are
# left for eight times as many calls as may be in flight; they are odd.
LAST_NUMBER = frames.MAX_STREAM_ID - 16 * MOST_STREAMS
_GREETING = (
    frames.PREFACE
    + frames.settings(
        (
            (frames.HEADER_TABLE_SIZE, 0),
            (frames.ENABLE_PUSH, 0),
            (frames.MAX_CONCURRENT_STREAMS, 0),
            (frames.INITIAL_WINDOW_SIZE, frames.MAX_WINDOW),
        )
    )
    + frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
)


class Connection:
    """The calls of one connection, and what the peer allows.

    Attributes:
        pipe: its socket.
        out: what is sent next.
        calls: those in flight by stream id, in the order in which they were started.
        streams: the state of those that need some.
        peer: what the peer allows.
        ready: the peer has sent its settings.
        draining: it takes no new calls, and closes when the last one is over.
        form: how its next request names its headers.
        next_number: stream id of its next call.
        limit: largest payload, in bytes, that goes out with its headers in one piece; -1 for none.
        window: bytes that the peer takes, of all streams together.
        ordered: no call in flight ends earlier, by its deadline, than one before it.
        newest_deadline_ns: deadline of the call that was started last.
        heard_ns: when something came last.
        farewell: what the peer said when it announced that it leaves; empty if it did not.
        blocked: streams that have something to send, and no room in a window, by stream id.
    """

    def __init__(self, owner: Owner, connected: socket.socket) -> None:
        """Greets the peer."""
        self.owner = owner
        self.pipe = Pipe(connected)
        self.out = self.pipe.out
        self.calls: dict[int, Call] = {}
        self.streams: dict[int, Stream] = {}
        self.peer = PeerSettings()
        self.ready = False
        self.draining = False
        self.form = Form.INSERTING
        self.next_number = 1
        self.limit = -1
        self.window = frames.DEFAULT_WINDOW
        self.ordered = True
        self.newest_deadline_ns = 0
        self.heard_ns = time.monotonic_ns()
        self.farewell = ""
        self.blocked: dict[int, Stream] = {}
        self.put(_GREETING)

    @property
    def free(self) -> bool:
        """True if it takes another call now."""
        return self.ready and not self.draining and len(self.calls) < self.peer.max_streams

    def put(self, data: bytes) -> None:
        """Sends something with the next flush."""
        if not self.out:
            self.owner.unflushed.append(self)
        self.out.append(data)

    # --- calls that go out -----------------------------------------------------------------

    def open(self, stream: Stream) -> None:
        """Takes a call that waited, streams, or does not fit into one frame."""
        call, encoded = stream.call, self.owner.encoded(stream.request)
        number = self.next_number
        self.next_number = number + 2
        block = self.owner.headers.block(self.form, _left_ns(call)) + encoded.metadata
        self.put(frames.header_frames(number, block, self.peer.frame_bytes, last=False))
        if self.form is Form.INSERTING:
            self.form = Form.INDEXED
        elif self.form is Form.SHRINKING:
            self.form = Form.LITERAL
        self.set_limit()
        if call.deadline_ns < self.newest_deadline_ns:
            self.ordered = False
        self.newest_deadline_ns = call.deadline_ns
        self.calls[number] = call
        self.streams[number] = stream
        call.wire = stream
        stream.begin(self, number, self.peer.window, encoded.payload)
        self.pump(stream)

    def set_limit(self) -> None:
        """Sets `limit`, after something that it depends on has changed."""
        plain = self.form in (Form.INDEXED, Form.LITERAL)
        if plain and self.ready and not self.draining:
            self.limit = min(self.peer.window, self.peer.frame_bytes)
        else:
            self.limit = -1

    def pump(self, stream: Stream) -> None:
        """Sends as much of a stream as both windows let through."""
        while stream.unsent:
            room = min(self.window, stream.window)
            if room <= 0:
                self.blocked[stream.number] = stream
                return
            part = stream.part(room)
            stream.closed = stream.closing and not stream.unsent
            stream.window -= len(part)
            self.window -= len(part)
            limit = self.peer.frame_bytes
            self.put(frames.data_frames(stream.number, part, limit, last=stream.closed))
        self.blocked.pop(stream.number, None)
        if stream.closing and not stream.closed:
            stream.closed = True
            self.put(frames.frame(frames.DATA, frames.END_STREAM, stream.number))

    def drain(self) -> None:
        """Takes no new calls from here on."""
        self.draining = True
        self.limit = -1

    def flush(self) -> int:
        """Sends what is waiting, as far as the socket takes it; returns how many bytes that was.

        Raises:
            ConnectionFault: the connection is gone.
        """
        if self.next_number > LAST_NUMBER:
            self.drain()
        return self.pipe.flush()

    # --- calls that end --------------------------------------------------------------------

    def state(self, number: int) -> Stream:
        """Returns the state of a call in flight, which may not have had any yet."""
        stream = self.streams.get(number)
        if stream is None:
            call = self.calls[number]
            assert isinstance(call.wire, tuple)
            stream = Stream(call, call.wire[2], last=True)
            stream.connection, stream.number, stream.closed = self, number, True
            self.streams[number] = stream
            call.wire = stream
        return stream

    def take(self, number: int) -> Call | None:
        """Forgets a call in flight, and returns it; None if it is over."""
        call = self.calls.pop(number, None)
        if self.streams.pop(number, None) is not None:
            self.blocked.pop(number, None)
        return call

    def reset(self, number: int, code: int = frames.CANCEL) -> Call | None:
        """Forgets a call in flight, tells the peer to do the same, and returns the call."""
        call = self.take(number)
        if call is not None:
            self.put(frames.rst_stream(number, code))
        return call

    def end(self, call: Call, code: int, message: str, now: int) -> None:
        """Tells of a call that is over and was taken."""
        call.status = code
        call.message = message
        call.ended_ns = now
        # Its stream has the call: who has neither any more is not kept by the other.
        call.wire = None
        self.owner.on_ended(call)

    def retry_or_end(self, number: int, message: str, now: int, *, most: int) -> None:
        """Has a call made again that the peer has not looked at, if that is possible.

        Args:
            number: its stream id.
            message: what it ends with, if it is not.
            now: the time, on the monotonic clock.
            most: how often a call is made again.
        """
        if number not in self.calls:
            return
        stream = self.state(number)
        self.take(number)
        if stream.retries >= most or stream.replay is None:
            self.end(stream.call, status.UNAVAILABLE, message, now)
        else:
            self.owner.retry(stream, now)

    def fail(self, message: str) -> None:
        """Ends all calls with UNAVAILABLE: the connection is gone."""
        now = time.monotonic_ns()
        calls = list(self.calls.values())
        self.calls.clear()
        self.streams.clear()
        self.blocked.clear()
        for call in calls:
            # Who hears of one may cancel the others.
            if call.status == -1:
                self.end(call, status.UNAVAILABLE, message, now)


def _left_ns(call: Call) -> int:
    if not call.deadline_ns:
        return 0
    asked = call.deadline_ns - call.sent_ns
    left = call.deadline_ns - time.monotonic_ns()
    return asked if 0 <= asked - left < SAME_TIMEOUT_NS else max(left, 1)
