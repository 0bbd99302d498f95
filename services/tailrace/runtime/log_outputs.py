"""Where log lines go: a stream, or a file that may be renamed, removed or on a full disk.

Outputs belong to the thread of one `LineWriter`. None of them waits for longer than `WAIT_S`.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO

# Longest that one write may wait for its output.
WAIT_S = 0.25
# As many bytes reach a pipe whole or not at all (PIPE_BUF of Linux).
PIPE_BYTES = 4096


class Output(Protocol):
    """Takes lines."""

    @property
    def name(self) -> str:
        """For the metric and the threads: `stdout`, `file` or `tcp`."""
        ...

    def write(self, lines: Sequence[bytes]) -> bool:
        """Takes lines, each with its end; returns False if they are to be offered again.

        Raises:
            OSError: they are lost.
            ValueError: the output is closed.
        """
        ...

    def tick(self) -> None:
        """Called about once a second while there is nothing to write."""
        ...

    def hurry(self) -> None:
        """Lets go of whatever it waits for, as the process ends; called from another thread."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


class TextOutput:
    """A stream of this process that is no file of the system, as tests have."""

    name = "stdout"

    def __init__(self, stream: TextIO) -> None:
        """Keeps the stream, which stays open."""
        self._stream = stream

    def write(self, lines: Sequence[bytes]) -> bool:
        """Takes lines. Raises OSError or ValueError if the stream does."""
        self._stream.write(b"".join(lines).decode())
        self._stream.flush()
        return True

    def tick(self) -> None:
        """Has nothing to do."""

    def hurry(self) -> None:
        """Has nothing to let go of."""

    def close(self) -> None:
        """Leaves the stream open."""


class _Unfinished:
    """The bytes that a descriptor has not taken yet, in pieces that a pipe takes whole."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._pieces = list(_pieces(lines))
        self._sent = 0

    def write_to(self, descriptor: int) -> bool:
        """Returns whether all is written. Raises OSError."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while self._pieces:
            # Asked first, so that a full pipe is not waited for inside of the write.
            if not poll.poll(WAIT_S * 1000):
                return False
            piece = self._pieces[0]
            try:
                self._sent += os.write(descriptor, piece[self._sent :])
            except BlockingIOError:
                return False
            if self._sent == len(piece):
                del self._pieces[0]
                self._sent = 0
        return True

    @property
    def is_inside_a_line(self) -> bool:
        return self._sent > 0


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Yields as many whole lines at a time as a pipe takes whole; longer lines alone."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > PIPE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)


class DescriptorOutput:
    """A descriptor of the system, such as standard output: a pipe, a file, a terminal.

    Whoever reads a pipe may be slow, which is waited for, or gone, of which lines are lost.
    """

    name = "stdout"

    def __init__(self, descriptor: int) -> None:
        """Keeps the descriptor, which stays open."""
        self._descriptor = descriptor
        self._unfinished: _Unfinished | None = None
        self._cut_off = False

    def write(self, lines: Sequence[bytes]) -> bool:
        """Takes lines; False while a pipe is full. Raises OSError."""
        if self._unfinished is None:
            # The end of a line that was cut off is lost: it must not spoil the next one.
            self._unfinished = _Unfinished([b"\n", *lines] if self._cut_off else lines)
        unfinished = self._unfinished
        try:
            if not unfinished.write_to(self._descriptor):
                return False
        except OSError:
            self._cut_off = self._cut_off or unfinished.is_inside_a_line
            self._unfinished = None
            raise
        self._cut_off = False
        self._unfinished = None
        return True

    def tick(self) -> None:
        """Has nothing to do."""

    def hurry(self) -> None:
        """Waits for `WAIT_S` at most as it is."""

    def close(self) -> None:
        """Leaves the descriptor open."""


class FileOutput:
    """A file that is appended to.

    Once it has been renamed or removed, as logrotate does, it is made anew within a second or with
    the next line after that. It needs no signal, and `copytruncate` works as well.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises OSError."""
        self._path = path
        self._descriptor = -1
        self._output: DescriptorOutput | None = None
        self._open()

    def write(self, lines: Sequence[bytes]) -> bool:
        """Takes lines. Raises OSError: the disk is full, or the folder is gone."""
        self._follow()
        assert self._output is not None
        return self._output.write(lines)

    def tick(self) -> None:
        """Looks whether the file is still there."""
        try:
            self._follow()
        except OSError:
            return  # the next lines will find out, and be counted

    def hurry(self) -> None:
        """Waits for nothing."""

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> None:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            self._open()
            return
        held = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            self._open()

    def _open(self) -> None:
        # Not blocking: a pipe with a name is not waited for until somebody reads it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o640)
        self.close()
        self._descriptor = descriptor
        self._output = DescriptorOutput(descriptor)
