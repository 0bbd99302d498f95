"""Instants, the ttl, and one view under two names, against a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from tailrace.features.defaults import default_blocks
from tailrace.features.state import FeatureState
from tailrace.runtime.errors import Code, InvalidBatch, Reason
from tests.support.feature_world import NOW_US, MakeWorld, view
from tests.support.planned_lookups import PlannedLookups, planned

FRESH, STALE, MISSING = FeatureState.FRESH, FeatureState.STALE, FeatureState.MISSING
SECOND_US = 1_000_000


def aged(*ages_s: int) -> dict[str, Any]:
    """Returns a table with an entity per age, named by it."""
    return {
        "id": [str(age) for age in ages_s],
        "a": [float(age) for age in ages_s],
        "at": [NOW_US - age * SECOND_US for age in ages_s],
    }


def expired() -> float:
    labels = {"pipeline": "p", "view": "thing", "state": "expired"}
    return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0


@pytest.mark.parametrize("policy", ["default", "flag"])
async def test_rows_older_than_the_ttl_are_missing(make_world: MakeWorld, policy: str) -> None:
    parts: dict[str, Any] = {"max_age": "10s", "ttl": "60s", "on_missing": policy}
    world = make_world(view("thing", {"a": "float64"}, on_stale="flag", **parts))
    await world.load("thing", aged(5, 11, 60, 61), timestamp_column="at")
    before = expired()
    batch, found = await world.look_up({"thing.id": ["61", "60", "11", "5", "nobody"]})
    assert not batch.rows.failures
    assert found.columns["thing.a"].tolist() == [0.0, 60.0, 11.0, 5.0, 0.0]
    assert found.views[0].states.tolist() == [MISSING, STALE, STALE, FRESH, MISSING]
    ages = [-1, 60 * SECOND_US, 11 * SECOND_US, 5 * SECOND_US, -1]
    assert found.views[0].age_us.tolist() == ages
    assert found.columns["thing.stale"].tolist() == [False, True, True, False, False]
    if policy == "flag":
        assert found.columns["thing.missing"].tolist() == [True, False, False, False, True]
    presence = found.views[0].presence
    assert presence is not None
    assert presence.tolist() == [[False, True, True, True, False]]
    assert expired() == before + 1


async def test_rows_older_than_the_ttl_fail_where_missing_ones_fail(
    make_world: MakeWorld,
) -> None:
    world = make_world(view("thing", {"a": "float64"}, ttl="60s", on_missing="fail"))
    await world.load("thing", aged(61, 1), timestamp_column="at")
    batch, found = await world.look_up({"thing.id": ["61", "1"]})
    assert list(batch.rows.failures) == [0]
    failure = batch.rows.failures[0]
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, Reason.ENTITY_NOT_FOUND)
    assert "ttl, 60 s" in failure.message
    assert failure.field == "fields.thing_id"
    assert found.views[0].states.tolist() == [0, FRESH]


async def test_a_null_in_a_row_that_does_not_count_is_not_judged(make_world: MakeWorld) -> None:
    features = {"a": "float64", "b": "float64"}
    world = make_world(view("thing", features, ttl="60s", on_missing="fail"))
    table = aged(61) | {"b": [None]}
    labels = {"pipeline": "p", "view": "thing"}
    await world.load("thing", table, timestamp_column="at")
    before = REGISTRY.get_sample_value("tailrace_feature_nulls_total", labels)
    batch, _ = await world.look_up({"thing.id": ["61"]})
    assert "ttl" in batch.rows.failures[0].message
    assert REGISTRY.get_sample_value("tailrace_feature_nulls_total", labels) == before


async def test_ages_count_to_the_instant_that_the_features_are_wanted_for(
    make_world: MakeWorld,
) -> None:
    world = make_world(view("thing", {"a": "float64"}, max_age="10s", ttl="60s"))
    await world.load("thing", aged(30), timestamp_column="at")
    lookups = PlannedLookups(world, planned(world, "thing", has_instant=True))
    offsets_s = [-40, -25, 0, 31, 0]
    columns: dict[str, Any] = {
        "thing.id": ["30"] * 5,
        "thing.@at": [NOW_US + offset * SECOND_US for offset in offsets_s],
    }
    validity = {"thing.@at": [True] * 4 + [False]}
    columns["thing.@at"][4] = 0  # null: the time of the lookup
    _, found = await lookups.look_up(columns, validity)
    outcome = found.views[0]
    assert outcome.states.tolist() == [FRESH, FRESH, STALE, MISSING, STALE]
    assert outcome.age_us.tolist() == [0, 5 * SECOND_US, 30 * SECOND_US, -1, 30 * SECOND_US]


async def test_a_batch_without_its_instants_is_refused(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    lookups = PlannedLookups(world, planned(world, "thing", has_instant=True))
    with pytest.raises(InvalidBatch, match=r"'thing\.@at' of type timestamp"):
        await lookups.look_up({"thing.id": ["x"]})


async def test_one_view_may_be_read_under_two_names(make_world: MakeWorld) -> None:
    content = view("airport", {"a": "float64", "b": "bool"}, on_missing="flag")
    world = make_world(content)
    await world.load("airport", {"id": ["JFK", "SFO"], "a": [1.0, 2.0], "b": [True, False]})
    plans = [planned(world, "airport", name=name) for name in ("origin", "dest")]
    lookups = PlannedLookups(world, *plans)
    keys = {"origin.id": ["JFK", "SFO", "-"], "dest.id": ["SFO", "SFO", "JFK"]}
    batch, found = await lookups.look_up(keys)
    assert not batch.rows.failures
    assert found.columns["origin.a"].tolist() == [1.0, 2.0, 0.0]
    assert found.columns["dest.a"].tolist() == [2.0, 2.0, 1.0]
    assert found.columns["origin.missing"].tolist() == [False, False, True]
    assert found.columns["dest.missing"].tolist() == [False, False, False]
    assert [outcome.view for outcome in found.views] == ["origin", "dest"]
    assert [block.names for block in default_blocks(plans[1], 1)] == [
        ("dest.a",),
        ("dest.b", "dest.missing"),
    ]


async def test_a_failure_names_the_view_as_the_pipeline_calls_it(make_world: MakeWorld) -> None:
    world = make_world(view("airport", {"a": "float64"}, on_missing="fail"))
    lookups = PlannedLookups(world, planned(world, "airport", name="origin"))
    batch, _ = await lookups.look_up({"origin.id": ["JFK"]})
    assert "view 'origin' has not been loaded" in batch.rows.failures[0].message
    assert batch.rows.failures[0].field == "features.origin"
