"""`tailrace features reset`: begins a windowed view anew."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    feature_link,
    require_view,
    view_files,
)
from tailrace.cli.feature_place import (
    MeshName,
    RedisUrl,
    ViewsDir,
    place_settings,
    place_words,
)
from tailrace.cli.gateway_options import StateDir
from tailrace.features.pointer import KeyNames
from tailrace.features.windows.generations import new_generation, remove_others
from tailrace.features.windows.schema import WindowSchema, window_schema
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(reset)


def reset(
    view: Annotated[str, typer.Argument(help="The windowed view.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    redis_url: RedisUrl = None,
    views_dir: ViewsDir = None,
    name: MeshName = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Begin a windowed view anew, as after a change of its definition.

    What events have made of it so far is gone at once; events that are sent again count again.
    Event services at work turn to the new generation by themselves.
    """
    settings = place_settings(redis_url, views_dir, name, state_dir)
    found = view_files(settings, views_dir)
    require_view(view, found)
    spec = found.views[view]
    if spec.kind != "windowed":
        raise FeaturesFailed(
            f"view {view!r} is {spec.kind}: only views that are made of events can be begun anew"
        )
    if not yes and not typer.confirm(f"Forget all that is stored of view {view!r}?", err=True):
        raise FeaturesFailed(f"view {view!r} was left as it is")
    try:
        generation, removed = asyncio.run(_reset(window_schema(spec), settings))
    except TailraceError as error:
        raise FeaturesFailed(f"{error.message}{place_words(settings)}") from error
    if as_json:
        print(json.dumps({"view": view, "generation": generation, "keys_removed": removed}))
    else:
        print(f"{view}: empty in generation {generation}; {removed:,} keys of others removed")


async def _reset(schema: WindowSchema, settings: FeaturesSettings) -> tuple[int, int]:
    link = feature_link(settings)
    names = KeyNames(settings.feature_key_prefix)
    try:
        pointer = await new_generation(link, names, schema)
        removed = await remove_others(link, names, schema.view, pointer.generation)
    finally:
        await link.close()
    return pointer.generation, removed
