"""Lookups in views of Feast answer what Feast itself answers, of what Feast has written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.feast.store_beside import StoreBeside
from tailrace.features.handler import FeatureHandler, LookupResult
from tailrace.features.load_errors import LoadFailed
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.state import FeatureState
from tailrace.runtime.errors import FeaturesCorrupt, Reason, Unavailable
from tests.support.feast_process import FeastProcess
from tests.support.feature_world import NOW_US, PREFIX, MakeWorld, view
from tests.support.planned_lookups import PlannedLookups, planned
from tests.support.redis_fixtures import StartRedis

FRESH, STALE, MISSING = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
AT = "2023-11-14T22:13:20+00:00"  # NOW_US
EARLIER = "2023-11-14T21:13:19.123456+00:00"
PRESENT = 2  # feast.serving.FieldStatus

TYPES = {
    "f64": "Float64", "f32": "Float32", "i64": "Int64", "i32": "Int32", "b": "Bool",
    "s": "String", "c": "String", "t": "UnixTimestamp", "v64": "Array:Float64",
    "v32": "Array:Float32", "vi64": "Array:Int64", "vi32": "Array:Int32", "vb": "Array:Bool",
}  # fmt: skip
COLOURS = ["red", "blue"]
FEATURES: list[dict[str, Any]] = [
    {"name": "f64", "type": "float64"},
    {"name": "f32", "type": "float32"},
    {"name": "i64", "type": "int64"},
    {"name": "i32", "type": "int64"},
    {"name": "b", "type": "bool"},
    {"name": "s", "type": "string"},
    {"name": "c", "type": "category", "values": COLOURS},
    {"name": "t", "type": "timestamp"},
    {"name": "v64", "type": "float64", "length": 2},
    {"name": "v32", "type": "float32", "length": 3},
    {"name": "vi64", "type": "int64", "length": 2},
    {"name": "vi32", "type": "int64", "length": 2},
    {"name": "vb", "type": "bool", "length": 2},
]
ROWS: dict[str, list[Any]] = {
    "f64": [1.5, -0.0, None, 1e308, 5e-324],
    "f32": [1.5, 0.0, None, 3.25, -2.0],
    # Feast takes integers beside a null through a double.
    "i64": [0, -1, None, 2**53, -(2**62)],
    "i32": [0, -1, None, 2**31 - 1, -(2**31)],
    "b": [True, False, None, True, False],
    "s": ["", "größe", None, "x" * 500, "a|b"],
    "c": ["red", "blue", None, "red", "blue"],
    "t": [AT, "1969-12-31T23:59:59+00:00", None, "2100-01-01T00:00:00+00:00", AT],
    "v64": [[1.0, 2.0], [0.0, -0.5], None, [1e300, 0.0], [3.0, 4.0]],
    "v32": [[1.0, 2.0, 3.0], [0.0, -0.5, 0.25], None, [9.0, 8.0, 7.0], [3.0, 4.0, 5.0]],
    "vi64": [[1, 2], [-1, 0], None, [2**63 - 1, -(2**63)], [300, 70000]],
    "vi32": [[1, 2], [-1, 0], None, [2**31 - 1, -(2**31)], [300, 70000]],
    "vb": [[True, False], [False, False], None, [True, True], [False, True]],
}


@pytest.fixture
def feast(feast_process: FeastProcess, fresh_redis: LocalRedis, tmp_path: Path) -> FeastProcess:
    feast_process.open(tmp_path / "repository", fresh_redis.url)
    return feast_process


def feast_view(
    features: list[dict[str, Any]], keys: list[dict[str, Any]] | None = None, **parts: Any
) -> dict[str, Any]:
    source = {"type": "feast", "project": "shop", "feature_view": "stats", **parts.pop("of", {})}
    return {
        "view": "stats",
        "entity": "item",
        "keys": keys or [{"name": "id"}],
        "features": features,
        "source": source,
        **parts,
    }


def cells(result: LookupResult, feature: str) -> list[Any]:
    values: list[Any] = result.columns[f"stats.{feature}"].tolist()
    return values


def presence(result: LookupResult, features: int, rows: int) -> list[list[bool]]:
    found = result.views[0].presence
    if found is None:
        return [[True] * rows] * features
    listed: list[list[bool]] = found.tolist()
    return listed


def assert_equal_to_feast(
    feast: FeastProcess, result: LookupResult, names: list[str], keys: Mapping[str, list[Any]]
) -> None:
    """Compares value by value what Feast answers for the same keys."""
    answer = feast.ask("read", view="stats", names=names, keys=dict(keys))
    rows = len(next(iter(keys.values())))
    present = presence(result, len(names), rows)
    outcome = result.views[0]
    for place, name in enumerate(names):
        served, ours = answer["values"][name], cells(result, name)
        for row in range(rows):
            where = f"{name} of row {row}"
            assert present[place][row] == (served[row] is not None), where
            if served[row] is None:
                continue
            value = COLOURS[ours[row]] if name == "c" else ours[row]
            np.testing.assert_array_equal(value, served[row], err_msg=where)
    for row, instant_us in enumerate(answer["instants_us"]):
        if outcome.states[row] != MISSING:
            assert outcome.age_us[row] == NOW_US - instant_us


@pytest.mark.parametrize("how", ["write", "push", "materialize"])
async def test_every_type_is_read_as_feast_serves_it(
    feast: FeastProcess, make_world: MakeWorld, how: str
) -> None:
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields=TYPES)
    ids = ["a", "b", "ö|\\", "d", ""]
    instants = [AT, EARLIER, EARLIER, AT, EARLIER]
    columns = {"id": ids, **ROWS, "event_timestamp": instants}
    feast.ask("write", view="stats", columns=columns, how=how)
    world = make_world(feast_view(FEATURES))
    keys = [*ids, "unknown", "a"]
    _, result = await world.look_up({"stats.id": keys})
    assert result.views[0].states.tolist() == [FRESH] * 5 + [MISSING, FRESH]
    assert_equal_to_feast(feast, result, list(TYPES), {"id": keys})
    # One entity without any null: all is read at once.
    _, result = await world.look_up({"stats.id": ["b"]})
    assert result.views[0].presence is None
    assert_equal_to_feast(feast, result, list(TYPES), {"id": ["b"]})


@pytest.mark.parametrize(
    ("types", "rows"),
    [
        ({"id": "INT64"}, {"id": [0, -7, 2**63 - 1]}),
        ({"id": "INT32"}, {"id": [0, -7, 2**31 - 1]}),
        ({"z": "STRING", "a": "INT64"}, {"z": ["x|y", "", "\\"], "a": [1, -1, 2**40]}),
        ({"t": "UNIX_TIMESTAMP"}, {"t": [AT, "1999-12-31T23:59:59+00:00", EARLIER[:19] + "Z"]}),
    ],
)
async def test_keys_of_every_type_find_what_feast_wrote(
    feast: FeastProcess, make_world: MakeWorld, types: dict[str, str], rows: dict[str, list[Any]]
) -> None:
    feast.ask("apply", view="stats", keys=types, fields={"x": "Float64"})
    columns = {**rows, "x": [1.0, 2.0, 3.0], "event_timestamp": [AT] * 3}
    feast.ask("write", view="stats", columns=columns, how="write")
    kinds = {"INT64": "int64", "INT32": "int64", "STRING": "string", "UNIX_TIMESTAMP": "timestamp"}
    keys: list[dict[str, Any]] = [{"name": key, "type": kinds[kind]} for key, kind in types.items()]
    for key in keys:
        if key["type"] == "timestamp":
            key["granularity"] = "1s"
    int32 = [key for key, kind in types.items() if kind == "INT32"]
    content = feast_view([{"name": "x", "type": "float64"}], keys, of={"int32_keys": int32})
    world = make_world(content)
    asked = {f"stats.{key}": column for key, column in rows.items()}
    if "t" in rows:
        asked = {"stats.t": np.array([t.rstrip("Z")[:19] for t in rows["t"]], "M8[us]").tolist()}
        asked = {"stats.t": np.array(asked["stats.t"], "M8[us]").astype(np.int64).tolist()}
    _, result = await world.look_up(asked)
    assert cells(result, "x") == [1.0, 2.0, 3.0]
    assert result.views[0].presence is None


async def test_names_may_differ_and_the_newest_writing_counts(
    feast: FeastProcess, make_world: MakeWorld
) -> None:
    feast.ask("apply", view="stats", keys={"driver": "INT64"}, fields={"conv_rate": "Float64"})
    world = make_world(
        feast_view(
            [{"name": "rate", "type": "float64"}],
            [{"name": "id", "type": "int64"}],
            of={"join_keys": {"id": "driver"}, "features": {"rate": "conv_rate"}},
        )
    )
    for how, instant, value in [
        ("write", EARLIER, 1.0), ("materialize", AT, 2.0), ("push", EARLIER, 3.0),
    ]:  # fmt: skip
        columns = {"driver": [7], "conv_rate": [value], "event_timestamp": [instant]}
        feast.ask("write", view="stats", columns=columns, how=how)
        _, result = await world.look_up({"stats.id": [7]})
        expected = feast.ask("read", view="stats", names=["conv_rate"], keys={"driver": [7]})
        assert cells(result, "rate") == expected["values"]["conv_rate"]
    # Feast kept what was newer, and so it is read.
    assert cells(result, "rate") == [2.0]
    assert result.views[0].age_us.tolist() == [0]


async def test_views_of_one_entity_and_projects_are_kept_apart(
    feast: FeastProcess, fresh_redis: LocalRedis, make_world: MakeWorld, tmp_path: Path
) -> None:
    for name in ("stats", "other"):
        feast.ask("apply", view=name, keys={"id": "STRING"}, fields={"x": "Float64"})
    for name, key in (("stats", "a"), ("other", "b")):
        columns = {"id": [key], "x": [1.0], "event_timestamp": [AT]}
        feast.ask("write", view=name, columns=columns, how="write")
    feast.open(tmp_path / "elsewhere", fresh_redis.url, project="elsewhere")
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64"})
    columns = {"id": ["c"], "x": [1.0], "event_timestamp": [AT]}
    feast.ask("write", view="stats", columns=columns, how="write")
    world = make_world(feast_view([{"name": "x", "type": "float64"}]))
    _, result = await world.look_up({"stats.id": ["a", "b", "c"]})
    assert result.views[0].states.tolist() == [FRESH, MISSING, MISSING]


async def test_ages_and_policies_go_by_feasts_timestamp(
    feast: FeastProcess, make_world: MakeWorld
) -> None:
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64"})
    instants = [AT, EARLIER, "2023-11-13T00:00:00+00:00"]
    columns = {"id": ["new", "old", "gone"], "x": [1.0, 2.0, 3.0], "event_timestamp": instants}
    feast.ask("write", view="stats", columns=columns, how="write")
    features = [{"name": "x", "type": "float64", "default": -1.0}]
    policies: dict[str, Any] = {"max_age": "1h", "ttl": "1d"}
    policies |= {"on_missing": "flag", "on_stale": "flag"}
    world = make_world(feast_view(features, **policies))
    _, result = await world.look_up({"stats.id": ["new", "old", "gone", "unknown", None]})
    assert result.views[0].states.tolist() == [FRESH, STALE, MISSING, MISSING, MISSING]
    assert cells(result, "x") == [1.0, 2.0, -1.0, -1.0, -1.0]
    assert cells(result, "missing") == [False, False, True, True, True]
    assert cells(result, "stale") == [False, True, False, False, False]
    assert result.views[0].age_us.tolist() == [0, 3_600_876_544, -1, -1, -1]


async def test_a_view_that_feast_never_wrote_is_missing(
    feast: FeastProcess, make_world: MakeWorld
) -> None:
    world = make_world(feast_view([{"name": "x", "type": "float64"}]))
    _, result = await world.look_up({"stats.id": ["a", None]})
    assert result.views[0].states.tolist() == [MISSING, MISSING]


@pytest.mark.parametrize(
    ("feature", "value", "problem"),
    [
        ({"type": "float32"}, {"doubleVal": 1.0}, "a float32 is made of float_val"),
        ({"type": "int64"}, {"doubleVal": 1.0}, "Feast has a double_val"),
        ({"type": "float64"}, {"int64Val": "1"}, "Feast has a int64_val"),
        ({"type": "bool"}, {"int64Val": "1"}, "Feast has a int64_val"),
        ({"type": "string"}, {"bytesVal": "AAAA"}, "a kind that no feature can be made of"),
        ({"type": "float64"}, {"stringListVal": {"val": ["a"]}}, "a kind that no feature"),
        ({"type": "category", "values": ["a"]}, {"stringVal": "b"}, "not one of the category's"),
        ({"type": "timestamp"}, {"unixTimestampVal": str(2**62)}, "out of range"),
        ({"type": "float64", "length": 2}, {"doubleListVal": {"val": [1.0]}}, "expected 2"),
        ({"type": "float64", "length": 2}, {"doubleVal": 1.0}, "Feast has a double_val"),
    ],
)  # fmt: skip
async def test_values_of_another_type_fail_their_row_and_name_the_feature(
    feast: FeastProcess,
    make_world: MakeWorld,
    feature: dict[str, Any],
    value: dict[str, Any],
    problem: str,
) -> None:
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64", "y": "Float64"})
    keys = [{"id": {"stringVal": key}} for key in ("bad", "null", "none")]
    rows: list[dict[str, Any]] = [{"x": value}, {"x": {}}, {"x": {"nullVal": "NULL"}}]
    rows = [{**row, "y": {"doubleVal": 2.0}} for row in rows]
    feast.ask("write_values", view="stats", keys=keys, rows=rows, at=AT)
    features = [{"name": "x", **feature}, {"name": "y", "type": "float64"}]
    world = make_world(feast_view(features))
    counts = world.plan.views[0].counts
    corrupt_before = counts.corrupt
    batch, result = await world.look_up({"stats.id": ["bad", "null", "none"]})
    assert set(batch.rows.failures) == {0}
    error = batch.rows.failures[0]
    assert isinstance(error, FeaturesCorrupt)
    assert error.reason is Reason.FEATURES_CORRUPT
    assert "view 'stats'" in error.message
    assert "feature 'x'" in error.message
    assert problem in error.message
    assert presence(result, 2, 3) == [[False, False, False], [False, True, True]]
    assert cells(result, "y")[1:] == [2.0, 2.0]
    assert counts.corrupt == corrupt_before + 1


async def test_bytes_that_are_no_values_fail_their_row_and_are_counted(
    feast: FeastProcess, make_world: MakeWorld
) -> None:
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64"})
    columns = {"id": ["a", "b", "c", "d"], "x": [1.0] * 4, "event_timestamp": [AT] * 4}
    feast.ask("write", view="stats", columns=columns, how="write")
    names = [{"id": {"stringVal": key}} for key in "abce"]
    hashes = [bytes.fromhex(key) + b"shop" for key in feast.ask("keys", keys=names)]
    [field] = [bytes.fromhex(each) for each in feast.ask("fields", names=["stats:x"])]
    world = make_world(feast_view([{"name": "x", "type": "float64"}]))
    corrupt_before = world.plan.views[0].counts.corrupt
    with world.redis() as client:
        client.hset(hashes[0], field, b"\x29\x00")
        client.hset(hashes[1], "_ts:stats", b"\xff")
        client.hdel(hashes[2], "_ts:stats")
        client.set(hashes[3], "text")
    batch, result = await world.look_up({"stats.id": ["a", "b", "c", "d", "e"]})
    problems = {row: str(error.message) for row, error in batch.rows.failures.items()}
    assert sorted(problems) == [0, 1, 2, 4]
    assert "what is stored of it is no hash" in problems[4]
    assert "feature 'x': its bytes are no value" in problems[0]
    assert "event timestamp: its bytes are no timestamp" in problems[1]
    assert "features and no event timestamp" in problems[2]
    assert cells(result, "x")[3] == 1.0
    assert world.plan.views[0].counts.corrupt == corrupt_before + 4


async def test_lists_of_keys_and_instants_work_as_with_other_views(
    feast: FeastProcess, make_world: MakeWorld
) -> None:
    types = {"shop": "STRING", "item": "INT64"}
    feast.ask("apply", view="stats", keys=types, fields={"x": "Float64", "n": "Int64"})
    columns = {"shop": ["A", "A", "B"], "item": [1, 2, 1], "x": [1.0, None, 3.0], "n": [1, 2, 3]}
    columns |= {"event_timestamp": [AT, EARLIER, AT]}
    feast.ask("write", view="stats", columns=columns, how="write")
    features: list[dict[str, Any]] = [{"name": "x", "type": "float64", "default": -1.0}]
    features += [{"name": "n", "type": "int64"}]
    world = make_world(
        feast_view(features, [{"name": "shop"}, {"name": "item", "type": "int64"}], max_age="1h")
    )
    plan = planned(world, "stats", lists=["item"], elements=3, has_instant=True)
    lookups = PlannedLookups(world, plan)
    asked = {"stats.shop": ["A", "B"], "stats.@at": [NOW_US + 1, NOW_US + 10**6]}
    asked |= lookups.lists("stats.item", [[2, 1, 7], [1]])
    _, result = await lookups.look_up(asked)
    assert cells(result, "x") == [[-1.0, 1.0, -1.0], [3.0, -1.0, -1.0]]
    assert cells(result, "n") == [[2, 1, 0], [3, 0, 0]]
    assert result.views[0].age_us.tolist() == [3_600_876_545, 10**6]
    assert result.views[0].element_states is not None
    states = result.views[0].element_states.tolist()
    assert states == [[STALE, FRESH, MISSING], [FRESH, 0, 0]]


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000])
async def test_views_of_all_kinds_are_read_in_one_round_trip(
    feast: FeastProcess, make_world: MakeWorld, cache_bytes: int
) -> None:
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64"})
    columns = {"id": ["a"], "x": [1.0], "event_timestamp": [EARLIER]}
    feast.ask("write", view="stats", columns=columns, how="write")
    static = view("own", {"y": "float64"})
    declared = feast_view([{"name": "x", "type": "float64"}])
    world = make_world(static, declared, cache_bytes=cache_bytes)
    await world.load("own", {"id": ["a"], "y": [2.0]})
    keys = {"own.id": ["a", "a"], "stats.id": ["a", "a"]}
    await world.look_up(keys)
    with world.redis() as client:
        read_before = client.info("stats")["total_reads_processed"]
        before = client.info("commandstats")
        _, result = await world.look_up(keys)
        after = client.info("commandstats")
        # Beside the lookup's one, those of the two INFO after the first.
        assert client.info("stats")["total_reads_processed"] - read_before == 4
    assert cells(result, "x") == [1.0, 1.0]
    calls = {name: after[name]["calls"] - before[name]["calls"] for name in before}
    assert calls["cmdstat_hmget"] == 1, "each entity is read once"
    # Nothing that Feast writes stays in the cache.
    columns = {"id": ["a"], "x": [3.0], "event_timestamp": [AT]}
    feast.ask("write", view="stats", columns=columns, how="write")
    _, result = await world.look_up(keys)
    assert cells(result, "x") == [3.0, 3.0]


@pytest.fixture
def other_redis(start_redis: StartRedis) -> Iterator[LocalRedis]:
    yield start_redis()


async def test_feasts_redis_may_be_another_one(
    feast: FeastProcess, make_world: MakeWorld, other_redis: LocalRedis, tmp_path: Path
) -> None:
    feast.open(tmp_path / "other", other_redis.url)
    feast.ask("apply", view="stats", keys={"id": "STRING"}, fields={"x": "Float64"})
    columns = {"id": ["a"], "x": [1.0], "event_timestamp": [AT]}
    feast.ask("write", view="stats", columns=columns, how="write")
    static = view("own", {"y": "float64"})
    world = make_world(static, feast_view([{"name": "x", "type": "float64"}]))
    await world.load("own", {"id": ["a"], "y": [2.0]})
    store = StoreBeside(
        RedisFeatureStore(world.url, prefix=PREFIX),
        RedisFeatureStore(other_redis.url, prefix=""),
    )
    handler = FeatureHandler(store, max_keys=100, now_us=lambda: NOW_US)
    keys = {"own.id": ["a", "b"], "stats.id": ["a", "b"]}
    try:
        result = await handler.handle(world.batch(keys), world.plan)
        own, stats = result.views
        assert own.states.tolist() == stats.states.tolist() == [FRESH, MISSING]
        assert cells(result, "x") == [1.0, 0.0]
        assert result.columns["own.y"].tolist() == [2.0, 0.0]
        other_redis.stop()
        with pytest.raises(Unavailable):
            await handler.handle(world.batch(keys), world.plan)
        # Whether the service serves is for its own Redis to say.
        await store.ping(1.0)
    finally:
        await store.close()


async def test_a_view_of_feast_is_not_loaded(make_world: MakeWorld) -> None:
    world = make_world(feast_view([{"name": "x", "type": "float64"}]))
    with pytest.raises(LoadFailed, match="written by Feast"):
        await world.load("stats", {"id": ["a"], "x": [1.0]})
