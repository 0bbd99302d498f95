"""Fixture with the flight example, prepared."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from tailrace.cli.example import load_example
from tailrace.cli.preparation import prepare
from tailrace.cli.progress import Steps

ROOT = Path(__file__).parents[2]
EXAMPLE_DIR = ROOT / "examples" / "flights"
# That of `tailrace up` in this checkout: the example is prepared once for all tests, and again only
# where something that it is made from has changed.
PREPARED_DIR = ROOT / ".tailrace" / "prepared"


@pytest.fixture(scope="session")
def prepared_flights() -> Path:
    """The folder that the example's preparation makes; no test may change it."""
    making = prepare(load_example(EXAMPLE_DIR), PREPARED_DIR, Steps(Console(file=io.StringIO())))
    # In a thread, as the test that wants it first may have a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, making).result().folder
