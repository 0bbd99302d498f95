"""Data that comes from standard input, which the processes of a run do not share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions

_STDIN = "@"


@contextmanager
def with_standard_input(options: LoadOptions) -> Iterator[LoadOptions]:
    """Yields the options with what standard input holds, where they ask for it.

    JSON text takes the place of `@`; messages in binary form are kept in a file that is there as
    long as the context lasts.

    Raises:
        LoadError: it holds nothing, or no text.
    """
    if options.binary:
        with TemporaryDirectory(prefix="tailrace-load-") as folder:
            path = Path(folder) / "stdin"
            path.write_bytes(_read("--binary"))
            yield replace(options, binary=False, binary_file=path)
    elif options.data == _STDIN:
        try:
            text = _read("--data @").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LoadError(f"standard input is no text: {error}", "-b takes binary data") from None
        yield replace(options, data=text)
    else:
        yield options


def _read(flag: str) -> bytes:
    content = sys.stdin.buffer.read()
    if not content.strip():
        raise LoadError(f"{flag}: standard input is empty", "pipe the data into it, or give a file")
    return content
