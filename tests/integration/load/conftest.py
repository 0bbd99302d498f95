"""Processes that a test starts, and does not leave to the tests after it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support.start_process import StartProcess


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Starts processes as `subprocess.Popen` does; those that still run are killed at the end."""
    started: list[subprocess.Popen[Any]] = []

    def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        # A load that goes on would make calls to a server that other tests count.
        with process:
            process.kill()
