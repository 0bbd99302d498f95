"""`tailrace features views`: the views and what is loaded of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    RedisUrl,
    ViewsDir,
    feature_link,
    features_settings,
    print_problems,
    store_place,
    view_files,
)
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.row_schema import row_schema
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.feature_view import FeatureView


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(views)


def views(redis_url: RedisUrl = None, views_dir: ViewsDir = None, as_json: AsJson = False) -> None:
    """List the feature views and what is loaded of each."""
    settings = features_settings(redis_url)
    found = view_files(settings, views_dir)
    known = found.views
    print_problems(found)
    try:
        pointers = asyncio.run(_pointers(list(known), settings))
    except TailraceError as error:
        raise FeaturesFailed(f"{error.message} (Redis at {store_place(settings)})") from error
    if as_json:
        print(json.dumps([_view_summary(known[name], pointers[name]) for name in sorted(known)]))
    else:
        _print_views(known, pointers)
    if found.errors:
        raise typer.Exit(1)


async def _pointers(names: list[str], settings: FeaturesSettings) -> dict[str, Pointer | None]:
    if not names:
        return {}
    link = feature_link(settings)
    keys = KeyNames(settings.feature_key_prefix)
    try:
        stored = await link.call("MGET", *[keys.pointer(name) for name in names])
    finally:
        await link.close()
    return {
        name: None if data is None else Pointer.from_json(name, data)
        for name, data in zip(names, stored, strict=True)
    }


def _print_views(known: Mapping[str, FeatureView], pointers: Mapping[str, Pointer | None]) -> None:
    headings = ("view", "keys", "features", "rows", "loaded", "source", "generation")
    table = Table(*headings, box=None)
    for name in sorted(known):
        summary = _view_summary(known[name], pointers[name])
        keys = ", ".join(key.name for key in known[name].keys)
        table.add_row(*[escape(str(cell)) for cell in (name, keys, *_cells(summary))])
    Console().print(table)


def _cells(summary: Mapping[str, object]) -> tuple[object, ...]:
    features = summary["features"]
    if not summary["loaded"]:
        return features, "-", "never", "-", "-"
    loaded = f"{summary['age_s']} s ago" if summary["schema_matches"] else "other schema"
    return features, summary["rows"], loaded, summary["source"], summary["generation"]


def _view_summary(view: FeatureView, pointer: Pointer | None) -> dict[str, object]:
    summary: dict[str, object] = {
        "view": view.view,
        "entity": view.entity,
        "keys": [key.name for key in view.keys],
        "features": len(view.features),
        "loaded": pointer is not None,
    }
    if pointer is not None:
        summary |= {
            "rows": pointer.rows,
            "generation": pointer.generation,
            "source": pointer.source,
            "age_s": max(0, round(time.time() - pointer.loaded_at_us / 1e6)),
            "schema_matches": pointer.schema_id == row_schema(view).schema_id,
        }
    return summary
