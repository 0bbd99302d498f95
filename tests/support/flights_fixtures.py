"""Fixture with the flight example, prepared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE_DIR = Path(__file__).parents[2] / "examples" / "flights"
# What takes half a minute takes several times as long where others use the cores, too.
_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def prepared_flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example's preparation makes; no test may change it."""
    folder = tmp_path_factory.mktemp("flights") / "prepared"
    command = [sys.executable, str(EXAMPLE_DIR / "prepare.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
