"""What the peer says about a connection and its streams, beside answers."""

from __future__ import annotations

from tailrace.loadtest.wire import frames, status
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.request_headers import DEFAULT_TABLE_BYTES, Form

# A server may count a stream for a while after its end, and refuse the next one.
_MOST_REFUSALS = 5


class ControlFrames:
    """Follows what a connection's peer says."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, kind: int, flags: int, number: int, payload: bytes, now: int) -> None:
        """Follows a frame that is neither DATA nor part of a header block.

        Args:
            kind: its type; what is unknown is passed over.
            flags: its flags.
            number: its stream id; 0 for the connection.
            payload: what it holds.
            now: the time, on the monotonic clock.

        Raises:
            ConnectionFault: it breaks HTTP/2's rules.
        """
        if kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self._settings(payload)
        elif kind == frames.PING:
            if not flags & frames.ACK:
                pong = frames.frame(frames.PING, frames.ACK, 0, _sized(payload, 8))
                self._connection.put(pong)
        elif kind == frames.RST_STREAM:
            self._was_reset(number, int.from_bytes(_sized(payload, 4), "big"), now)
        elif kind == frames.WINDOW_UPDATE:
            increment = int.from_bytes(_sized(payload, 4), "big") & frames.MAX_WINDOW
            self._more_window(number, increment, now)
        elif kind == frames.GOAWAY:
            self._goaway(payload, now)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault("the server pushes, and was told not to")

    def _settings(self, payload: bytes) -> None:
        """Follows the peer's settings, and says so."""
        connection = self._connection
        peer, headers = connection.peer, connection.owner.headers
        window = peer.window
        peer.read(payload)
        if connection.form is Form.INSERTING and headers.table_bytes > DEFAULT_TABLE_BYTES:
            connection.form = Form.LITERAL
        if peer.table_bytes < DEFAULT_TABLE_BYTES and connection.form is not Form.LITERAL:
            connection.form = Form.SHRINKING
        connection.put(frames.SETTINGS_ACK)
        connection.ready = True
        connection.set_limit()
        for stream in list(connection.streams.values()):
            stream.window += peer.window - window
            if stream.window > frames.MAX_WINDOW:
                raise ConnectionFault("a window is too large", frames.FLOW_CONTROL_ERROR)
            if stream.unsent:
                connection.pump(stream)

    def _more_window(self, number: int, increment: int, now: int) -> None:
        """Sends more, after the peer has made room."""
        connection = self._connection
        if not number:
            connection.window += increment
            if not increment or connection.window > frames.MAX_WINDOW:
                raise ConnectionFault("an impossible WINDOW_UPDATE", frames.FLOW_CONTROL_ERROR)
            for blocked in list(connection.blocked.values()):
                connection.pump(blocked)
            return
        stream = connection.streams.get(number)
        if stream is None:
            return
        stream.window += increment
        if not increment or stream.window > frames.MAX_WINDOW:
            call = connection.reset(number, frames.FLOW_CONTROL_ERROR)
            assert call is not None
            connection.end(call, status.INTERNAL, "an impossible WINDOW_UPDATE came", now)
        elif stream.unsent:
            connection.pump(stream)

    def _was_reset(self, number: int, code: int, now: int) -> None:
        """Ends a call whose stream the peer has reset."""
        connection = self._connection
        call = connection.calls.get(number)
        if call is None:
            return
        name = frames.error_name(code)
        if code == frames.REFUSED_STREAM:
            told = f"the server refused the stream ({name})"
            connection.retry_or_end(number, told, now, most=_MOST_REFUSALS)
            return
        connection.take(number)
        if code == frames.CANCEL and 0 < call.deadline_ns <= now:
            connection.end(call, status.DEADLINE_EXCEEDED, status.DEADLINE_MESSAGE, now)
        else:
            told = f"the server reset the stream ({name})"
            connection.end(call, status.of_stream_error(code), told, now)

    def _goaway(self, payload: bytes, now: int) -> None:
        """Takes no more calls, and has those made again that the peer will not look at."""
        connection = self._connection
        if len(payload) < 8:
            raise ConnectionFault("GOAWAY is too short", frames.FRAME_SIZE_ERROR)
        last = int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID
        name = frames.error_name(int.from_bytes(payload[4:8], "big"))
        text = payload[8:].decode(errors="replace")
        connection.farewell = f"; it had announced that with GOAWAY {name} {text}".rstrip()
        connection.drain()
        # Each goes before those that wait: the first is to be first again.
        for number in [each for each in reversed(connection.calls) if each > last]:
            told = f"the server goes away ({name} {text})".replace(" )", ")")
            connection.retry_or_end(number, told, now, most=1)


def _sized(payload: bytes, size: int) -> bytes:
    if len(payload) != size:
        raise ConnectionFault("a frame has an impossible length", frames.FRAME_SIZE_ERROR)
    return payload
