"""Lookups of windowed views: states, ages and defaults."""

from __future__ import annotations

from pathlib import Path

import yaml

from tailrace.features.redis_link import RedisLink
from tailrace.features.state import FeatureState
from tailrace.features.windows.schema import window_schema
from tailrace.features.windows.updates import Update, event_digest
from tailrace.features.windows.writer import RedisWindowWriter
from tests.support.feature_world import NOW_US, PREFIX, FeatureWorld, MakeWorld, view
from tests.support.window_world import windowed_view

HOUR_US = 3_600_000_000
FEATURES = {
    "events": {"function": "count", "window": "1h", "type": "int64"},
    "mean": {"function": "mean", "of": "x", "window": "1h"},
    "users": {"function": "distinct", "of": "user", "window": "1h", "type": "int64"},
}
WINDOWED = windowed_view(FEATURES, name="clicks", on_missing="flag", max_age="30m")


def world_of(make_world: MakeWorld, folder: Path) -> FeatureWorld:
    events = folder / "world-0" / "events"
    events.mkdir(parents=True)
    fields = {"id": {"type": "string"}, "x": {"type": "double"}, "user": {"type": "string"}}
    (events / "ev.yaml").write_text(yaml.safe_dump({"event": "ev", "fields": fields}))
    windowed = WINDOWED.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    windowed["source"] = {"type": "events", "event": "ev", "tile": "1m"}
    windowed["max_age"] = "30m"
    for feature, aggregate in zip(windowed["features"], FEATURES.values(), strict=True):
        feature["aggregate"] = {k: v for k, v in aggregate.items() if k != "type"}
    return make_world(windowed, view("stored", {"a": "float64"}))


async def test_windows_are_served_beside_stored_rows(make_world: MakeWorld, tmp_path: Path) -> None:
    world = world_of(make_world, tmp_path)
    await world.load("stored", {"id": ["one"], "a": [2.5]})
    link = RedisLink(world.url, client_name="tests")
    writer = RedisWindowWriter(link, PREFIX)
    schema = window_schema(world.views["clicks"])

    def clicked(key: str, number: int, ago_us: int) -> Update:
        user = f"user{number % 3}".encode()
        return Update(key, event_digest(f"{number}"), NOW_US - ago_us, (1.0, number), (user,))

    updates = [clicked("one", number, number * 1_000_000) for number in range(10)]
    updates += [clicked("old", 11, 3 * HOUR_US), clicked("stale", 12, HOUR_US * 3 // 4)]
    await writer.apply(schema, updates)
    await link.close()
    keys = ["one", "old", "stale", "unknown"]
    _, result = await world.look_up({"clicks.id": keys, "stored.id": keys})
    clicks, stored = result.views
    fresh, stale, missing = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
    assert clicks.states.tolist() == [fresh, missing, stale, missing]
    assert clicks.age_us.tolist() == [0, -1, HOUR_US * 3 // 4, -1]
    assert stored.states.tolist() == [fresh, missing, missing, missing]
    assert result.columns["clicks.events"].tolist() == [10, 0, 1, 0]
    assert result.columns["clicks.mean"].tolist() == [4.5, 0.0, 12.0, 0.0]
    assert result.columns["clicks.users"].tolist() == [3, 0, 1, 0]
    assert result.columns["clicks.missing"].tolist() == [False, True, False, True]


async def test_a_view_without_events_is_not_loaded(make_world: MakeWorld, tmp_path: Path) -> None:
    world = world_of(make_world, tmp_path)
    _, result = await world.look_up({"clicks.id": ["one"], "stored.id": ["one"]})
    assert result.views[0].states.tolist() == [FeatureState.MISSING]
    assert result.columns["clicks.missing"].tolist() == [True]
