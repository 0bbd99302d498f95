"""Fixture with the flight example, prepared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE_DIR = ROOT / "examples" / "flights"
# That of `tailrace up` in this checkout: the example is prepared once for all tests, and again only
# where something that it is made from has changed.
PREPARED_DIR = ROOT / ".tailrace" / "prepared"


@pytest.fixture(scope="session")
def prepared_flights() -> Path:
    """The folder that the example's preparation makes; no test may change it."""
    # In a process of its own, as the test that wants it first may have a loop running in this one.
    made = subprocess.run(
        [
            sys.executable,
            *("-m", "tailrace.cli", "example", "prepare", str(EXAMPLE_DIR)),
            *("--into", str(PREPARED_DIR)),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert made.returncode == 0, made.stderr
    return (PREPARED_DIR / "current").resolve()
