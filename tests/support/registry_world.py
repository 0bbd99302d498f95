"""A feature service with views of every sort, one of them refused, to ask its registry about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import yaml

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.features.redis_link import RedisLink
from tailrace.features.windows.schema import window_schema
from tailrace.features.windows.updates import Update, event_digest
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.v1 import feature_registry_service_pb2_grpc as stubs
from tests.support.feature_world import PREFIX, FeatureWorld, MakeWorld

ITEM = {
    "view": "item",
    "description": "What the shop sells.",
    "entity": "item",
    "keys": [{"name": "item_id", "type": "int64"}],
    "owner": "catalogue",
    "tags": ["shop", "stable"],
    "features": [
        {"name": "price", "type": "float64", "default": 0, "unit": "EUR", "tags": ["money"]},
        {"name": "colour", "type": "category", "values": ["red", "green"], "owner": "design"},
        {"name": "listed_at", "type": "timestamp", "description": "When it was first offered."},
        {"name": "embedding", "type": "float32", "length": 3},
        {"name": "label", "type": "string", "default": "none"},
    ],
    "source": {"type": "file", "path": "items.parquet", "timestamp": "seen"},
    "max_age": "1h",
    "ttl": "2h",
    "on_missing": "flag",
}
CLICKS = {
    "view": "clicks",
    "description": "How often an item is looked at.",
    "entity": "item",
    "keys": [{"name": "id"}],
    "owner": "web",
    "features": [
        {
            "name": "clicks_1h",
            "type": "int64",
            "aggregate": {
                "function": "count",
                "window": "1h",
                "where": [{"field": "x", "at_least": 0}],
            },
        },
        {
            "name": "mean_delay_1h",
            "type": "float64",
            "unit": "s",
            "aggregate": {"function": "mean", "of": "x", "window": "1h"},
        },
        {
            "name": "today",
            "type": "int64",
            "aggregate": {
                "function": "count",
                "window": "since_midnight",
                "timezone": "America/New_York",
                "tile": "15m",
            },
        },
    ],
    "source": {"type": "events", "event": "click", "tile": "1m"},
    "max_age": "30m",
}
CLICK = {
    "event": "click",
    "description": "Somebody looked at an item.",
    "owner": "web",
    "tags": ["behaviour"],
    "fields": {"id": {"type": "string", "max_length": 40}, "x": {"type": "double", "unit": "s"}},
}
UNUSED = {
    "view": "unused",
    "entity": "shop",
    "keys": [{"name": "shop"}],
    "features": [{"name": "size", "type": "int64"}],
}


def registry_world(make_world: MakeWorld, folder: Path, server: LocalRedis) -> FeatureWorld:
    """Returns a world of `ITEM` and `CLICKS`, read by the pipelines `p` and `shop`, and `UNUSED`.

    Args:
        make_world: makes it; its first world.
        folder: of the test.
        server: the Redis.
    """
    events = folder / "world-0" / "events"
    events.mkdir(parents=True)
    (events / "click.yaml").write_text(yaml.safe_dump(CLICK))
    world = make_world(ITEM, CLICKS, server=server)
    write_view(world, UNUSED)
    pipeline = yaml.safe_load((world.pipelines_dir / "p.yaml").read_text())
    pipeline["pipeline"], pipeline["version"] = "shop", "3"
    pipeline["features"]["views"][0]["as"] = "good"
    columns = ["x", "good.price", "good.missing", "clicks.clicks_1h"]
    pipeline["model"]["inputs"][0]["columns"] = columns
    pipeline["postprocess"]["outputs"].append({"name": "label", "column": "good.label"})
    (world.pipelines_dir / "shop.yaml").write_text(yaml.safe_dump(pipeline))
    return world


def write_view(world: FeatureWorld, content: Mapping[str, Any]) -> Path:
    """Writes a view file and returns it."""
    file = world.pipelines_dir.parent / "features" / f"{content['view']}.yaml"
    file.write_text(yaml.safe_dump(dict(content)))
    return file


async def click(world: FeatureWorld, clicks: Mapping[str, int], x: float = 2.0) -> None:
    """Writes one click of each item, at an instant in microseconds since 1970."""
    link = RedisLink(world.url, client_name="tests")
    writer = RedisWindowWriter(link, PREFIX)
    schema = window_schema(world.views["clicks"])
    inputs = tuple(1.0 if each.of is None else x for each in schema.inputs)
    updates = [
        Update(key, event_digest(f"{key}{at_us}"), at_us, inputs, ())
        for key, at_us in clicks.items()
    ]
    try:
        await writer.apply(schema, updates)
    finally:
        await link.close()


class RegistryService:
    """A feature service process, and its registry.

    Attributes:
        process: the process.
        stub: asks its registry.
    """

    def __init__(self, world: FeatureWorld, run_dir: Path) -> None:
        """Starts the process."""
        settings = {
            "TAILRACE_FEATURE_REDIS_URL": world.url,
            "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
            "TAILRACE_PIPELINES_DIR": str(world.pipelines_dir),
            "TAILRACE_PIPELINES_POLL_MS": "100",
        }
        self.process = MeshProcess("features", run_dir=run_dir, settings=settings)
        self.process.start()
        self.channel = grpc.aio.insecure_channel(self.process.target)
        self.stub = stubs.FeatureRegistryServiceStub(self.channel)

    async def stop(self) -> None:
        """Ends the process."""
        await self.channel.close()
        self.process.stop()
