"""`tailrace` commands inside the tests' own process.

A process of its own takes more than a second of CPU to import what a command needs. What is run
here is all that the command line runs, from its entry on; where a test is about the process itself
(it is killed, say, or reads a stream to its end), it starts one.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from tailrace.cli import entry


def run_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Returns what a command came to.

    Args:
        arguments: without the name of the program.
        folder: where it runs.
        environment: all of its environment.
        text: what comes through its standard input.
    """
    output, errors = io.StringIO(), io.StringIO()

    def run() -> int:
        try:
            entry.main()
        except SystemExit as end:
            if isinstance(end.code, str):
                errors.write(f"{end.code}\n")
                return 1
            return end.code or 0
        return 0

    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", ["tailrace", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()))),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        status = _beside_loop(run)
    return subprocess.CompletedProcess(
        ["tailrace", *arguments], status, output.getvalue(), errors.getvalue()
    )


def _beside_loop(run: Callable[[], int]) -> int:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    # An async test has a loop running in this thread, and a command runs one of its own.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()
