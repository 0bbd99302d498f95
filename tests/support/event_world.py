"""Event types and windowed views in files, and event services over a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import yaml

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.client import Event
from tailrace.features.events.app import serving
from tailrace.features.events.stream_entry import StreamNames
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.row_source import row_source
from tailrace.runtime.config import EventsSettings, load_settings
from tailrace.runtime.pipeline.directory import features_directory, load_views
from tailrace.runtime.pipeline.duration import parse_duration
from tailrace.runtime.server import GrpcServer
from tailrace.runtime.timestamps import timestamp_us

PREFIX = "test"
START = datetime(2024, 1, 1, tzinfo=UTC)

RIDE: dict[str, Any] = {
    "event": "ride",
    "fields": {
        "city": {"type": "string", "max_length": 16},
        "driver": {"type": "int64"},
        "fare": {"type": "double", "required": False},
        "shared": {"type": "bool", "required": False},
        "ordered_at": {"type": "timestamp", "required": False},
    },
}
CITY_RIDES: dict[str, Any] = {
    "view": "city-rides",
    "entity": "city",
    "keys": [{"name": "city"}],
    "source": {"type": "events", "event": "ride", "tile": "1m", "lateness": "10m"},
    "features": [
        {
            "name": "rides_1h",
            "type": "int64",
            "aggregate": {"function": "count", "window": "1h"},
        },
        {
            "name": "fare_sum_1h",
            "type": "float64",
            "aggregate": {"function": "sum", "of": "fare", "window": "1h"},
        },
        {
            "name": "last_fare_1h",
            "type": "float64",
            "aggregate": {"function": "last", "of": "fare", "window": "1h"},
        },
        {
            "name": "shared_fare_max_1h",
            "type": "float64",
            "aggregate": {
                "function": "max",
                "of": "fare",
                "window": "1h",
                "where": [{"field": "shared", "equals": True}],
            },
        },
        {
            "name": "drivers_1h",
            "type": "int64",
            "aggregate": {"function": "distinct", "of": "driver", "window": "1h"},
        },
    ],
}
DRIVER_RIDES: dict[str, Any] = {
    "view": "driver-rides",
    "entity": "driver",
    "keys": [{"name": "driver", "type": "int64"}],
    "source": {"type": "events", "event": "ride", "tile": "5m", "lateness": "1h"},
    "features": [
        {"name": "rides_3h", "type": "int64", "aggregate": {"function": "count", "window": "3h"}},
        {
            "name": "fare_mean_3h",
            "type": "float64",
            "aggregate": {"function": "mean", "of": "fare", "window": "3h"},
        },
    ],
}


def write_event_files(
    folder: Path,
    types: Sequence[Mapping[str, Any]] = (RIDE,),
    views: Sequence[Mapping[str, Any]] = (CITY_RIDES, DRIVER_RIDES),
) -> Path:
    """Writes event-type and view files; returns the folder of the pipelines beside them."""
    for name in ("pipelines", "features", "events"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for event_type in types:
        file = folder / "events" / f"{event_type['event']}.yaml"
        file.write_text(yaml.safe_dump(dict(event_type)))
    for view in views:
        (folder / "features" / f"{view['view']}.yaml").write_text(yaml.safe_dump(dict(view)))
    return folder / "pipelines"


def ride(number: int, *, after_s: float | None = None, **fields: Any) -> Event:
    """Returns the ride of that number, which became known when it happened.

    Args:
        number: makes its id.
        after_s: seconds after START at which it happened; by default as many as its number.
        fields: in place of the usual ones; None leaves one out.
    """
    at = START + timedelta(seconds=number if after_s is None else after_s)
    usual: dict[str, Any] = {"city": f"c{number % 7}", "driver": number % 31, "fare": number / 4}
    given = {name: value for name, value in (usual | fields).items() if value is not None}
    return Event(id=f"ride-{number}", event_time=at, known_at=at, fields=given)


def stored_state(server: LocalRedis) -> dict[str, Any]:
    """Returns what is stored of windowed views, as far as it is the same for the same events.

    Left out are the wall clock, and which ids of events too old to be sent again are still there:
    those go in groups, as updates come.
    """
    found: dict[str, Any] = {}
    with redis.Redis.from_url(server.url) as client:
        names = _stored_names(client)
        strings = [name for name in names if not name.endswith(":i")]
        contents: Any = client.mget(strings) if strings else []
        for name, content in zip(strings, contents, strict=True):
            is_head = name.endswith("}")
            found[name] = content[:16] + content[32:] if is_head and content else content
        for name in set(names) - set(strings):
            entity = name.removesuffix(":i")
            oldest = _newest_us(client, entity) - _lateness_us(entity)
            found[name] = client.zrangebyscore(name, oldest, "+inf", withscores=True)
    return found


def _stored_names(client: redis.Redis) -> list[str]:
    return sorted(key.decode() for key in client.scan_iter(f"{PREFIX}:fw:*", count=1000))


def _newest_us(client: redis.Redis, entity: str) -> float:
    head: Any = client.get(entity) or bytes(16)
    newest: float = struct.unpack_from("<d", head, 8)[0]
    return newest


def _lateness_us(entity: str) -> float:
    view = CITY_RIDES if CITY_RIDES["view"] in entity else DRIVER_RIDES
    lateness: timedelta = parse_duration(view["source"]["lateness"])
    return lateness / timedelta(microseconds=1)


@contextlib.asynccontextmanager
async def serve_events(
    pipelines: Path, server: LocalRedis, **settings: Any
) -> AsyncIterator[GrpcServer]:
    """Serves events in this process until the body is left, and then drains."""
    usual: dict[str, Any] = {
        "pipelines_dir": pipelines,
        "pipelines_poll_ms": 50,
        "feature_redis_url": server.url,
        "feature_key_prefix": PREFIX,
        "events_durability": "none",
    }
    async with serving(load_settings(EventsSettings, **(usual | settings))) as grpc_server:
        try:
            yield grpc_server
        finally:
            await grpc_server.drain()


def target_of(server: GrpcServer) -> str:
    """Returns where a server listens."""
    return f"127.0.0.1:{server.port}"


async def looked_up(
    server: LocalRedis, pipelines: Path, instant: datetime
) -> dict[tuple[str, str], list[Any]]:
    """Returns the features of every entity of every windowed view, for one instant."""
    entities: dict[str, list[str]] = {}
    with redis.Redis.from_url(server.url) as client:
        names = _stored_names(client)
    for name in names:
        if name.endswith("}"):
            view, _, key = name.partition("{")[2][:-1].split(":", 2)
            entities.setdefault(view, []).append(key)
    views = load_views(features_directory(pipelines)).views
    store = RedisFeatureStore(server.url, prefix=PREFIX)
    found: dict[tuple[str, str], list[Any]] = {}
    try:
        for view, keys in entities.items():
            source = row_source(views[view])
            instants = np.full(len(keys), timestamp_us(instant))
            (rows,) = await store.read([source.read(keys, instants)])
            kept = [place for place, row in enumerate(rows.rows) if row is not None]
            decoded = source.decode([rows.rows[place] for place in kept], instants[kept])
            assert not decoded.corrupt
            columns = [column for group in decoded.values for column in group]
            for number, place in enumerate(kept):
                values = [column[number].item() for column in columns]
                found[view, keys[place]] = list(map(repr, values))
    finally:
        await store.close()
    return found


async def until_taken(link: RedisLink, partitions: int) -> None:
    """Returns once nothing is left in any partition, which is trimmed as it is acknowledged."""
    names = StreamNames(PREFIX)
    async with asyncio.timeout(30):
        while True:
            lengths = [await link.call("XLEN", names.stream(p)) for p in range(partitions)]
            if not any(lengths):
                return
            await asyncio.sleep(0.02)


class EventProcess:
    """A `tailrace serve events`, to kill and to start again."""

    def __init__(
        self, folder: Path, pipelines: Path, server: LocalRedis, name: str, **settings: object
    ) -> None:
        given = {f"TAILRACE_{key.upper()}": str(value) for key, value in settings.items()}
        self.process = MeshProcess(
            "events",
            run_dir=folder,
            name=name,
            settings={
                "TAILRACE_PIPELINES_DIR": str(pipelines),
                "TAILRACE_PIPELINES_POLL_MS": "50",
                "TAILRACE_FEATURE_REDIS_URL": server.url,
                "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
                "TAILRACE_EVENTS_DURABILITY": "none",
                **given,
            },
        )

    @property
    def target(self) -> str:
        """Where it listens."""
        return self.process.target


class StartEvents:
    """Starts event services for one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[EventProcess] = []

    def __call__(self, pipelines: Path, server: LocalRedis, **settings: object) -> EventProcess:
        """Returns a service that listens; the settings are those of EventsSettings."""
        name = f"events-{len(self.started) + 1}"
        process = EventProcess(self._folder, pipelines, server, name, **settings)
        self.started.append(process)
        process.process.start()
        return process


@pytest.fixture
def start_events(tmp_path: Path) -> Iterator[StartEvents]:
    """Starts as many event services as a test wants; what is left is killed at its end."""
    start = StartEvents(tmp_path)
    yield start
    for each in start.started:
        each.process.kill()
