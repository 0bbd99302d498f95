"""How `tailrace slo` ends where it cannot do what it is asked to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.slo.rendering import SloFailed

TROUBLE = 2
"""Exit status: neither kept nor broken, but not known."""

PipelinesPath = Annotated[
    Path | None,
    typer.Option(
        "--pipelines",
        help="Folder of pipeline files, or one of them; by default as TAILRACE_PIPELINES_DIR says.",
    ),
]


def pipelines_path(chosen: Path | None) -> Path:
    """Returns the folder that is meant."""
    from tailrace.runtime.config import ServerSettings, load_settings

    return chosen or load_settings(ServerSettings).pipelines_dir


@contextmanager
def trouble_told() -> Iterator[None]:
    """Ends the command with a sentence and exit status 2 where something is in the way."""
    try:
        yield
    except SloFailed as error:
        print(f"tailrace: error: {error.sentence}", file=sys.stderr)
        raise typer.Exit(TROUBLE) from error
