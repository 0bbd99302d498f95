"""`tailrace features show`: everything that the file of a view says, and who uses the view."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tailrace.cli.features_command import features_command
from tailrace.cli.features_source import Registry
from tailrace.cli.features_tree import view_tree
from tailrace.cli.features_words import plain, table_console
from tailrace.v1 import feature_registry_service_pb2 as pb

ViewName = Annotated[str, typer.Argument(help="Name of the view.")]


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    features_command(app, "show", show)


async def show(registry: Registry, place: str, as_json: bool, view: ViewName) -> int:
    """Show what a view is: keys, features, windows, policies, source, and who reads what of it."""
    answer = await registry.get_view(pb.GetViewRequest(view=view))
    if as_json:
        print(json.dumps(plain(answer), indent=2, ensure_ascii=False))
    else:
        table_console().print(view_tree(answer))
    return 0
