"""A named pipe that nobody reads, until somebody does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType


class UnreadPipe:
    """A named pipe, held open so that its writers neither wait for a reader nor lose one.

    Attributes:
        path: its name.
    """

    def __init__(self, path: Path) -> None:
        """Makes it.

        Args:
            path: in a folder that is there; a pipe that is there already is taken over.
        """
        self.path = path
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path)
        # On Linux this waits for nobody, and is a reader and a writer.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self) -> UnreadPipe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fill(self) -> int:
        """Fills it, so that whoever writes has to wait from now on; returns with how many bytes."""
        written = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                written += os.write(self._descriptor, b"\n" * 4096)
        return written

    def read(self) -> bytes:
        """Returns what is in it at the moment, which makes room for more."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._descriptor, 65_536):
                parts.append(part)
        return b"".join(parts)

    def fileno(self) -> int:
        """Returns its descriptor, to wait with."""
        return self._descriptor

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._descriptor)
