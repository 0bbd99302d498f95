"""Makes what an example is served from, at a place that keeps its name."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rich.console import Console

from tailrace.cli.example import Example, load_example
from tailrace.cli.preparation import PreparedExample, prepare
from tailrace.cli.progress import Steps

CURRENT = "current"


def prepare_current(example_dir: Path, into: Path, console: Console) -> Path:
    """Returns `into/current`, a link to the prepared folder, which is made unless it is there.

    The link is put in place at once, so that readers see the former folder or the new one. It is
    relative, so that it holds wherever `into` is mounted.

    Args:
        example_dir: folder with the example's manifest.
        into: where prepared folders are kept, by digest; made if it is not there.
        console: where to show what goes on.

    Raises:
        LaunchError: the example cannot be used, or cannot be prepared.
    """
    prepared = asyncio.run(_prepare(load_example(example_dir), into.absolute(), console))
    current = into / CURRENT
    aside = into / f".{CURRENT}-{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(os.path.relpath(prepared.folder, into.absolute()))
    aside.replace(current)
    return current


async def _prepare(example: Example, cache_dir: Path, console: Console) -> PreparedExample:
    steps = Steps(console)
    async with steps.shown():
        return await prepare(example, cache_dir, steps)
