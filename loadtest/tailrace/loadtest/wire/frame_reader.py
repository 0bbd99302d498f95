"""Reads the frames of a connection."""

from __future__ import annotations

import time

from tailrace.loadtest.wire import frames, status
from tailrace.loadtest.wire.answer_head import AnswerHead, HeadReader
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.control_frames import ControlFrames
from tailrace.loadtest.wire.frames import DATA, HEADERS, ConnectionFault
from tailrace.loadtest.wire.stream import MessageFault, Stream

# Windows are as large as they can be, and are topped up when half of one is used.
_TOP_UP_BYTES = 1 << 30
_MAX_BLOCK_BYTES = 262_144
_TLS_ALERT = b"\x15\x03"


class FrameReader:
    """Reads what a connection's peer sends, and tells of messages and of calls that are over."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._control = ControlFrames(connection)
        self._heads = HeadReader()
        self._rest = b""
        # Stream id, flags of its first frame, and what there is of it.
        self._open_block: tuple[int, int, bytearray] | None = None
        self._consumed = 0

    def read(self) -> int:
        """Reads what has come.

        Returns:
            How many bytes that was.

        Raises:
            ConnectionFault: the peer broke the rules, or closed the connection.
        """
        connection = self._connection
        received = connection.pipe.receive()
        if received is None:
            return 0
        now = connection.heard_ns = time.monotonic_ns()
        if not received:
            raise ConnectionFault(f"the server closed the connection{connection.farewell}")
        data = self._rest + received if self._rest else received
        if not connection.ready:
            _check_greeting(data)
        self._rest = data[self._frames(data, now) :]
        if self._consumed >= _TOP_UP_BYTES:
            connection.put(frames.window_update(0, self._consumed))
            self._consumed = 0
        return len(received)

    def _frames(self, data: bytes, now: int) -> int:
        """Reads all frames that are complete, and returns where the rest begins."""
        connection = self._connection
        owner = connection.owner
        calls, streams, known = connection.calls, connection.streams, self._heads.known
        keep, on_message, on_ended = owner.keep_responses, owner.on_message, owner.on_ended
        # Whether the common frames may be read right here: most calls need no more than this.
        light = connection.ready and self._open_block is None
        single = owner.single
        light_data = single and owner.max_receive is None
        unpack = frames.HEAD.unpack_from
        position, size = 0, len(data)
        while size - position >= 9:
            kind, flags, number = unpack(data, position)
            start = position + 9
            length = kind >> 8
            end = start + length
            if end > size:
                if length > frames.DEFAULT_FRAME_BYTES:
                    if not connection.ready:
                        raise ConnectionFault("the server's first frame is no SETTINGS")
                    raise ConnectionFault("a frame is too long", frames.FRAME_SIZE_ERROR)
                break
            position = end
            kind &= 255
            if kind == DATA:
                self._consumed += length
                if (
                    flags == 0
                    and light_data
                    and light
                    and length >= 5
                    and data[start] == 0
                    and int.from_bytes(data[start + 1 : start + 5], "big") == length - 5
                    and number not in streams
                    and number in calls
                ):
                    # One message in one frame, not compressed.
                    call = calls[number]
                    call.responses += 1
                    if keep:
                        call.response = data[start + 5 : end]
                    if on_message is not None:
                        on_message(call, data[start + 5 : end])
                    continue
            elif kind == HEADERS and light:
                head = known.get(data[start:end])
                if head is not None:
                    if flags == 5 and number in calls and number not in streams:
                        call = calls.pop(number)
                        call.status = head.status
                        call.message = head.message
                        if call.responses != 1 and single and not head.status:
                            _count_wrong(call)
                        call.ended_ns = now
                        on_ended(call)
                        continue
                    if flags == 4 and head.plain:
                        continue
            self._frame(kind, flags, number & frames.MAX_STREAM_ID, data[start:end], now)
            light = connection.ready and self._open_block is None
        return position

    def _frame(self, kind: int, flags: int, number: int, payload: bytes, now: int) -> None:
        connection = self._connection
        if not connection.ready and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault("the server's first frame is no SETTINGS")
        if self._open_block is not None and kind != frames.CONTINUATION:
            raise ConnectionFault("something came between the parts of a header block")
        if kind == DATA:
            if number in connection.calls:
                self._data(flags, number, payload, now)
        elif kind == HEADERS:
            self._open_block = (number, flags, bytearray(frames.unpadded(flags, payload)))
            self._block_part(flags, now)
        elif kind == frames.CONTINUATION:
            if self._open_block is None or self._open_block[0] != number:
                raise ConnectionFault("CONTINUATION of nothing")
            self._open_block[2].extend(payload)
            self._block_part(flags, now)
        else:
            self._control.take(kind, flags, number, payload, now)

    def _block_part(self, flags: int, now: int) -> None:
        assert self._open_block is not None
        number, first_flags, block = self._open_block
        if len(block) > _MAX_BLOCK_BYTES:
            raise ConnectionFault("a header block has no end", frames.ENHANCE_YOUR_CALM)
        if flags & frames.END_HEADERS:
            self._open_block = None
            key = bytes(block)
            head = self._heads.known.get(key) or self._heads.read(key)
            if number in self._connection.calls:
                self._head(number, head, ends=bool(first_flags & frames.END_STREAM), now=now)

    def _head(self, number: int, head: AnswerHead, *, ends: bool, now: int) -> None:
        connection = self._connection
        stream = connection.streams.get(number)
        if stream is not None and not head.informational:
            stream.replay = None
            stream.encoding = head.encoding if not ends else stream.encoding
        if ends:
            self._end(number, head.status, head.message, now)
        elif head.broken:
            call = connection.reset(number)
            assert call is not None
            connection.end(call, head.status, head.message, now)
        elif head.encoding != "identity":
            connection.state(number).encoding = head.encoding

    def _data(self, flags: int, number: int, payload: bytes, now: int) -> None:
        connection, owner = self._connection, self._connection.owner
        stream = connection.state(number)
        call = stream.call
        stream.replay = None
        stream.received += len(payload)
        if stream.received >= _TOP_UP_BYTES:
            connection.put(frames.window_update(number, stream.received))
            stream.received = 0
        try:
            for message in stream.messages(frames.unpadded(flags, payload), owner.max_receive):
                call.responses += 1
                if owner.keep_responses:
                    call.response = message
                if owner.on_message is not None:
                    owner.on_message(call, message)
                if call.status != -1:
                    return
        except MessageFault as fault:
            connection.reset(number)
            code = status.RESOURCE_EXHAUSTED if fault.too_large else status.INTERNAL
            connection.end(call, code, str(fault), now)
            return
        if flags & frames.END_STREAM:
            told = "the server ended the stream without a status"
            self._end(number, status.INTERNAL, told, now)

    def _end(self, number: int, code: int, message: str, now: int) -> None:
        connection = self._connection
        stream: Stream | None = connection.streams.get(number)
        if stream is not None and not stream.closed:
            # The server wants to hear no more, and is told that it will not.
            call = connection.reset(number, frames.NO_ERROR)
        else:
            call = connection.take(number)
        assert call is not None
        if code == status.OK:
            if stream is not None and stream.torn:
                code, message = status.INTERNAL, "the server's last message is not complete"
            elif connection.owner.single and call.responses != 1:
                _count_wrong(call)
                code, message = call.status, call.message
        connection.end(call, code, message, now)


def _count_wrong(call: Call) -> None:
    call.status = status.INTERNAL
    call.message = f"the server answered OK with {call.responses} messages instead of one"


def _check_greeting(data: bytes) -> None:
    if data.startswith(b"HTTP/"):
        line = data.split(b"\r\n", 1)[0][:80].decode("latin-1")
        raise ConnectionFault(f"the server answers in HTTP/1: {line}")
    if data.startswith(_TLS_ALERT):
        raise ConnectionFault("the server wants TLS")
