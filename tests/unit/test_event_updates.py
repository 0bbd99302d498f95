"""Events as they are read, as updates of views, and as entries of streams."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.events.event_reader import EventReader
from tailrace.features.events.problem import EventRefused
from tailrace.features.events.stream_entry import (
    StreamNames,
    entry_of,
    event_of,
    partition_of,
    type_name,
)
from tailrace.features.events.view_updates import ViewUpdates, distinct_bytes
from tailrace.features.windows.updates import Update, event_digest
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tests.support.event_world import CITY_RIDES, RIDE, START, ride

TYPE = EventType.model_validate(RIDE)
NOW_US = int((START + timedelta(hours=1)).timestamp()) * 1_000_000


def view_of(keys: list[dict[str, Any]], *aggregates: dict[str, Any]) -> ViewUpdates:
    features = [
        {"name": f"f{number}", "type": "float64", "aggregate": {"window": "1h", **aggregate}}
        for number, aggregate in enumerate(aggregates)
    ]
    content = {**CITY_RIDES, "keys": keys, "features": features}
    return ViewUpdates(FeatureView.model_validate(content), TYPE)


def updates(view: ViewUpdates, *events: Any) -> list[Update]:
    read = EventReader(TYPE).read([event.to_message() for event in events], NOW_US)
    assert not read.problems
    return view.updates(read)


def test_update_has_the_key_the_id_the_time_and_the_inputs() -> None:
    view = ViewUpdates(FeatureView.model_validate(CITY_RIDES), TYPE)
    first, second = updates(view, ride(1, shared=True), ride(2, fare=None, shared=True))
    at_us = int((START + timedelta(seconds=1)).timestamp()) * 1_000_000
    assert first == Update("c1", event_digest("ride-1"), at_us, (1.0, 0.25, 0.25), (b"1",))
    assert (second.key, second.values[0]) == ("c2", 1.0)
    assert all(map(math.isnan, second.values[1:]))


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        ({"field": "driver", "equals": 2}, [False, True, False, False]),
        ({"field": "driver", "not_equals": 2}, [True, False, True, True]),
        ({"field": "driver", "one_of": [1, 3]}, [True, False, True, False]),
        ({"field": "fare", "at_least": 0.5}, [False, True, True, False]),
        ({"field": "fare", "at_most": 0.5}, [True, True, False, False]),
        ({"field": "fare", "above": 0.5}, [False, False, True, False]),
        ({"field": "fare", "below": 0.5}, [True, False, False, False]),
        ({"field": "shared", "equals": False}, [False, False, False, True]),
        ({"field": "city", "one_of": ["c1", "c2"]}, [True, True, False, False]),
    ],
)
def test_condition_decides_which_events_count(condition: dict[str, Any], held: list[bool]) -> None:
    view = view_of([{"name": "city"}], {"function": "count", "where": [condition]})
    events = [ride(1), ride(2), ride(3), ride(4, fare=None, shared=False)]
    found = [not math.isnan(update.values[0]) for update in updates(view, *events)]
    assert found == held


def test_all_conditions_have_to_hold_for_distinct_values_too() -> None:
    where = [{"field": "driver", "above": 1}, {"field": "driver", "below": 3}]
    view = view_of([{"name": "city"}], {"function": "distinct", "of": "driver", "where": where})
    found = [update.distinct for update in updates(view, ride(1), ride(2), ride(3))]
    assert found == [(None,), (b"2",), (None,)]


def test_fields_of_every_type_have_a_number() -> None:
    view = view_of(
        [{"name": "city"}],
        {"function": "count", "of": "city"},
        {"function": "sum", "of": "shared"},
        {"function": "max", "of": "ordered_at"},
        {"function": "sum", "of": "driver"},
    )
    (update,) = updates(view, ride(5, shared=True, ordered_at=START))
    assert list(update.values) == [1.0, 1.0, START.timestamp() * 1e6, 5.0]


def test_keys_of_several_parts_are_escaped_and_typed() -> None:
    keys = [{"name": "city"}, {"name": "driver", "type": "int64"}]
    view = view_of(keys, {"function": "count"})
    (update,) = updates(view, ride(5, city="a|b"))
    assert update.key == "a\\|b|5"


def test_distinct_values_have_one_form() -> None:
    assert [distinct_bytes(each) for each in ("é", 7, True, False, None)] == [
        "é".encode(), b"7", b"1", b"0", None,
    ]  # fmt: skip


def test_event_is_known_now_unless_it_says_when() -> None:
    message = ride(1).to_message()
    message.ClearField("known_at")
    read = EventReader(TYPE).read([message], NOW_US)
    assert read.known_at_us == [NOW_US]


@pytest.mark.parametrize(("ahead_s", "is_refused"), [(60, False), (60.001, True)])
def test_future_is_bounded_by_the_clock(ahead_s: float, is_refused: bool) -> None:
    event = ride(1, after_s=3600 + ahead_s)
    read = EventReader(TYPE).read([event.to_message()], NOW_US)
    assert [problem.field for problem in read.problems] == ["known_at"] * is_refused


@given(st.text(), st.integers(1, 256))
def test_partition_is_one_of_them(key: str, partitions: int) -> None:
    if key.isprintable():
        assert 0 <= partition_of(key, partitions) < partitions


def test_partition_is_that_of_other_programs() -> None:
    # The check value that every description of CRC-32 gives.
    assert partition_of("123456789", 256) == 0xCBF43926 % 256


def test_entry_gives_the_event_back() -> None:
    event = ride(3, ordered_at=START, shared=False).to_message()
    entry = {name.encode(): content for name, content in entry_of("ride", event).items()}
    assert type_name(entry) == "ride"
    assert event_of("1-0", entry, TYPE) == event


def test_entry_in_json_gives_the_same_event() -> None:
    fields = b'{"city": "c3", "driver": 3, "fare": 0.75, "ordered_at": "2024-01-01T01:00:00+01:00"}'
    entry = {b"event": b"ride", b"id": b"ride-3", b"event_time": b"2024-01-01T00:00:03Z"}
    known_ms = int(START.timestamp()) * 1000 + 3000
    found = event_of(f"{known_ms}-5", entry | {b"fields": fields}, TYPE)
    assert found == ride(3, ordered_at=START).to_message()


@pytest.mark.parametrize(
    "fields",
    [b"[", b"[" * 100_000, b'{"city": "\\ud800"}', b'{"\\ud800": 1}', b"\xff", b'{"city": {}}'],
)
def test_entry_that_is_no_event_is_refused(fields: bytes) -> None:
    entry = {b"event": b"ride", b"id": b"1", b"event_time": b"2024-01-01T00:00:03Z"}
    with pytest.raises(EventRefused):
        event_of("1-0", entry | {b"fields": fields}, TYPE)


def test_huge_entry_id_is_a_future_instant_and_not_an_error() -> None:
    event = event_of(f"{2**63}-0", {b"data": ride(1).to_message().SerializeToString()}, TYPE)
    assert event.known_at.seconds == int(ride(1).event_time.timestamp())
    bare = ride(1).to_message()
    bare.ClearField("known_at")
    found = event_of(f"{2**63}-0", {b"data": bare.SerializeToString()}, TYPE)
    (problem,) = EventReader(TYPE).read([found], NOW_US).problems
    assert problem.field == "known_at"


def test_names_of_one_partition_begin_alike() -> None:
    names = StreamNames("p")
    assert (names.stream(3), names.lease(3), names.dead) == (
        "p:events:3", "p:events:3:lease", "p:events:dead",
    )  # fmt: skip
