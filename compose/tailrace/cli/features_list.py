"""`tailrace features list`: the views, who uses them, and how fresh they are."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tailrace.cli.feature_options import errors
from tailrace.cli.features_command import features_command
from tailrace.cli.features_source import Registry
from tailrace.cli.features_words import plain, stored_words, table_console
from tailrace.v1 import feature_registry_service_pb2 as pb


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`, also under the name that it had before."""
    features_command(app, "list", list_views)
    features_command(app, "views", list_views, hidden=True)


async def list_views(
    registry: Registry,
    place: str,
    as_json: bool,
    kind: Annotated[str, typer.Option(help="Only views kept so: static, windowed or feast.")] = "",
    owner: Annotated[
        str, typer.Option(help="Only views of this owner, or with such features.")
    ] = "",
    tag: Annotated[str, typer.Option(help="Only views with this tag, or with such features.")] = "",
    entity: Annotated[str, typer.Option(help="Only views of this kind of entity.")] = "",
    pipeline: Annotated[str, typer.Option(help="Only views that this pipeline uses.")] = "",
) -> int:
    """List the feature views, who uses them, and how fresh they are.

    Asks the mesh that is up on this machine; --target asks another feature service, and
    --views-dir or --redis-url read files and Redis. The exit status is 1 if a file is refused.
    """
    request = pb.ListViewsRequest(
        kind=kind, owner=owner, tag=tag, entity=entity, pipeline=pipeline, include_stored=True
    )
    answer = await registry.list_views(request)
    views, page = list(answer.views), answer
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await registry.list_views(request)
        views += page.views
    for refused in answer.refused_files:
        for problem in refused.problems:
            errors.print(
                escape(f"{refused.file}: {problem}"), style="red", highlight=False, soft_wrap=True
            )
    if answer.stored_problem:
        errors.print(escape(answer.stored_problem), style="red", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps([plain(view) for view in views], indent=2, ensure_ascii=False))
    else:
        table_console().print(_table(views, place))
    return 1 if answer.refused_files or answer.stored_problem else 0


def _table(views: list[pb.FeatureViewSummary], place: str) -> Table:
    headings = ("view", "kind", "entity", "keys", "features", "rows", "data", "owner", "used by")
    table = Table(
        *headings, box=None, pad_edge=False, caption=escape(place), caption_justify="left"
    )
    for view in views:
        stored = view.stored
        table.add_row(
            f"[bold]{escape(view.name)}[/]",
            view.kind,
            escape(view.entity),
            escape(", ".join(view.keys)),
            str(view.features),
            f"{stored.rows:,}" if stored.HasField("rows") else "-",
            stored_words(stored, view.kind) if view.HasField("stored") else "-",
            escape(view.owner or "-"),
            escape(", ".join(view.pipelines) or "nobody"),
        )
    return table
