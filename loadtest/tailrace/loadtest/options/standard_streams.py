"""Standard streams of a process that was started without some of them, as by `2>&-`."""

from __future__ import annotations

import os
import sys


def complain(line: str) -> None:
    """Prints a line on standard error, if anybody reads it: it changes no exit status.

    Args:
        line: without its end.
    """
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # Python would try again when it ends, and end with another status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def fill_standard_streams() -> None:
    """Has those that are closed lead to nowhere, but for the output, which stays None.

    What would be opened next would get their descriptors, and be taken for them; and what is meant
    for a missing standard error would be printed among the report.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        os.open(os.devnull, os.O_WRONLY)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
