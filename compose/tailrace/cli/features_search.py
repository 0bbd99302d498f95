"""`tailrace features search`: finds views and features by words."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tailrace.cli.features_command import features_command
from tailrace.cli.features_source import Registry
from tailrace.cli.features_words import plain, table_console
from tailrace.v1 import feature_registry_service_pb2 as pb


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    features_command(app, "search", search)


async def search(
    registry: Registry,
    place: str,
    as_json: bool,
    text: Annotated[list[str], typer.Argument(help="Words; all of them have to occur.")],
    most: Annotated[int, typer.Option(min=1, max=100, help="Most hits to show.")] = 20,
) -> int:
    """Find views and features by words of names, descriptions, tags, entities, owners and units.

    The best come first. The exit status is 1 if nothing fits; near words that do occur are told.
    """
    request = pb.SearchFeaturesRequest(query=" ".join(text), max_hits=most)
    answer = await registry.search_features(request)
    if as_json:
        print(json.dumps(plain(answer), indent=2, ensure_ascii=False))
    elif answer.hits:
        console = table_console()
        console.print(_table(answer))
        if answer.further:
            console.print(f"[dim]and {answer.further} more: --most shows them[/]")
    else:
        near = ", ".join(answer.suggestions)
        print(f"nothing fits {request.query!r}" + (f"; did you mean: {near}?" if near else ""))
    return 0 if answer.hits else 1


def _table(answer: pb.SearchFeaturesResponse) -> Table:
    headings = ("feature", "type", "unit", "entity", "owner", "description", "found in")
    table = Table(*headings, box=None, pad_edge=False)
    for hit in answer.hits:
        name = f"{hit.view}.{hit.feature}" if hit.feature else hit.view
        table.add_row(
            f"[bold]{escape(name)}[/]",
            escape(hit.type or "(view)"),
            escape(hit.unit),
            escape(hit.entity),
            escape(hit.owner),
            escape(hit.description),
            f"[dim]{', '.join(hit.matched)}[/]",
        )
    return table
