"""Damaged bytes and far instants of windowed views, against a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import yaml
from prometheus_client import REGISTRY

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.key_cache import KeyCache
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.state import FeatureState
from tailrace.features.windows.layout import window_layout
from tailrace.features.windows.schema import window_schema
from tailrace.features.windows.updates import Outcome, Update, event_digest
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.errors import Code
from tests.support.feature_world import NOW_US, PREFIX, FeatureWorld, MakeWorld, view
from tests.support.window_world import WindowWorld, window_world, windowed_view

BASE_US = 1_370_000_000_000_000
MINUTE_US = 60_000_000
EVENTS = 30
FEATURES = {
    "events": {"function": "count", "window": "1h", "type": "int64"},
    "spread": {"function": "stddev", "of": "x", "window": "1h"},
    "latest": {"function": "last", "of": "x", "window": "1d", "tile": "10m"},
    "users": {"function": "distinct", "of": "user", "window": "1h", "type": "int64"},
    "today": {"function": "count", "window": "since_midnight", "timezone": "America/New_York",
              "tile": "10m", "type": "int64"},
}  # fmt: skip
AT_US = BASE_US + (EVENTS - 1) * MINUTE_US


def updates(key: str, events: int = EVENTS) -> list[Update]:
    return [
        Update(
            key,
            event_digest(f"{number}"),
            BASE_US + number * MINUTE_US,
            (1.0, float(number)),
            (f"user{number % 3}".encode(),),
        )
        for number in range(events)
    ]


@pytest_asyncio.fixture
async def world(fresh_redis: LocalRedis) -> AsyncIterator[WindowWorld]:
    async with window_world(fresh_redis.url, windowed_view(FEATURES)) as opened:
        for key in ("one", "two", "three"):
            assert await opened.apply(updates(key)) == [Outcome.APPLIED] * EVENTS
        yield opened


def changes_of(data: bytes, step: int) -> list[bytes]:
    """Returns data cut, lengthened, and with changed bytes, at every `step`th place."""
    changed = [data[:length] for length in range(0, len(data), step)]
    changed += [data[:at] + b"\7" + data[at:] for at in range(0, len(data) + 1, step)]
    for at in range(len(data)):
        changed += [
            data[:at] + bytes([data[at] ^ change]) + data[at + 1 :] for change in (1, 128, 255)
        ]
    return changed


@pytest.mark.parametrize("suffix", ["", ":0", ":1"])
async def test_damaged_bytes_leave_neighbours_alone_and_never_fail_the_lookup(
    world: WindowWorld, suffix: str
) -> None:
    name = world.entity_key("two", suffix)
    sound = await world.link.call("GET", name)
    (neighbour, *_) = await world.look_up(["one"], [AT_US])
    layout = window_layout(world.schema)
    told = 0
    forms = changes_of(sound, step=8 if suffix else 1)
    for form in forms:
        await world.link.call("SET", name, form)
        decoded, places = await world.decode(["one", "two", "three"], [AT_US] * 3)
        assert decoded is not None and places == [0, 1, 2]
        assert set(decoded.corrupt) <= {1}
        told += len(decoded.corrupt)
        if len(form) != len(sound) or (not suffix and form[:8] != layout.prefix):
            assert 1 in decoded.corrupt  # another length, version or schema
        assert _row(world, decoded, 0) == _row(world, decoded, 2) == neighbour
    assert told
    await world.link.call("SET", name, sound)
    assert await world.look_up(["two"], [AT_US]) == [neighbour]


def _row(world: WindowWorld, decoded: Any, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for group, values in zip(world.rows.schema.groups, decoded.values, strict=True):
        for column, name in enumerate(group.names):
            feature = group.start + column
            present = decoded.validity is None or decoded.validity[feature, number]
            row[name] = values[column, number].item() if present else None
    return row


async def set_distinct(world: WindowWorld, key: str, data: bytes) -> None:
    names = await world.keys(f"{world.entity_key(key)}:0:0:*")
    assert names
    for name in names:
        await world.link.call("SET", name, data)


@pytest.mark.parametrize(
    "data", [b"", b"HYLL", b"garbage", b"HYLL\1" + bytes(3) + bytes(8) + b"\x7f" * 20]
)
@pytest.mark.parametrize("cached", [False, True])
async def test_damaged_distinct_values_fail_their_row_only(
    world: WindowWorld, fresh_redis: LocalRedis, data: bytes, cached: bool
) -> None:
    await set_distinct(world, "two", data)
    cache = KeyCache(1_000_000, 60.0) if cached else None
    store = RedisFeatureStore(fresh_redis.url, prefix="test", cache=cache)
    instants = np.array([AT_US] * 3)
    try:
        for _ in range(3):
            read = world.rows.read(["one", "two", "three"], instants)
            (found,) = await store.read([read])
            decoded = world.rows.decode(found.rows, instants)
            assert decoded.corrupt == {1: "its distinct values cannot be counted"}
            assert _row(world, decoded, 0)["users"] == _row(world, decoded, 2)["users"] == 3
    finally:
        await store.close()


@pytest.mark.parametrize("years", [-1967, -500, 1, 7000])
async def test_far_instants_have_no_values(world: WindowWorld, years: int) -> None:
    year = np.datetime64(f"{1970 + years:04d}-06-01", "us").astype(np.int64)
    found = await world.look_up(["one", "two", "one"], [int(year), AT_US, AT_US])
    # Long before the newest event the tiles may be gone, and long after it there are none.
    assert found[0] is None or set(found[0].values()) == {None}
    assert found[1] == found[2] is not None


async def test_values_too_large_to_be_squared_have_no_deviation(fresh_redis: LocalRedis) -> None:
    async with window_world(fresh_redis.url, windowed_view(FEATURES)) as opened:
        values = (1e300, -1e300, 1e308)
        large = [
            Update("one", each.event_id, each.event_time_us, (1.0, value), each.distinct)
            for value, each in zip(values, updates("one"), strict=False)
        ]
        await opened.apply(large)
        (row,) = await opened.look_up(["one"], [AT_US])
    assert row is not None
    assert (row["events"], row["spread"], row["latest"]) == (3, None, 1e308)


async def test_events_before_1970_are_counted(fresh_redis: LocalRedis) -> None:
    async with window_world(fresh_redis.url, windowed_view(FEATURES)) as opened:
        early = [
            Update("one", each.event_id, each.event_time_us - 2 * BASE_US, each.values,
                   each.distinct)
            for each in updates("one")
        ]  # fmt: skip
        await opened.apply(early)
        (row,) = await opened.look_up(["one"], [AT_US - 2 * BASE_US])
    assert row is not None
    assert (row["events"], row["users"], row["latest"]) == (30, 3, 29.0)


ODD = ["", "}", "}:0", "}:0:0:1", "{", "{a}", ":", "|", "\\", "\n", "\0", "日本", "a" * 10_000]


async def test_every_text_is_an_entity_of_its_own(world: WindowWorld) -> None:
    for number, key in enumerate(ODD, start=1):
        await world.apply(updates(key, number))
    found = await world.look_up(ODD, [AT_US] * len(ODD))
    assert [row and row["events"] for row in found] == list(range(1, len(ODD) + 1))
    assert [row and row["users"] for row in found] == [min(n, 3) for n in range(1, len(ODD) + 1)]


async def test_1000_features_of_many_windows_are_kept_and_read(fresh_redis: LocalRedis) -> None:
    functions = ("last", "stddev", "min", "first")
    features = {
        f"f{number}": {
            "function": functions[number % 4],
            "of": "x",
            "window": f"{5 + number % 200}m",
            "where": [{"field": "x", "above": number}],
        }
        for number in range(1000)
    }
    async with window_world(fresh_redis.url, windowed_view(features)) as opened:
        inputs = len(opened.schema.inputs)
        written = [
            Update("one", event_digest(f"{n}"), BASE_US + n * MINUTE_US // 2, (float(n),) * inputs)
            for n in range(5)
        ]
        assert await opened.apply(written) == [Outcome.APPLIED] * 5
        (row,) = await opened.look_up(["one"], [BASE_US + 2 * MINUTE_US])
    assert row is not None and len(row) == 1000
    assert {row[f"f{number}"] for number in range(0, 1000, 4)} == {4.0}
    assert {row[f"f{number}"] for number in range(3, 1000, 4)} == {0.0}
    assert {row[f"f{number}"] for number in range(1, 1000, 4)} == {float(np.std(range(5), ddof=1))}


# -- definitions that change ----------------------------------------------------------------


def clicks_world(make_world: MakeWorld, folder: Path, window: str, number: int = 0) -> FeatureWorld:
    events = folder / f"world-{number}" / "events"
    events.mkdir(parents=True)
    event = {"event": "ev", "fields": {"id": {"type": "string"}}}
    (events / "ev.yaml").write_text(yaml.safe_dump(event))
    clicks = view("clicks", {"n": "int64"}) | {
        "source": {"type": "events", "event": "ev", "tile": "1m"}
    }
    clicks["features"][0]["aggregate"] = {"function": "count", "window": window}
    return make_world(clicks, view("stored", {"a": "float64"}))


async def click(world: FeatureWorld, keys: Sequence[str]) -> None:
    link = RedisLink(world.url, client_name="tests")
    try:
        writer = RedisWindowWriter(link, PREFIX)
        schema = window_schema(world.views["clicks"])
        await writer.apply(schema, [Update(key, event_digest("1"), NOW_US, (1.0,)) for key in keys])
    finally:
        await link.close()


async def test_a_windowed_view_of_another_definition_says_how_to_begin_anew(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    await click(clicks_world(make_world, tmp_path, "1h"), ["one"])
    changed = clicks_world(make_world, tmp_path, "2h", 1)
    batch, found = await changed.look_up({"clicks.id": ["one"], "stored.id": ["one"]})
    assert batch.rows.failures[0].code is Code.DATA_LOSS
    message = batch.rows.failures[0].message
    assert "`tailrace features reset clicks`" in message
    assert "load it anew" not in message
    assert found.views[0].states.tolist() == [FeatureState.UNSPECIFIED]


async def test_many_entities_without_events_in_a_window_and_many_expired_ones_are_told_apart(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    def counted(state: str) -> float:
        labels = {"pipeline": "p", "view": "clicks", "state": state}
        return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0

    world = clicks_world(make_world, tmp_path, "1h")
    keys = [f"key{number}" for number in range(1000)]
    await click(world, keys)
    world.now_us += 3 * 60 * MINUTE_US
    before = counted("missing")
    _, found = await world.look_up({"clicks.id": keys, "stored.id": keys})
    assert set(found.views[0].states.tolist()) == {FeatureState.MISSING}
    assert counted("missing") == before + 1000
