"""A peer that speaks HTTP/2 as badly as a test wants, on a thread of its own."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from tailrace.loadtest.wire import frames

PREFACE_BYTES = len(frames.PREFACE)
# Longer than any of it takes: a peer that hears nothing more ends.
_PATIENCE_S = 10.0


@dataclass
class Frame:
    """A frame that came.

    Attributes:
        kind: its type.
        flags: its flags.
        stream: its stream's id.
        payload: what it holds.
    """

    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Peer:
    """One accepted connection, after the client's preface.

    Attributes:
        socket: to send on.
        got: frames that were read so far.
        encoder: of header blocks, with a table as the client allows before it says otherwise.
    """

    socket: socket.socket
    got: list[Frame] = field(default_factory=list)
    encoder: Encoder = field(default_factory=Encoder)
    decoder: Decoder = field(default_factory=Decoder)

    def send(self, *parts: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(b"".join(parts))

    def greet(self, *settings: tuple[int, int]) -> None:
        """Sends SETTINGS."""
        self.send(frames.settings(settings))

    def frame(self) -> Frame | None:
        """Reads one frame; None when the client has gone."""
        head = self._exactly(frames.HEAD_BYTES)
        if head is None:
            return None
        kind, flags, stream = frames.HEAD.unpack(head)
        payload = self._exactly(kind >> 8)
        if payload is None:
            return None
        self.got.append(Frame(kind & 255, flags, stream, payload))
        return self.got[-1]

    def wait(self, kind: int, stream: int | None = None, *, flags: int = 0) -> Frame:
        """Reads until such a frame comes."""
        while True:
            got = self.frame()
            assert got is not None, f"the client left without a frame of type {kind}"
            if got.kind == kind and stream in (None, got.stream) and got.flags & flags == flags:
                return got

    def request(self) -> int:
        """Reads until a call has been sent, and returns its stream."""
        while True:
            got = self.frame()
            assert got is not None, "the client left without a call"
            if got.kind == frames.HEADERS:
                self.decoder.decode(got.payload)
            if got.kind in (frames.DATA, frames.HEADERS) and got.flags & frames.END_STREAM:
                return got.stream

    def block(self, *headers: tuple[str, str]) -> bytes:
        """Encodes headers, with references to earlier ones."""
        encoded: bytes = self.encoder.encode(list(headers))
        return encoded

    def head(self) -> bytes:
        """Returns the block that an answer begins with."""
        return self.block((":status", "200"), ("content-type", "application/grpc"))

    def trailers(self, status: int = 0, message: str = "") -> bytes:
        """Returns the block that an answer ends with."""
        return self.block(("grpc-status", f"{status}"), ("grpc-message", message))

    def answer(self, stream: int, message: bytes = b"well", status: int = 0) -> bytes:
        """Returns the frames of an answer."""
        return (
            frames.header_frames(stream, self.head(), 16_384, last=False)
            + frames.frame(frames.DATA, 0, stream, prefixed(message))
            + frames.header_frames(stream, self.trailers(status), 16_384, last=True)
        )

    def linger(self) -> None:
        """Reads until the client has gone."""
        while self.frame() is not None:
            pass

    def _exactly(self, count: int) -> bytes | None:
        got = b""
        while len(got) < count:
            try:
                part = self.socket.recv(count - len(got))
            except OSError:
                return None
            if not part:
                return None
            got += part
        return got


def prefixed(message: bytes, *, flag: int = 0) -> bytes:
    """Returns a message with gRPC's prefix."""
    return struct.pack(">BI", flag, len(message)) + message


@contextmanager
def hostile_peer(*scripts: Callable[[Peer], None]) -> Iterator[str]:
    """Yields where a peer listens; each connection gets the next script, or the last again.

    A script that fails, fails the test.
    """
    faults: list[BaseException] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(
            target=_accept, args=(listening, scripts, threads, faults), daemon=True
        )
        accepting.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        # Closing alone does not wake up who accepts.
        listening.shutdown(socket.SHUT_RDWR)
    accepting.join(_PATIENCE_S)
    for thread in threads:
        thread.join(_PATIENCE_S)
    if faults:
        raise faults[0]


@contextmanager
def black_hole() -> Iterator[str]:
    """Yields where attempts to connect are neither accepted nor refused.

    A listener's queue is full, and Linux drops what asks to enter it.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        accepted = True
        while accepted:
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
            accepted = bool(select.select([], [waiting], [], 0.2)[1])
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def _accept(
    listening: socket.socket,
    scripts: tuple[Callable[[Peer], None], ...],
    threads: list[threading.Thread],
    faults: list[BaseException],
) -> None:
    while True:
        try:
            accepted, _ = listening.accept()
        except OSError:
            return
        script = scripts[min(len(threads), len(scripts) - 1)]
        threads.append(
            threading.Thread(target=_follow, args=(accepted, script, faults), daemon=True)
        )
        threads[-1].start()


def _follow(
    accepted: socket.socket, script: Callable[[Peer], None], faults: list[BaseException]
) -> None:
    accepted.settimeout(_PATIENCE_S)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with accepted:
        peer = Peer(accepted)
        try:
            if peer._exactly(PREFACE_BYTES) is not None:
                script(peer)
        except (BrokenPipeError, ConnectionResetError):
            # It was left in the middle of a sentence, as bad peers are.
            pass
        except BaseException as fault:
            faults.append(fault)
