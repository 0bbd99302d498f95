"""A terminal: what a program writes to it, and what then stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from types import TracebackType
from typing import Self

ROWS, COLUMNS = 40, 120
_WAIT_S = 20.0
# What moves, erases and styles; and text between.
_TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z~])|([\r\n])|([^\x1b\r\n]+)")


class Terminal:
    """A pseudo-terminal whose screen can be read.

    Attributes:
        file: the program's side.
        received: all that was written to it.
        cursor_shown: False where the program has hidden it.
        styled: True where a colour, say, is still on.
    """

    def __init__(self) -> None:
        self._reader, writer = pty.openpty()
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(writer, termios.TIOCSWINSZ, size)
        self.file = os.fdopen(writer, "w", encoding="utf-8")
        self.received = b""
        self.cursor_shown = True
        self.styled = False
        self._markers = 0
        self._more = threading.Condition()
        # A terminal reads always: a program that nothing reads from would stand still.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()
        self._thread.join(_WAIT_S)
        os.close(self._reader)

    def wait_for(self, text: bytes) -> None:
        """Waits until something has been written, and fails if it is not."""
        with self._more:
            found = self._more.wait_for(lambda: text in self.received, _WAIT_S)
        assert found, f"{text!r} is not in {self.received!r}"

    def press(self, keys: bytes) -> None:
        """Presses keys; b"\\x03" is Ctrl-C."""
        os.write(self._reader, keys)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._reader, 65536)
            except OSError:
                # Linux' way to say that nobody has the other side open.
                return
            with self._more:
                self.received += part
                self._more.notify_all()

    def screen(self) -> list[str]:
        """Returns the lines on the screen, without blanks at their ends and empty lines below."""
        self._markers += 1
        marker = f"\x1b[{self._markers}~".encode()
        self.file.write(marker.decode())
        self.file.flush()
        self.wait_for(marker)
        lines, row, column = [""], 0, 0
        self.cursor_shown, self.styled = True, False
        for match in _TOKEN.finditer(self.received.decode("utf-8", "replace")):
            numbers, command, control, text = match.groups()
            if control == "\r":
                column = 0
            elif control == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif text is not None:
                line = lines[row].ljust(column)
                lines[row] = line[:column] + text + line[column + len(text) :]
                column += len(text)
            elif command == "A":
                row = max(row - int(numbers or 1), 0)
            elif command == "K":
                lines[row] = "" if numbers == "2" else lines[row][:column]
            elif command == "m":
                self.styled = numbers not in ("", "0")
            elif numbers == "?25":
                self.cursor_shown = command == "h"
        lines = [line.rstrip() for line in lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines
