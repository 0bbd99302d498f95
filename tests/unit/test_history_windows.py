"""Windowed features at given instants, by hand."""

from __future__ import annotations

import math
import statistics

import pytest

from tailrace.features.history import window_values
from tailrace.features.history.accepted import judge_in_turn
from tailrace.features.windows.updates import event_digest, tie_break
from tests.support.history_tables import asked, computed, rides, values, windowed

COUNT = {"function": "count", "window": "10m", "type": "int64"}


def test_an_event_counts_from_when_it_is_known() -> None:
    made = computed(windowed(COUNT), rides({"t": 1, "known": 3}), asked(2, 3, 4))
    assert values(made) == [0, 1, 1]
    assert values(made, "missing") == [True, False, False]


def test_a_window_begins_with_the_tile_that_holds_its_beginning() -> None:
    # At 12:14 the window of 10 min begins with the tile of 12:00, at 12:15 with that of 12:05.
    events = rides({"t": 0}, {"t": 4.9}, {"t": 5})
    assert values(computed(windowed(COUNT), events, asked(14, 15, 20))) == [3, 1, 0]


def test_an_event_later_than_the_instant_counts_in_its_tile_only() -> None:
    view = windowed(COUNT, source={"lateness": "1h"})
    events = rides({"t": 1.5, "known": 1}, {"t": 5.5, "known": 4.9})
    assert values(computed(view, events, asked(1, 4.95))) == [1, 1]


def test_what_each_function_makes_of_events() -> None:
    fares = [3.0, 1.0, 4.0, 1.5]
    events = rides(*[{"t": t, "fare": fare, "riders": 2} for t, fare in enumerate(fares)])
    names = ("sum", "mean", "min", "max", "stddev", "first", "last")
    aggregates = [{"function": name, "of": "fare", "window": "10m"} for name in names]
    distinct = {"function": "distinct", "of": "riders", "window": "10m", "type": "int64"}
    made = computed(windowed(*aggregates, distinct), events, asked(3))
    found = [values(made, f"f{place}")[0] for place in range(8)]
    assert found == pytest.approx(
        [9.5, 2.375, 1.0, 4.0, statistics.stdev(fares), 3.0, 1.5, 1], rel=1e-12
    )


def test_a_standard_deviation_spans_tiles() -> None:
    fares = [1e6 + each for each in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)]
    events = rides(*[{"t": 3 * t, "fare": fare} for t, fare in enumerate(fares)])
    view = windowed({"function": "stddev", "of": "fare", "window": "20m"})
    found = values(computed(view, events, asked(3, 15)))
    assert found[0] == pytest.approx(statistics.stdev(fares[:2]), rel=1e-9)
    assert found[1] == pytest.approx(statistics.stdev(fares), rel=1e-9)


def test_of_nothing_counts_are_zero_and_defaults_stand_in_for_the_rest() -> None:
    view = windowed(
        {"function": "sum", "of": "fare", "window": "10m", "default": -1.0},
        {"function": "mean", "of": "fare", "window": "10m", "default": -2.0},
        {"function": "stddev", "of": "fare", "window": "10m", "default": -3.0},
        {"function": "count", "window": "30m", "type": "int64"},
    )
    events = rides({"t": 0}, {"t": 1, "fare": 5.0})
    made = computed(view, events, asked(0, 1, 20, 60))
    assert values(made, "f0") == [0.0, 5.0, 0.0, -1.0]
    assert values(made, "f1") == [-2.0, 5.0, -2.0, -2.0]
    assert values(made, "f2") == [-3.0, -3.0, -3.0, -3.0]
    assert values(made, "f3") == [1, 2, 2, 0]
    assert values(made, "missing") == [False, False, False, True]


def test_conditions_leave_events_out_that_do_not_meet_them() -> None:
    view = windowed(
        {**COUNT, "where": [{"field": "fare", "at_least": 2}]},
        {**COUNT, "where": [{"field": "fare", "not_equals": 2.0}]},
        {**COUNT, "where": [{"field": "riders", "one_of": [1, 2]}, {"field": "fare", "above": 0}]},
    )
    events = rides({"t": 0, "fare": 2.0, "riders": 2}, {"t": 0, "riders": 1}, {"t": 0, "fare": 1.0})
    made = computed(view, events, asked(0))
    assert [values(made, f"f{place}")[0] for place in range(3)] == [1, 1, 1]


def test_of_events_at_one_instant_the_digest_of_the_id_decides() -> None:
    names = ("x", "y", "z")
    events = rides(*[{"id": name, "t": 0, "fare": float(n)} for n, name in enumerate(names)])
    by_digest = sorted(range(3), key=lambda n: tie_break(event_digest(names[n])))
    view = windowed(*[{"function": f, "of": "fare", "window": "5m"} for f in ("first", "last")])
    made = computed(view, events, asked(0))
    assert [values(made, "f0")[0], values(made, "f1")[0]] == [by_digest[0], by_digest[-1]]


def test_late_events_and_duplicates_are_left_out_and_counted() -> None:
    view = windowed({**COUNT, "window": "1h"}, source={"lateness": "10m"})
    events = rides(
        {"id": "a", "t": 0},
        {"id": "a", "t": 0, "known": 5},
        {"id": "b", "t": 20},
        {"id": "c", "t": 9, "known": 21},
        {"id": "d", "t": 10, "known": 22},
        {"id": "a", "t": 0, "known": 23},
        {"id": "a", "t": 0, "city": "b", "known": 24},
    )
    made = computed(view, events, asked(5, 20, 21, 22, 25))
    assert values(made) == [1, 2, 2, 3, 3]
    report = made.report.views["v"]
    assert (report.applied, report.duplicates, report.late) == (4, 1, 2)


def test_an_id_that_comes_with_two_times_is_judged_in_turn() -> None:
    # The second `a` is a duplicate, and so does not make `b` late, as its time alone would.
    view = windowed({**COUNT, "window": "1h"}, source={"lateness": "10m"})
    events = rides(
        {"id": "a", "t": 0},
        {"id": "a", "t": 9, "known": 30},
        {"id": "a", "t": 30, "known": 31},
        {"id": "b", "t": 1, "known": 32},
    )
    made = computed(view, events, asked(33))
    assert values(made) == [2]
    assert judge_in_turn([(0, 0, "a"), (0, 30, "a"), (0, 31, "b"), (0, 0, "c")], 10) == (
        [False, False, False, True],
        [False, True, False, False],
    )


def test_null_and_unknown_keys_are_missing() -> None:
    view = windowed(COUNT)
    assert values(computed(view, rides({"t": 0}), asked(0, city=None)), "missing") == [True]
    assert values(computed(view, rides({"t": 0}), asked(0, city="b")), "missing") == [True]


def test_instants_keep_their_order_and_their_columns() -> None:
    made = computed(windowed(COUNT), rides({"t": 0}, {"t": 6}), asked(7, 0, 20, 6))
    assert made.table.column_names == ["city", "at", "v.f0", "v.missing"]
    assert made.table["at"] == asked(7, 0, 20, 6)["at"]
    assert values(made) == [2, 1, 0, 2]


def test_what_is_computed_in_parts_is_what_is_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = windowed({"function": "stddev", "of": "fare", "window": "1h"}, {**COUNT, "window": "1h"})
    events = rides(*[{"t": t, "known": t + t % 7, "fare": math.sin(t)} for t in range(90)])
    instants = asked(*[t * 0.7 for t in range(120)])
    whole = computed(view, events, instants)
    monkeypatch.setattr(window_values, "MAX_TILES_AT_ONCE", 3)
    parts = computed(view, events, instants)
    assert values(parts, "f1") == values(whole, "f1")
    assert values(parts) == pytest.approx(values(whole), rel=1e-12)


def test_a_view_expires_by_its_newest_known_event() -> None:
    view = windowed({**COUNT, "window": "1h"}, ttl="10m", max_age="5m", on_stale="flag")
    made = computed(view, rides({"t": 0}), asked(5, 6, 10, 11))
    assert values(made, "missing") == [False, False, False, True]
    assert values(made, "stale") == [False, True, True, False]
    assert values(made) == [1, 1, 1, 0]
