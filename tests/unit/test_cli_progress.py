"""Progress on no terminal: plain lines."""

from __future__ import annotations

import asyncio
import io
import re

import pytest
from rich.console import Console

from tailrace.cli import progress
from tailrace.cli.progress import Steps
from tests.support.waiting import wait_for


@pytest.fixture
def output() -> io.StringIO:
    """What was printed."""
    return io.StringIO()


@pytest.fixture
def steps(output: io.StringIO) -> Steps:
    """Steps printed to `output`."""
    return Steps(Console(file=output, width=40))


def lines(output: io.StringIO) -> list[str]:
    """Returns what was printed, all times written as 0.0."""
    return re.sub(r"\d+\.\d s", "0.0 s", output.getvalue()).splitlines()


async def test_step_says_that_it_began_and_how_it_ended(steps: Steps, output: io.StringIO) -> None:
    async with steps.shown():
        with steps.step("Starting Redis") as step:
            step.tell("6.2.14, which is a long story [in brackets] that is not to be cut")
    assert lines(output) == [
        "   0.0 s  ....  Starting Redis",
        "   0.0 s  done  Starting Redis: 6.2.14, which is a long story [in brackets] that is not "
        "to be cut (0.0 s)",
    ]


async def test_failed_step_says_so(steps: Steps, output: io.StringIO) -> None:
    async with steps.shown():
        with pytest.raises(ValueError, match="no"), steps.step("Starting Redis"):
            raise ValueError("no")
    assert lines(output)[-1] == "   0.0 s  FAIL  Starting Redis (0.0 s)"


async def test_long_step_says_that_it_still_goes_on(
    steps: Steps, output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_REMINDER_S", 0.01)
    reminder = "Training: tree 7 (0 s so far)"
    async with steps.shown():
        with steps.step("Training") as step:
            step.tell("tree 7")
            await asyncio.to_thread(wait_for, lambda: reminder in output.getvalue())
