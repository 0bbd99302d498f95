"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tailrace.loadtest.load_error import LoadError

_ELSEWHERE = "the load is over, and this is not written: another place is needed"


@contextmanager
def written_file(path: Path | None) -> Iterator[TextIO]:
    """Yields a text file that takes the path's place once all of it was written.

    Until then it has a name of its own beside it, so that what was there before stays, if writing
    fails. Devices and pipes are written as they are.

    Args:
        path: where it goes; None for standard output.

    Raises:
        LoadError: it cannot be written.
    """
    if path is None:
        with _standard_output() as file:
            yield file
        return
    try:
        if str(path).startswith("/dev/") or (path.exists() and not path.is_file()):
            with path.open("w", encoding="utf-8") as file:
                yield file
            return
        # A link stays, and leads to the new file.
        whole = path.resolve()
        # The name may be as long as names can be.
        # A process of this number that was killed, in a container say, may have left one.
        part = whole.with_name(f".tailrace-load-{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            with part.open("x", encoding="utf-8") as file:
                yield file
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise LoadError(problem, _ELSEWHERE) from error


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # Python would try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Whoever reads may have enough, as `head` does.
        if not isinstance(error, BrokenPipeError):
            problem = f"standard output cannot be written: {error.strerror}"
            raise LoadError(problem, _ELSEWHERE) from error
