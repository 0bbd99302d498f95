"""Lists of keys: many entities for one row, in one round trip, against a real Redis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from tailrace.features.defaults import default_blocks
from tailrace.features.handler import FeatureHandler
from tailrace.features.servicer import view_message
from tailrace.features.state import FeatureState
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import Code, InvalidBatch, LimitExceeded, Reason
from tests.support.feature_world import NOW_US, FeatureWorld, MakeWorld, view
from tests.support.planned_lookups import PlannedLookups, planned

FRESH, STALE, MISSING = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
SECOND_US = 1_000_000
FEATURES = [
    {"name": "a", "type": "float64", "default": -1},
    {"name": "b", "type": "string"},
    {"name": "v", "type": "int64", "length": 2, "default": 9},
    {"name": "c", "type": "float64"},
]


def items(**parts: Any) -> dict[str, Any]:
    return view("item", {}, **parts) | {"features": FEATURES}


async def load_items(world: FeatureWorld) -> None:
    """Loads `x`, `y` and `z`, which are 1, 2 and 3 s old."""
    table = {
        "id": ["x", "y", "z"],
        "a": [1.0, 2.0, 3.0],
        "b": ["X", "Y", "Z"],
        "v": [[1, 2], [3, 4], [5, 6]],
        "c": [10.0, None, 30.0],
        "at": [NOW_US - age * SECOND_US for age in (1, 2, 3)],
    }
    await world.load("item", table, timestamp_column="at")


async def lists_of(make_world: MakeWorld, elements: int = 3, **parts: Any) -> PlannedLookups:
    world = make_world(items(**parts))
    await load_items(world)
    return PlannedLookups(world, planned(world, "item", lists=["id"], elements=elements))


def counted(state: str) -> float:
    labels = {"pipeline": "p", "view": "item", "state": state}
    return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0


async def test_every_element_has_its_features(make_world: MakeWorld) -> None:
    lookups = await lists_of(make_world, on_missing="flag", on_stale="flag")
    lists = [["z", "x", "y"], ["y"], [], ["x", "nobody"]]
    missing, fresh = counted("missing"), counted("fresh")
    batch, found = await lookups.look_up(lookups.lists("item.id", lists))
    assert not batch.rows.failures
    columns = found.columns
    assert columns["item.a"].tolist() == [[3, 1, 2], [2, -1, -1], [-1, -1, -1], [1, -1, -1]]
    assert columns["item.b"].tolist() == [["Z", "X", "Y"], ["Y", "", ""], [""] * 3, ["X", "", ""]]
    none = [9, 9]
    assert columns["item.v"].tolist() == [
        [[5, 6], [1, 2], [3, 4]],
        [[3, 4], none, none],
        [none] * 3,
        [[1, 2], none, none],
    ]
    assert columns["item.missing"].tolist() == [
        [False] * 3, [False, True, True], [True] * 3, [False, True, True],
    ]  # fmt: skip
    assert not columns["item.stale"].any()
    outcome = found.views[0]
    assert outcome.element_states is not None
    assert outcome.element_states.tolist() == [
        [FRESH] * 3, [FRESH, 0, 0], [0, 0, 0], [FRESH, MISSING, 0],
    ]  # fmt: skip
    assert outcome.states.tolist() == [FRESH, FRESH, FRESH, MISSING]
    ages = [3 * SECOND_US, 2 * SECOND_US, -1, 1 * SECOND_US]
    assert outcome.age_us.tolist() == ages
    assert counted("missing") == missing + 1
    assert counted("fresh") == fresh + 5


async def test_each_feature_of_a_list_is_a_block_of_its_own(make_world: MakeWorld) -> None:
    lookups = await lists_of(make_world, on_missing="flag")
    _, found = await lookups.look_up(lookups.lists("item.id", [["x"], ["y"]]))
    blocks = {block.names: (block.dtype, block.values.shape) for block in found.columns.blocks}
    assert blocks == {
        ("item.a",): (DType.FLOAT64, (1, 2, 3)),
        ("item.c",): (DType.FLOAT64, (1, 2, 3)),
        ("item.b",): (DType.STRING, (1, 2, 3)),
        ("item.v",): (DType.INT64, (1, 2, 3, 2)),
        ("item.missing",): (DType.BOOL, (1, 2, 3)),
    }
    for column in lookups.plans[0].columns():
        assert found.columns[column.name].shape == (2, *column.row_shape)


async def test_presence_counts_the_elements_that_a_list_has(make_world: MakeWorld) -> None:
    lookups = await lists_of(make_world)
    lists = [["x", "z"], ["x", "y"], ["x", "nobody"], []]
    _, found = await lookups.look_up(lookups.lists("item.id", lists))
    presence = found.views[0].presence
    assert presence is not None
    whole = [True, True, False, True]
    assert presence.tolist() == [whole, whole, whole, [True, False, False, True]]
    _, found = await lookups.look_up(lookups.lists("item.id", [["x", "z"], ["z"]]))
    assert found.views[0].presence is None


async def test_a_null_list_is_missing_and_has_no_elements(make_world: MakeWorld) -> None:
    lookups = await lists_of(make_world)
    columns = lookups.lists("item.id", [["x"], []])
    batch, found = await lookups.look_up(columns, {"item.id": [True, False]})
    assert not batch.rows.failures
    outcome = found.views[0]
    assert outcome.states.tolist() == [FRESH, MISSING]
    assert outcome.age_us.tolist() == [SECOND_US, -1]
    assert outcome.element_states is not None
    assert outcome.element_states.tolist() == [[FRESH, 0, 0], [0, 0, 0]]
    assert found.columns["item.a"].tolist() == [[1, -1, -1], [-1, -1, -1]]


async def test_an_element_without_an_entity_fails_its_row_where_the_view_says_so(
    make_world: MakeWorld,
) -> None:
    lookups = await lists_of(make_world, on_missing="fail")
    columns = lookups.lists("item.id", [["x", "nobody"], ["x"], []])
    validity = {"item.id": [True, True, False]}
    batch, found = await lookups.look_up(columns, validity)
    assert sorted(batch.rows.failures) == [0, 2]
    failure = batch.rows.failures[0]
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, Reason.ENTITY_NOT_FOUND)
    assert failure.field == "fields.item_id[1]"
    assert "element 1 of the list" in failure.message
    assert "list of keys is null" in batch.rows.failures[2].message
    assert found.views[0].states.tolist() == [0, FRESH, 0]
    assert found.views[0].age_us.tolist() == [-1, SECOND_US, -1]
    assert found.views[0].element_states is not None
    assert found.views[0].element_states[[0, 2]].tolist() == [[0] * 3] * 2
    assert found.columns["item.a"][1].tolist() == [1, -1, -1]


async def test_a_stale_element_makes_its_row_stale(make_world: MakeWorld) -> None:
    parts: dict[str, Any] = {"max_age": "1500ms", "ttl": "2500ms", "on_missing": "flag"}
    lookups = await lists_of(make_world, on_stale="flag", **parts)
    lists = [["x", "y"], ["z", "y", "x"], ["x"]]
    _, found = await lookups.look_up(lookups.lists("item.id", lists))
    outcome = found.views[0]
    assert outcome.states.tolist() == [STALE, MISSING, FRESH]
    assert outcome.age_us.tolist() == [2 * SECOND_US, 2 * SECOND_US, SECOND_US]
    assert found.columns["item.stale"].tolist() == [
        [False, True, False], [False, True, False], [False] * 3,
    ]  # fmt: skip
    assert found.columns["item.missing"].tolist() == [
        [False, False, True], [True, False, False], [False, True, True],
    ]  # fmt: skip


async def test_a_corrupt_element_fails_its_row_only(make_world: MakeWorld) -> None:
    world = make_world(items())
    await load_items(world)
    lookups = PlannedLookups(world, planned(world, "item", lists=["id"], elements=2))
    with world.redis() as client:
        client.set(world.names.generation("item", 1) + "y", b"\x07")
    batch, found = await lookups.look_up(lookups.lists("item.id", [["x", "y"], ["x", "z"]]))
    assert list(batch.rows.failures) == [0]
    assert batch.rows.failures[0].code is Code.DATA_LOSS
    assert batch.rows.failures[0].field == "features.item[1]"
    assert found.columns["item.a"][1].tolist() == [1, 3]


async def test_lists_beside_single_values_are_one_command(make_world: MakeWorld) -> None:
    world = make_world(items(), view("user", {"u": "float64"}))
    await load_items(world)
    await world.load("user", {"id": ["me", "you"], "u": [1.0, 2.0]})
    plans = [
        planned(world, "user"),
        planned(world, "item", name="candidate", lists=["id"], elements=100),
        planned(world, "item", name="last"),
    ]
    lookups = PlannedLookups(world, *plans)
    ids = ["x", "y", "z"] * 33
    columns = {"user.id": ["me", "you"], "last.id": ["y", "z"]}
    columns |= lookups.lists("candidate.id", [ids, ids[:50]])
    await lookups.look_up(columns)  # learns the pointers
    with world.redis() as client:
        client.config_resetstat()
        batch, found = await lookups.look_up(columns)
        stats = client.info("commandstats")
    assert isinstance(stats, dict)
    assert stats["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in stats
    assert not batch.rows.failures
    assert found.columns["user.u"].tolist() == [1.0, 2.0]
    assert found.columns["last.a"].tolist() == [2.0, 3.0]
    expected = np.full((2, 100), -1.0)
    expected[0, :99] = [1, 2, 3] * 33
    expected[1, :50] = ([1, 2, 3] * 17)[:50]
    assert found.columns["candidate.a"].tolist() == expected.tolist()
    assert [outcome.view for outcome in found.views] == ["user", "candidate", "last"]


async def test_single_values_beside_a_list_are_those_of_every_element(
    make_world: MakeWorld,
) -> None:
    keys = [{"name": "shop"}, {"name": "n", "type": "int64"}]
    world = make_world(view("stock", {"a": "float64"}, keys=keys))
    table = {"shop": ["A", "A", "B"], "n": [1, 2, 1], "a": [1.0, 2.0, 3.0]}
    await world.load("stock", table)
    lookups = PlannedLookups(world, planned(world, "stock", lists=["n"], elements=2))
    columns = {"stock.shop": ["A", "B", "A"]} | lookups.lists("stock.n", [[2, 1], [1, 2], [1]])
    _, found = await lookups.look_up(columns, {"stock.shop": [True, True, False]})
    assert found.columns["stock.a"].tolist() == [[2, 1], [3, 0], [0, 0]]
    assert found.views[0].element_states is not None
    assert found.views[0].element_states.tolist() == [
        [FRESH, FRESH], [FRESH, MISSING], [MISSING, 0],
    ]  # fmt: skip


async def test_lists_of_one_view_are_taken_together(make_world: MakeWorld) -> None:
    keys = [{"name": "shop"}, {"name": "n", "type": "int64"}]
    world = make_world(view("stock", {"a": "float64"}, keys=keys))
    await world.load("stock", {"shop": ["A", "B"], "n": [1, 2], "a": [1.0, 2.0]})
    lookups = PlannedLookups(world, planned(world, "stock", lists=["shop", "n"], elements=2))
    columns = lookups.lists("stock.shop", [["A", "B"], ["A", "B"], ["A"]])
    columns |= lookups.lists("stock.n", [[1, 2], [1], [1]])
    batch, found = await lookups.look_up(columns)
    assert list(batch.rows.failures) == [1]
    failure = batch.rows.failures[1]
    assert (failure.code, failure.field) == (Code.INVALID_ARGUMENT, "fields.stock_n")
    assert "a list of 1 elements, where 'fields.stock_shop'" in failure.message
    assert found.columns["stock.a"][[0, 2]].tolist() == [[1, 2], [1, 0]]
    assert found.views[0].states.tolist() == [FRESH, 0, FRESH]


@pytest.mark.parametrize("length", [-1, 4, 2**62])
async def test_a_length_that_cannot_be_fails_its_row(make_world: MakeWorld, length: int) -> None:
    lookups = await lists_of(make_world)
    columns = lookups.lists("item.id", [["x"], ["y"]])
    columns["item.id.length"][0] = length
    batch, found = await lookups.look_up(columns)
    assert list(batch.rows.failures) == [0]
    assert batch.rows.failures[0].code is Code.INVALID_ARGUMENT
    assert batch.rows.failures[0].field == "fields.item_id"
    assert found.columns["item.a"][1].tolist() == [2, -1, -1]


@pytest.mark.parametrize("broken", ["no length", "no list", "another width", "single values"])
async def test_a_batch_whose_lists_are_not_as_planned_is_refused(
    make_world: MakeWorld, broken: str
) -> None:
    lookups = await lists_of(make_world)
    columns = lookups.lists("item.id", [["x"], ["y"]])
    if broken == "no length":
        del columns["item.id.length"]
    elif broken == "no list":
        del columns["item.id"]
    else:
        columns["item.id"] = ["x", "y"] if broken == "single values" else [["x"] * 4] * 2
    with pytest.raises(InvalidBatch, match="no key column 'item.id"):
        await lookups.look_up(columns)


async def test_each_element_counts_as_a_key(make_world: MakeWorld) -> None:
    world = make_world(items())
    await load_items(world)
    lookups = PlannedLookups(world, planned(world, "item", lists=["id"], elements=3))
    handler = FeatureHandler(world.store, max_keys=4)
    fits = lookups.batch(lookups.lists("item.id", [["x", "y", "z"], ["x"]]))
    await handler.handle(fits, lookups.plan)
    too_many = lookups.batch(lookups.lists("item.id", [["x", "y", "z"], ["x", "y"]]))
    with pytest.raises(LimitExceeded, match="5 keys, more than 4 keys"):
        await handler.handle(too_many, lookups.plan)


async def test_a_list_of_a_view_that_was_never_loaded_is_missing(make_world: MakeWorld) -> None:
    world = make_world(items(on_missing="flag"))
    plan = planned(world, "item", lists=["id"], elements=2)
    lookups = PlannedLookups(world, plan)
    batch, found = await lookups.look_up(lookups.lists("item.id", [["x", "y"], []]))
    assert not batch.rows.failures
    assert found.views[0].states.tolist() == [MISSING, FRESH]
    expected = default_blocks(plan, 2)
    assert [block.names for block in expected] == [block.names for block in found.columns.blocks]
    for one, other in zip(found.columns.blocks, expected, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


async def test_instants_are_those_of_the_row_for_every_element(make_world: MakeWorld) -> None:
    world = make_world(items(max_age="2s"))
    await load_items(world)
    plan = planned(world, "item", lists=["id"], elements=2, has_instant=True)
    lookups = PlannedLookups(world, plan)
    columns = lookups.lists("item.id", [["x", "z"], ["x", "z"]])
    columns["item.@at"] = [NOW_US, NOW_US - SECOND_US]
    _, found = await lookups.look_up(columns)
    assert found.views[0].age_us.tolist() == [3 * SECOND_US, 2 * SECOND_US]
    assert found.views[0].states.tolist() == [STALE, FRESH]


async def test_a_message_holds_rows_and_elements_byte_by_byte(make_world: MakeWorld) -> None:
    lookups = await lists_of(make_world)
    _, found = await lookups.look_up(lookups.lists("item.id", [["x", "nobody"], ["z"]]))
    message = view_message(found.views[0])
    assert list(message.states) == [MISSING, FRESH]
    assert list(message.element_states) == [FRESH, MISSING, 0, FRESH, 0, 0]
    assert list(message.presence) == [0, 1] * 4
    assert np.frombuffer(message.age_us, "<i8").tolist() == [SECOND_US, 3 * SECOND_US]


@pytest.mark.parametrize("seed", range(5))
async def test_a_list_finds_what_single_keys_find(make_world: MakeWorld, seed: int) -> None:
    parts = {"on_missing": "flag", "on_stale": "flag", "max_age": "1s", "ttl": "2s"}
    world = make_world(items(**parts))
    await load_items(world)
    lists = PlannedLookups(world, planned(world, "item", lists=["id"], elements=4))
    random = np.random.default_rng(seed)
    names = np.array(["x", "y", "z", "nobody"])
    rows = [names[random.integers(0, 4, random.integers(0, 5))].tolist() for _ in range(6)]
    rows.append(["x", "y", "z", "x"])
    _, found = await lists.look_up(lists.lists("item.id", rows))
    _, single = await world.look_up({"item.id": [name for row in rows for name in row]})
    has_element = np.arange(4) < np.array([len(row) for row in rows])[:, np.newaxis]
    for column in lists.plans[0].columns():
        elements = found.columns[column.name][has_element]
        np.testing.assert_array_equal(elements, single.columns[column.name])
    outcome = found.views[0]
    assert outcome.element_states is not None
    assert outcome.element_states[has_element].tolist() == single.views[0].states.tolist()
    assert not outcome.element_states[~has_element].any()
