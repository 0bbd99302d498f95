"""Standard streams of a process that was started without some of them, as by `2>&-`."""

from __future__ import annotations

import os
import sys


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
