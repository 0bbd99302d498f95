"""Windows asked for at instants before what is kept of their entity, and in the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client import REGISTRY

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.redis_link import RedisLink
from tailrace.features.state import FeatureState
from tailrace.features.windows.schema import window_schema
from tailrace.features.windows.script import window_script
from tailrace.features.windows.updates import Outcome, Update, event_digest
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.errors import Code, Reason
from tests.support.feature_world import NOW_US, PREFIX, FeatureWorld, MakeWorld
from tests.support.planned_lookups import PlannedLookups, planned
from tests.support.window_model import Event, WindowModel
from tests.support.window_world import window_world, windowed_view

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
FRESH, MISSING, NOT_KEPT = FeatureState.FRESH, FeatureState.MISSING, FeatureState.NOT_KEPT
# In tiles of 10 min: 180 + 60 + 1 minutes in whole tiles, and two more.
RETAINED_TILES = 25 + 2
FEATURES = [
    {"name": "hour", "type": "int64", "aggregate": {"function": "count", "window": "1h"}},
    {
        "name": "mean_3h",
        "type": "float64",
        "default": -1.0,
        "aggregate": {"function": "mean", "of": "x", "window": "3h"},
    },
]


async def clicked(
    make_world: MakeWorld,
    folder: Path,
    times_us: Mapping[str, Sequence[int]],
    *,
    max_future: str = "1m",
    elements: int | None = None,
    **parts: Any,
) -> PlannedLookups:
    """Returns lookups of the view `clicks` at instants, of entities with an event at each time."""
    events = folder / "world-0" / "events"
    events.mkdir(parents=True)
    fields = {"id": {"type": "string"}, "x": {"type": "double"}}
    event = {"event": "ev", "fields": fields, "max_future": max_future}
    (events / "ev.yaml").write_text(yaml.safe_dump(event))
    content = {
        "view": "clicks",
        "entity": "e",
        "keys": [{"name": "id"}],
        "source": {"type": "events", "event": "ev", "tile": "10m", "lateness": "1h"},
        "features": FEATURES,
        **parts,
    }
    world: FeatureWorld = make_world(content)
    link = RedisLink(world.url, client_name="tests")
    writer = RedisWindowWriter(link, PREFIX)
    schema = window_schema(world.views["clicks"])
    for key, times in times_us.items():
        updates = [
            Update(key, event_digest(f"{number}"), time_us, (1.0, 2.0))
            for number, time_us in enumerate(times)
        ]
        assert set(await writer.apply(schema, updates)) == {Outcome.APPLIED}
    await link.close()
    lists = ["id"] if elements else []
    plan = planned(world, "clicks", lists=lists, elements=elements, has_instant=True)
    return PlannedLookups(world, plan)


def counted(state: str) -> float:
    labels = {"pipeline": "p", "view": "clicks", "state": state}
    return REGISTRY.get_sample_value("tailrace_feature_rows_total", labels) or 0.0


def nulls() -> float:
    labels = {"pipeline": "p", "view": "clicks"}
    return REGISTRY.get_sample_value("tailrace_feature_nulls_total", labels) or 0.0


def first_kept_us(window_us: int) -> int:
    """Returns the earliest instant that a window can be told for, of an event at NOW_US."""
    tile_us = 10 * MINUTE_US
    return (NOW_US // tile_us - RETAINED_TILES + 1) * tile_us + window_us


@pytest.mark.parametrize("policy", ["default", "flag"])
async def test_defaults_stand_in_for_windows_that_may_have_lost_tiles(
    make_world: MakeWorld, tmp_path: Path, policy: str
) -> None:
    times = [NOW_US - minutes * MINUTE_US for minutes in range(600, -1, -1)]
    lookups = await clicked(make_world, tmp_path, {"one": times}, on_missing=policy)
    both, one = first_kept_us(3 * HOUR_US), first_kept_us(HOUR_US)
    instants = [NOW_US, both, both - 1, one, one - 1, NOW_US - 1000 * HOUR_US]
    before = counted("not_kept"), counted("fresh"), counted("missing"), nulls()
    batch, found = await lookups.look_up({"clicks.id": ["one"] * 6, "clicks.@at": instants})
    assert not batch.rows.failures
    outcome = found.views[0]
    assert outcome.states.tolist() == [FRESH, FRESH, NOT_KEPT, NOT_KEPT, NOT_KEPT, NOT_KEPT]
    assert outcome.age_us.tolist() == [0, 0, -1, -1, -1, -1]
    assert outcome.presence is not None
    assert outcome.presence.tolist() == [
        [True, True, True, True, False, False],
        [True, True, False, False, False, False],
    ]
    hours = found.columns["clicks.hour"].tolist()
    assert min(hours[:4]) > 60
    assert hours[4:] == [0, 0]
    assert found.columns["clicks.mean_3h"].tolist() == [2.0, 2.0, -1.0, -1.0, -1.0, -1.0]
    if policy == "flag":
        assert found.columns["clicks.missing"].tolist() == [False, False, True, True, True, True]
    after = counted("not_kept"), counted("fresh"), counted("missing"), nulls()
    assert [new - old for new, old in zip(after, before, strict=True)] == [4, 2, 0, 0]


async def test_a_row_fails_with_the_earliest_instant_that_can_be_answered(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    times = [NOW_US - hours * HOUR_US // 2 for hours in range(12, -1, -1)]
    lookups = await clicked(make_world, tmp_path, {"one": times}, on_missing="fail")
    at = first_kept_us(3 * HOUR_US)
    keys = ["one", "one", "nobody"]
    batch, found = await lookups.look_up({"clicks.id": keys, "clicks.@at": [at, at - 1, at - 1]})
    assert sorted(batch.rows.failures) == [1, 2]
    failure = batch.rows.failures[1]
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, Reason.FEATURES_NOT_KEPT)
    assert failure.field == "features.clicks"
    earliest = np.datetime64(at, "us")
    assert f"the earliest that it can answer for is {earliest.item().isoformat()}Z" in (
        failure.message
    )
    assert batch.rows.failures[2].reason is Reason.ENTITY_NOT_FOUND
    assert found.views[0].states.tolist() == [FRESH, 0, 0]


async def test_the_worst_of_a_list_is_what_is_not_kept(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    times = {"new": [NOW_US], "old": [NOW_US - 10 * HOUR_US]}
    lookups = await clicked(make_world, tmp_path, times, elements=3, on_missing="flag")
    keys = lookups.lists("clicks.id", [["old", "new", "nobody"], ["old"]])
    at = NOW_US - 10 * HOUR_US
    batch, found = await lookups.look_up({**keys, "clicks.@at": [at, at]})
    assert not batch.rows.failures
    outcome = found.views[0]
    assert outcome.element_states is not None
    assert outcome.element_states.tolist() == [[FRESH, NOT_KEPT, MISSING], [FRESH, 0, 0]]
    assert outcome.states.tolist() == [NOT_KEPT, FRESH]
    assert found.columns["clicks.missing"].tolist() == [[False, True, True], [False, True, True]]
    assert found.columns["clicks.hour"].tolist() == [[1, 0, 0], [1, 0, 0]]


async def test_what_lies_in_the_future_of_the_instant_is_reckoned_with(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    lookups = await clicked(
        make_world, tmp_path, {"one": [NOW_US, NOW_US + 6 * HOUR_US]}, max_future="6h"
    )
    _, found = await lookups.look_up({"clicks.id": ["one"], "clicks.@at": [NOW_US]})
    assert found.views[0].states.tolist() == [FRESH]
    assert found.columns["clicks.hour"].tolist() == [1]


async def test_an_instant_in_the_future_is_answered_with_what_is_known(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    times = [NOW_US - minutes * MINUTE_US for minutes in range(30)]
    lookups = await clicked(make_world, tmp_path, {"one": times}, max_age="1h", ttl="1d")
    # The last of them ends the year 9998.
    instants = [NOW_US, NOW_US + 2 * HOUR_US, NOW_US + 5 * HOUR_US, 253_370_764_799_999_999]
    _, found = await lookups.look_up({"clicks.id": ["one"] * 4, "clicks.@at": instants})
    assert found.views[0].states.tolist() == [FRESH, FeatureState.STALE, MISSING, MISSING]
    assert found.columns["clicks.hour"].tolist() == [30, 0, 0, 0]
    assert found.columns["clicks.mean_3h"].tolist() == [2.0, 2.0, -1.0, -1.0]


async def test_no_partial_count_is_served_whatever_has_been_trimmed(
    fresh_redis: LocalRedis,
) -> None:
    view = windowed_view(
        {
            "n_10m": {"function": "count", "window": "10m"},
            "n_1h": {"function": "count", "window": "1h"},
            "day": {"function": "count", "window": "since_midnight", "tile": "1h"},
            "seen": {"function": "distinct", "of": "who", "window": "40m"},
        },
        lateness="5m",
    )
    async with window_world(fresh_redis.url, view) as world:
        model = WindowModel(world.schema)
        lengths = []
        for step in range(60):
            happened = [
                Event(f"{number}", "one", NOW_US + number * 2 * MINUTE_US, {"who": f"{number % 5}"})
                for number in range(step * 20, step * 20 + 20)
            ]
            await world.apply([model.update(event) for event in happened])
            model.apply(happened)
            lengths.append(await world.link.call("STRLEN", world.entity_key("one", ":0")))
            newest = happened[-1].time_us
            for back in (0, 7, 66, 75, 90, 130, 600, 3000):
                at_us = newest - back * MINUTE_US
                (row,) = await world.look_up(["one"], [at_us])
                assert row == pytest.approx(model.values("one", at_us)), back
                lost, _ = await world.not_kept("one", at_us)
                assert lost == model.not_kept("one", at_us)
        # Trimmed in leaps: so what is left differs, and the answers above do not.
        assert any(later < earlier for earlier, later in zip(lengths, lengths[1:], strict=False))
        assert model.not_kept("one", newest - 50 * MINUTE_US) == {"n_1h", "seen"}


async def test_distinct_values_are_kept_as_long_as_their_entity(fresh_redis: LocalRedis) -> None:
    # 48 tiles, and so blocks of them, too.
    view = windowed_view({"n": {"function": "distinct", "of": "who", "window": "48m"}})
    async with window_world(fresh_redis.url, view) as world:
        life_ms = window_script(world.schema).life_ms

        async def see(minute: int) -> None:
            time_us = NOW_US + minute * MINUTE_US
            event = Update("one", event_digest(f"{minute}"), time_us, (), (b"%d" % minute,))
            assert await world.apply([event]) == [Outcome.APPLIED]

        for minute in range(200):
            await see(minute)
        values = await world.keys("test:fw:*:0:0:*")
        assert len(values) > 200
        # As if all of them had been written long ago.
        for key in values:
            await world.link.call("PEXPIRE", key, 60_000)
        world.now_ms += life_ms // 8 + 1000
        await see(200)
        left = await world.link.call("PTTL", world.entity_key("one"))
        kept_from = (NOW_US + 200 * MINUTE_US) // MINUTE_US - world.schema.levels[0].retained_tiles
        ends = {key: key.rpartition(b":")[2] for key in values}
        renewed = {end: await world.link.call("PTTL", key) > left for key, end in ends.items()}
        assert {end for end, is_renewed in renewed.items() if is_renewed} == {
            end
            for end in renewed
            if (int(end[1:]) * 16 + 15 if end[:1] == b"b" else int(end)) > kept_from
        }
