"""`tailrace example`: what `tailrace up` does with an example, one step at a time.

For meshes whose processes somebody else starts, such as containers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Prepare an example for a mesh that runs elsewhere.",
    no_args_is_help=True,
    add_completion=False,
)

ExampleDir = Annotated[Path, typer.Argument(help="Folder with an example.yaml.")]
Prepared = Annotated[
    Path, typer.Option(help="Folder that `prepare` has made, or `current` where that is.")
]


@app.command()
def prepare(
    example_dir: ExampleDir,
    into: Annotated[
        Path,
        typer.Option(help="Folder for what is made; `current` in it always leads to the latest."),
    ],
) -> None:
    """Make what an example is served from, unless it is there already."""
    from rich.console import Console

    from tailrace.cli.example_preparing import prepare_current

    prepare_current(example_dir, into, Console())


@app.command()
def load(
    example_dir: ExampleDir,
    prepared: Prepared,
    events: Annotated[
        str | None,
        typer.Option(help="Where the event service listens; without it, no events are sent."),
    ] = None,
) -> None:
    """Load the static views of an example, and send the events that its held-out rows need.

    The views go into the Redis of TAILRACE_FEATURE_REDIS_URL. Doing it again changes nothing.
    """
    from rich.console import Console

    from tailrace.cli.example_loading import load_prepared

    load_prepared(example_dir, prepared, events, Console())


@app.command()
def requests(example_dir: ExampleDir, prepared: Prepared) -> None:
    """Print the held-out rows of an example as requests: a JSON object on each line."""
    import sys

    from tailrace.cli.example_loading import write_requests

    write_requests(example_dir, prepared, sys.stdout)
