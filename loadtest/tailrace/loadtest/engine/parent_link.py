"""A load process's pipes to its parent."""

from __future__ import annotations

import os
import select
import sys
from typing import Any

from tailrace.loadtest.engine.messages import LENGTH, packed, unpacked


class ParentLink:
    """Reads orders from standard input and tells results on standard output.

    While the load runs, it never waits: what does not fit into the pipe goes later.
    """

    def __init__(self) -> None:
        """Takes over both; what is printed from now on goes to standard error."""
        self._in = os.dup(0)
        self._out = os.dup(1)
        os.dup2(2, 1)
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._read = bytearray()
        self._unsent = b""

    @property
    def busy(self) -> bool:
        """True if what was told last has not wholly left."""
        return bool(self._unsent)

    def receive(self) -> Any:
        """Waits for a message of the parent's; ends the process if there is no parent any more."""
        while (message := self.poll()) is None:
            select.select([self._in], [], [])
        return message

    def poll(self) -> Any | None:
        """Returns a message of the parent's if there is one; ends the process without a parent."""
        message = self._message()
        if message is not None:
            return message
        try:
            chunk = os.read(self._in, 1 << 20)
        except BlockingIOError:
            return None
        if not chunk:
            sys.exit("the parent is gone")
        self._read += chunk
        return self._message()

    def tell(self, message: object) -> None:
        """Begins to send a message; `push` goes on with what does not fit."""
        self._unsent += packed(message)
        self.push()

    def push(self) -> None:
        """Sends what fits of what has not been sent."""
        while self._unsent:
            try:
                sent = os.write(self._out, self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    def flush(self) -> None:
        """Waits until all was sent."""
        while self._unsent:
            select.select([], [self._out], [])
            self.push()

    def _message(self) -> Any | None:
        if len(self._read) < LENGTH.size:
            return None
        end = LENGTH.size + LENGTH.unpack_from(self._read)[0]
        if len(self._read) < end:
            return None
        body = bytes(self._read[LENGTH.size : end])
        del self._read[:end]
        return unpacked(body)
