"""Lookups against a real Redis: values, policies, failures of single rows, round trips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from tailrace.features.defaults import default_blocks
from tailrace.features.state import FeatureState
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import (
    Code,
    FeaturesCorrupt,
    InvalidBatch,
    LimitExceeded,
    NotFound,
    Reason,
)
from tailrace.v1 import feature_service_pb2
from tests.support.feature_world import NOW_US, FeatureWorld, MakeWorld, view

FRESH, STALE, MISSING = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
SECOND_US = 1_000_000


def counted(view_name: str, state: str) -> float:
    labels = {"pipeline": "p", "view": view_name, "state": state}
    return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0


ALL_TYPES = {"f32": "float32", "f64": "float64", "i64": "int64", "flag": "bool", "text": "string"}


async def test_values_of_every_type_arrive_in_columns_of_their_type(make_world: MakeWorld) -> None:
    world = make_world(view("thing", ALL_TYPES))
    table = {
        "id": ["a", "b", "c"],
        "f32": [1.5, math.nan, -math.inf],
        "f64": [1e300, 2.5, -0.0],
        "i64": [2**63 - 1, -(2**63), 0],
        "flag": [True, False, True],
        "text": ["", "ünï🙂", "|\\"],
    }
    await world.load("thing", table)
    batch, found = await world.look_up({"thing.id": ["c", "a", "b"]})
    assert not batch.rows.failures
    columns = found.columns
    np.testing.assert_array_equal(
        columns["thing.f32"], np.array([-math.inf, 1.5, math.nan], np.float32)
    )
    assert columns["thing.f64"].tolist() == [-0.0, 1e300, 2.5]
    assert columns["thing.i64"].tolist() == [0, 2**63 - 1, -(2**63)]
    assert columns["thing.flag"].tolist() == [True, True, False]
    assert columns["thing.text"].tolist() == ["|\\", "", "ünï🙂"]
    assert {name: columns.dtype(name) for name in columns} == {
        column.name: column.dtype for column in world.pipeline.views[0].columns()
    }
    assert found.views[0].states.tolist() == [FRESH] * 3


async def test_columns_of_one_type_of_all_views_share_a_block(make_world: MakeWorld) -> None:
    one = view("one", {"a": "float32", "b": "string", "c": "float32"}, on_missing="flag")
    two = view("two", {"d": "float32", "e": "bool"}, on_missing="flag", on_stale="flag")
    world = make_world(one, two)
    await world.load("one", {"id": ["k"], "a": [1.0], "b": ["x"], "c": [2.0]})
    await world.load("two", {"id": ["k"], "d": [3.0], "e": [True]})
    _, found = await world.look_up({"one.id": ["k", "-"], "two.id": ["-", "k"]})
    by_type = {block.dtype: block.names for block in found.columns.blocks}
    assert by_type == {
        DType.FLOAT32: ("one.a", "one.c", "two.d"),
        DType.BOOL: ("one.missing", "two.e", "two.missing", "two.stale"),
        DType.STRING: ("one.b",),
    }
    cells = {name: found.columns[name].tolist() for name in found.columns}
    assert cells == {
        "one.a": [1.0, 0.0],
        "one.c": [2.0, 0.0],
        "two.d": [0.0, 3.0],
        "one.missing": [False, True],
        "two.e": [False, True],
        "two.missing": [True, False],
        "two.stale": [False, False],
        "one.b": ["x", ""],
    }


async def test_a_composite_key_with_an_instant_finds_the_hour_it_lies_in(
    make_world: MakeWorld,
) -> None:
    hour_us = 3600 * SECOND_US
    keys = [{"name": "place"}, {"name": "hour", "type": "timestamp", "granularity": "1h"}]
    world = make_world(view("weather", {"t": "float64"}, keys=keys))
    table = {"place": ["A|", "A"], "hour": [hour_us, hour_us], "t": [1.0, 2.0]}
    await world.load("weather", table)
    asked: dict[str, list[Any]] = {
        "weather.place": ["A", "A|", "A"],
        "weather.hour": [hour_us + 1, hour_us, hour_us - 1],
    }
    _, found = await world.look_up(asked)
    assert found.columns["weather.t"].tolist() == [2.0, 1.0, 0.0]
    assert found.views[0].states.tolist() == [FRESH, FRESH, MISSING]


# -- missing --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["nobody", None], ids=["no such entity", "null key"])
@pytest.mark.parametrize("policy", ["default", "flag"])
async def test_a_missing_entity_has_defaults(
    make_world: MakeWorld, policy: str, key: str | None
) -> None:
    defaults = {"f32": math.nan, "i64": 7, "text": "none"}
    world = make_world(view("thing", ALL_TYPES, on_missing=policy, defaults=defaults))
    row = {"id": ["a"], "f32": [1.0], "f64": [1.0], "i64": [1], "flag": [True], "text": ["x"]}
    await world.load("thing", row)
    before = counted("thing", "missing")
    batch, found = await world.look_up({"thing.id": ["a", key]})
    assert not batch.rows.failures
    columns = found.columns
    np.testing.assert_array_equal(columns["thing.f32"], np.array([1.0, math.nan], np.float32))
    assert columns["thing.f64"].tolist() == [1.0, 0.0]
    assert columns["thing.i64"].tolist() == [1, 7]
    assert columns["thing.flag"].tolist() == [True, False]
    assert columns["thing.text"].tolist() == ["x", "none"]
    assert ("thing.missing" in columns) == (policy == "flag")
    if policy == "flag":
        assert columns["thing.missing"].tolist() == [False, True]
    assert found.views[0].states.tolist() == [FRESH, MISSING]
    assert found.views[0].age_us[1] == -1
    assert counted("thing", "missing") == before + 1


@pytest.mark.parametrize("key", ["nobody", None], ids=["no such entity", "null key"])
async def test_a_missing_entity_fails_its_own_row_where_the_view_says_so(
    make_world: MakeWorld, key: str | None
) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_missing="fail"))
    await world.load("thing", {"id": ["a"], "a": [1.0]})
    batch, found = await world.look_up({"thing.id": [key, "a"]})
    assert list(batch.rows.failures) == [0]
    failure = batch.rows.failures[0]
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, Reason.ENTITY_NOT_FOUND)
    assert failure.field == "fields.thing_id"
    assert found.columns["thing.a"][1] == 1.0
    assert found.views[0].states.tolist() == [0, FRESH]


async def test_defaults_for_a_failed_hop_are_those_of_missing_entities(
    make_world: MakeWorld,
) -> None:
    defaults = {"f32": math.nan, "i64": 7, "text": "none"}
    policies = {"on_missing": "flag", "on_stale": "flag"}
    world = make_world(view("thing", ALL_TYPES, defaults=defaults, **policies))
    _, found = await world.look_up({"thing.id": ["a", "b", "c"]})
    expected = default_blocks(world.pipeline.views[0], 3)
    assert len(expected) == len(found.columns.blocks)
    for one, other in zip(found.columns.blocks, expected, strict=True):
        assert (one.names, one.dtype) == (other.names, other.dtype)
        assert one.values.dtype == other.values.dtype
        np.testing.assert_array_equal(one.values, other.values)


async def test_a_null_feature_has_its_default_and_is_counted(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float64", "b": "string"}, defaults={"a": -1.0}))
    await world.load("thing", {"id": ["x", "y"], "a": [None, 2.0], "b": ["t", None]})
    labels = {"pipeline": "p", "view": "thing"}
    before = REGISTRY.get_sample_value("tailrace_feature_nulls_total", labels) or 0.0
    batch, found = await world.look_up({"thing.id": ["x", "y", "z"]})
    assert not batch.rows.failures
    assert found.columns["thing.a"].tolist() == [-1.0, 2.0, -1.0]
    assert found.columns["thing.b"].tolist() == ["t", "", ""]
    assert found.views[0].states.tolist() == [FRESH, FRESH, MISSING]
    nulls = REGISTRY.get_sample_value("tailrace_feature_nulls_total", labels)
    assert nulls == before + 2


async def test_a_null_feature_without_a_default_fails_where_missing_ones_fail(
    make_world: MakeWorld,
) -> None:
    features = {"a": "float64", "b": "float64"}
    world = make_world(view("thing", features, on_missing="fail", defaults={"a": 5.0}))
    await world.load("thing", {"id": ["x", "y"], "a": [None, 2.0], "b": [1.0, None]})
    batch, found = await world.look_up({"thing.id": ["x", "y"]})
    assert list(batch.rows.failures) == [1]
    assert isinstance(batch.rows.failures[1], NotFound)
    assert batch.rows.failures[1].field == "thing.b"
    assert found.columns["thing.a"][0] == 5.0


@pytest.mark.parametrize("policy", ["default", "flag", "fail"])
async def test_a_view_that_was_never_loaded_is_missing_or_a_failed_precondition(
    make_world: MakeWorld, policy: str
) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_missing=policy))
    before = counted("thing", "not_loaded")
    batch, found = await world.look_up({"thing.id": ["x", None]})
    assert counted("thing", "not_loaded") == before + 2
    if policy == "fail":
        failures = list(batch.rows.failures.values())
        assert [failure.code for failure in failures] == [Code.FAILED_PRECONDITION] * 2
        assert [failure.reason for failure in failures] == [Reason.VIEW_NOT_LOADED] * 2
        return
    assert not batch.rows.failures
    assert found.views[0].states.tolist() == [MISSING, MISSING]
    assert found.columns["thing.a"].tolist() == [0.0, 0.0]


# -- stale ----------------------------------------------------------------------------------


async def load_ages(world: FeatureWorld) -> None:
    """Loads `old`, 61 s before `NOW_US`, `young`, 60 s before it, and `future`, 9 s after."""
    table = {
        "id": ["old", "young", "future"],
        "a": [1.0, 2.0, 3.0],
        "at": [NOW_US - 61 * SECOND_US, NOW_US - 60 * SECOND_US, NOW_US + 9 * SECOND_US],
    }
    await world.load("thing", table, timestamp_column="at")


@pytest.mark.parametrize("policy", ["default", "flag"])
async def test_stale_features_are_served_and_told(make_world: MakeWorld, policy: str) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_stale=policy, max_age="60s"))
    await load_ages(world)
    before = counted("thing", "stale")
    batch, found = await world.look_up({"thing.id": ["old", "young", "nobody"]})
    assert not batch.rows.failures
    assert found.columns["thing.a"].tolist() == [1.0, 2.0, 0.0]
    assert found.views[0].states.tolist() == [STALE, FRESH, MISSING]
    assert found.views[0].age_us.tolist() == [61 * SECOND_US, 60 * SECOND_US, -1]
    assert ("thing.stale" in found.columns) == (policy == "flag")
    if policy == "flag":
        assert found.columns["thing.stale"].tolist() == [True, False, False]
    assert counted("thing", "stale") == before + 1


async def test_stale_features_fail_their_own_row_where_the_view_says_so(
    make_world: MakeWorld,
) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_stale="fail", max_age="60s"))
    await load_ages(world)
    batch, found = await world.look_up({"thing.id": ["young", "old"]})
    assert list(batch.rows.failures) == [1]
    failure = batch.rows.failures[1]
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, Reason.FEATURES_STALE)
    assert "61.000 s" in failure.message
    assert found.views[0].states.tolist() == [FRESH, 0]


async def test_features_from_the_future_have_age_zero(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_stale="fail", max_age="60s"))
    await load_ages(world)
    batch, found = await world.look_up({"thing.id": ["future"]})
    assert not batch.rows.failures
    assert found.views[0].age_us.tolist() == [0]


async def test_without_a_bound_nothing_is_stale(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_stale="fail"))
    await load_ages(world)
    world.now_us += 10**16
    batch, found = await world.look_up({"thing.id": ["old"]})
    assert not batch.rows.failures
    assert found.views[0].states.tolist() == [FRESH]


async def test_rows_without_a_timestamp_are_as_old_as_their_load(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float32"}, max_age="1h"))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with world.redis() as client:
        pointer = client.get(world.names.pointer("thing"))
    assert isinstance(pointer, bytes)
    _, found = await world.look_up({"thing.id": ["x"]})
    assert found.views[0].age_us.tolist() == [0]  # loaded after NOW_US, which is long ago


# -- corrupt --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mangle", "problem"),
    [
        (lambda row: b"\x02" + row[1:], "format version 2"),
        (lambda row: row[:4] + bytes([row[4] ^ 255]) + row[5:], "schema"),
        (lambda row: row[:-1], "bytes, expected"),
        (lambda row: row + b"\0", "bytes, expected"),
        (lambda row: b"", "too few"),
    ],
    ids=["version", "schema", "short", "long", "empty"],
)
@pytest.mark.parametrize("policy", ["default", "flag", "fail"])
async def test_a_corrupt_row_is_data_loss_for_that_row_only(
    make_world: MakeWorld, mangle: Callable[[bytes], bytes], problem: str, policy: str
) -> None:
    policies = {"on_missing": policy, "on_stale": policy, "max_age": "1s"}
    world = make_world(view("thing", {"a": "float32"}, **policies))
    world.now_us = 0
    await world.load("thing", {"id": ["x", "y", "z"], "a": [1.0, 2.0, 3.0]})
    with world.redis() as client:
        key = world.names.generation("thing", 1) + "y"
        row = client.get(key)
        assert isinstance(row, bytes)
        client.set(key, mangle(row))
    before = counted("thing", "corrupt")
    batch, found = await world.look_up({"thing.id": ["x", "y", "z"]})
    assert list(batch.rows.failures) == [1]
    failure = batch.rows.failures[1]
    assert (failure.code, failure.reason) == (Code.DATA_LOSS, Reason.FEATURES_CORRUPT)
    assert problem in failure.message
    assert found.columns["thing.a"][[0, 2]].tolist() == [1.0, 3.0]
    assert found.views[0].states.tolist() == [FRESH, 0, FRESH]
    assert counted("thing", "corrupt") == before + 1


async def test_a_view_stored_under_another_schema_is_data_loss(make_world: MakeWorld) -> None:
    await make_world(view("thing", {"a": "float32"})).load("thing", {"id": ["x"], "a": [1.0]})
    world = make_world(view("thing", {"a": "float64"}))
    batch, _ = await world.look_up({"thing.id": ["x", "nobody"]})
    assert [failure.code for failure in batch.rows.failures.values()] == [Code.DATA_LOSS] * 2
    assert "load it anew" in batch.rows.failures[0].message
    await world.load("thing", {"id": ["x"], "a": [2.0]})
    batch, found = await world.look_up({"thing.id": ["x"]})
    assert not batch.rows.failures
    assert found.columns["thing.a"].tolist() == [2.0]


async def test_an_unreadable_pointer_is_data_loss_until_the_next_load(
    make_world: MakeWorld,
) -> None:
    world = make_world(view("thing", {"a": "float32"}))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with world.redis() as client:
        client.set(world.names.pointer("thing"), b"{")
        with pytest.raises(FeaturesCorrupt, match="'thing'"):
            await world.look_up({"thing.id": ["x"]})
        await world.load("thing", {"id": ["x"], "a": [2.0]})
        assert len(client.keys(world.names.rows("thing") + "*")) == 1
    _, found = await world.look_up({"thing.id": ["x"]})
    assert found.columns["thing.a"].tolist() == [2.0]


# -- what is asked of Redis -----------------------------------------------------------------


async def test_all_views_and_rows_are_one_command(make_world: MakeWorld) -> None:
    names = ["one", "two", "three", "four"]
    world = make_world(*[view(name, {"a": "float32"}) for name in names])
    rows = 256
    ids = [f"k{row}" for row in range(rows)]
    for place, name in enumerate(names):
        await world.load(name, {"id": ids, "a": np.arange(rows) + 1000.0 * place})
    asked = {f"{name}.id": ids for name in names}
    await world.look_up(asked)  # learns the pointers
    with world.redis() as client:
        client.config_resetstat()
        _, found = await world.look_up(asked)
        stats = client.info("commandstats")
    assert isinstance(stats, dict)
    calls = {name: entry["calls"] for name, entry in stats.items()}
    calls.pop("cmdstat_config|resetstat", None)
    calls.pop("cmdstat_config", None)
    calls.pop("cmdstat_info", None)
    assert calls == {"cmdstat_mget": 1}
    for place, name in enumerate(names):
        assert found.columns[f"{name}.a"].tolist() == [row + 1000.0 * place for row in range(rows)]


async def test_equal_keys_are_asked_for_once(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float32"}))
    await world.load("thing", {"id": ["x", "y"], "a": [1.0, 2.0]})
    await world.look_up({"thing.id": ["x"]})
    with world.redis() as client:
        before = client.info("stats")
        _, found = await world.look_up({"thing.id": ["x", "y", None, "x", "z", "z", "x"]})
        after = client.info("stats")
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["keyspace_hits"] - before["keyspace_hits"] == 3  # x, y and the pointer
    assert after["keyspace_misses"] - before["keyspace_misses"] == 1  # z
    assert found.columns["thing.a"].tolist() == [1.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0]


async def test_rows_that_failed_before_are_left_alone(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float32"}, on_missing="fail"))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    batch = world.batch({"thing.id": ["nobody", "x"]})
    earlier = InvalidBatch("earlier")
    batch.rows.fail(0, earlier)
    before = counted("thing", "missing")
    found = await world.handler.handle(batch, world.plan)
    assert batch.rows.failures == {0: earlier}
    assert found.columns["thing.a"][1] == 1.0
    assert found.views[0].states.tolist() == [0, FRESH]
    assert counted("thing", "missing") == before


async def test_too_many_keys_are_refused_before_redis_is_asked(make_world: MakeWorld) -> None:
    world = make_world(view("one", {"a": "float32"}), view("two", {"a": "float32"}), max_keys=5)
    with pytest.raises(LimitExceeded, match="more than 5 keys"):
        await world.look_up({"one.id": ["x"] * 3, "two.id": ["x"] * 3})


async def test_a_pipeline_without_views_has_no_features(make_world: MakeWorld) -> None:
    world = make_world()
    batch = world.batch({"x": [1.0]})
    found = await world.handler.handle(batch, world.plan)
    assert (found.columns.blocks, found.views) == ([], [])


async def test_a_batch_without_its_key_columns_is_refused(make_world: MakeWorld) -> None:
    world = make_world(view("one", {"a": "float32"}), view("two", {"a": "float32"}))
    with pytest.raises(InvalidBatch, match=r"'two\.id' of type string"):
        await world.look_up({"one.id": ["x"]})


def test_states_have_the_numbers_of_the_protocol() -> None:
    numbers = {f"FEATURE_STATE_{state.name}": state.value for state in FeatureState}
    assert dict(feature_service_pb2.FeatureState.items()) == numbers
