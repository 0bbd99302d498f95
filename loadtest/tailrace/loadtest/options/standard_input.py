"""Data that comes from standard input, which the processes of a run do not share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile, gettempdir

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions

_STDIN = "@"


@contextmanager
def with_standard_input(options: LoadOptions) -> Iterator[LoadOptions]:
    """Yields the options with what standard input holds, where they ask for it.

    JSON text takes the place of `@`; messages in binary form are kept in a file that is there as
    long as the context lasts.

    Raises:
        LoadError: it holds nothing, or no text; or there is no room to keep it.
    """
    if options.binary:
        with _kept(_read("--binary")) as path:
            yield replace(options, binary=False, binary_file=path)
    elif options.data == _STDIN:
        try:
            text = _read("--data @").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LoadError(f"standard input is no text: {error}", "-b takes binary data") from None
        yield replace(options, data=text)
    else:
        yield options


@contextmanager
def _kept(content: bytes) -> Iterator[Path]:
    """Yields the path of a file, which is gone with the context, or with this process."""
    if sys.platform == "linux":
        with TemporaryFile(buffering=0) as file:
            try:
                left = memoryview(content)
                while left:
                    left = left[file.write(left) :]
            except OSError as error:
                raise LoadError(
                    f"{gettempdir()} does not take what standard input holds: {error.strerror}",
                    "TMPDIR names another folder; --binary-file takes a file",
                ) from error
            # It has no other name, so that nothing stays, by whatever the process is ended.
            yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    else:
        with TemporaryDirectory(prefix="tailrace-load-") as folder:
            path = Path(folder) / "stdin"
            path.write_bytes(content)
            yield path


def _read(flag: str) -> bytes:
    content = sys.stdin.buffer.read()
    if not content.strip():
        raise LoadError(f"{flag}: standard input is empty", "pipe the data into it, or give a file")
    return content
