"""Fills a mesh that runs elsewhere with what an example needs, and says what to ask it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console

from tailrace.cli.client_tls import client_tls
from tailrace.cli.event_feed import EventFeed
from tailrace.cli.example import MANIFEST, Example, ExampleInvalid, load_example
from tailrace.cli.held_out import read_held_out, read_stretch
from tailrace.cli.known_events import KnownEvent
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.replay import Replay, read_replay
from tailrace.cli.static_views import load_static_views
from tailrace.client import AsyncEventClient
from tailrace.client.json_values import to_json
from tailrace.runtime.config import FeaturesSettings, load_settings
from tailrace.runtime.pipeline.directory import load_directory


def load_prepared(
    example_dir: Path, prepared: Path, events_target: str | None, console: Console
) -> None:
    """Returns once lookups see the static views, and the events of the example's replay.

    Args:
        example_dir: folder with the example's manifest.
        prepared: what its preparation has made.
        events_target: where the event service listens; None sends no events.
        console: where to say what was done.

    Raises:
        LaunchError: the example cannot be used, a view does not load, or events are refused.
    """
    settings = load_settings(FeaturesSettings)
    example = load_example(example_dir)
    views = {view: prepared / file for view, file in example.manifest.static_views.items()}
    rows = load_static_views(views, example.pipelines_dir, settings.feature_redis_url)
    console.print(f"loaded {rows:,} rows into {', '.join(views) or 'no views'}", highlight=False)
    if events_target is None:
        return
    events = _read_replay(example, prepared).events
    asyncio.run(_send(events_target, events, settings))
    console.print(f"sent {len(events):,} events", highlight=False)


def write_requests(example_dir: Path, prepared: Path, out: TextIO) -> None:
    """Writes the rows that the example is tried with, as `tailrace predict --file` reads them.

    Args:
        example_dir: folder with the example's manifest.
        prepared: what its preparation has made.
        out: where to write a JSON object on each line.

    Raises:
        LaunchError: the example cannot be used, or has no held-out rows.
    """
    for row in _read_replay(load_example(example_dir), prepared).rows:
        fields = {name: to_json(value) for name, value in row.fields.items()}
        out.write(json.dumps(fields, ensure_ascii=False) + "\n")


async def _send(target: str, events: Sequence[KnownEvent], settings: FeaturesSettings) -> None:
    if not events:
        return
    async with AsyncEventClient(target, tls=client_tls(settings)) as client:
        await EventFeed(client, events).advance(events[-1].known_at)


def _read_replay(example: Example, prepared: Path) -> Replay:
    """Returns all rows that the example is tried with, and the events until the last of them."""
    section = example.manifest.held_out
    if section is None:
        raise ExampleInvalid(example.folder / MANIFEST, ["held_out: there are no rows"])
    pipeline = load_directory(example.pipelines_dir).pipelines.get(section.pipeline)
    if pipeline is None:
        raise LaunchError(f"{example.pipelines_dir} has no pipeline {section.pipeline!r}")
    fields = set(pipeline.spec.request.fields)
    file = prepared / (section.replay or section).file
    if not file.is_file():
        raise LaunchError(f"there is no file {file}; `tailrace example prepare` makes it")
    if section.replay is None:
        return Replay(read_held_out(file, section, fields, sys.maxsize), ())
    rows = read_stretch(file, section, fields)
    return read_replay(prepared, section.replay, rows, len(rows))
