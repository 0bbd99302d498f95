"""Static views at given instants, beside windowed ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.training_set import (
    EventFile,
    StaticFile,
    TrainingSet,
    ViewAt,
    training_set,
)
from tailrace.runtime.pipeline.feature_view import FeatureView
from tests.support.history_tables import RIDE, UTC_US, asked, at, rides, windowed

CITY: dict[str, Any] = {
    "view": "city",
    "entity": "city",
    "keys": [{"name": "city"}],
    "features": [
        {"name": "size", "type": "int64", "default": -1},
        {"name": "kind", "type": "category", "values": ["small", "large"]},
        {"name": "place", "type": "float32", "length": 2, "default": 9.0},
    ],
}


def _rows(*rows: tuple[float | None, str | None, Any, Any, Any]) -> pa.Table:
    times, cities, sizes, kinds, places = zip(*rows, strict=True)
    return pa.table(
        {
            "seen": pa.array([None if t is None else at(t) for t in times], UTC_US),
            "city": pa.array(cities, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "kind": pa.array(kinds, pa.string()),
            "place": pa.array(places, pa.list_(pa.float64())),
        }
    )


def _computed(rows: pa.Table, instants: pa.Table, **parts: Any) -> TrainingSet:
    view = FeatureView.model_validate(CITY | parts)
    return training_set([ViewAt(view, StaticFile(rows, "seen"))], instants)


def test_the_latest_row_that_is_not_after_the_instant_counts() -> None:
    rows = _rows(
        (10, "a", 3, "large", [5, 6]),
        (0, "a", 1, "small", [1, 2]),
        (5, "a", None, "large", None),
        (5, "a", 7, "small", [7, 8]),
        (5, "b", 4, "small", [7, 8]),
    )
    made = _computed(rows, asked(-1, 0, 4.9, 5, 9.9, 100)).table
    assert made["city.size"].to_pylist() == [-1, 1, 1, -1, -1, 3]
    assert made["city.kind"].to_pylist() == [-1, 0, 0, 1, 1, 1]
    assert made["city.place"].to_pylist() == [[9, 9], [1, 2], [1, 2], [9, 9], [9, 9], [5, 6]]
    assert made["city.missing"].to_pylist() == [True] + [False] * 5


def test_rows_expire() -> None:
    rows = _rows((0, "a", 1, "small", [1, 2]))
    made = _computed(rows, asked(5, 6, 10, 11), ttl="10m", max_age="5m", on_stale="flag").table
    assert made["city.missing"].to_pylist() == [False, False, False, True]
    assert made["city.stale"].to_pylist() == [False, True, True, False]
    assert made["city.size"].to_pylist() == [1, 1, 1, -1]


def test_bad_rows_are_refused_with_their_reason() -> None:
    rows = _rows(
        (0, "a", 1, "small", [1, 2]),
        (1, None, 1, "small", [1, 2]),
        (None, "a", 1, "small", [1, 2]),
        (2, "a", 1, "huge", [1, 2]),
        (2, "a", 1, "small", [1, 2, 3]),
        (2, "a", 1, "small", [1, None]),
    )
    made = _computed(rows, asked(5))
    assert made.table["city.size"].to_pylist() == [1]
    assert made.report.rows["city"].refused == {
        "kind is none of its values": 1,
        "no city": 1,
        "place is no list of 2 values": 2,
        "seen is not an instant": 1,
    }


def test_one_training_set_has_views_of_all_kinds_under_names_of_their_own() -> None:
    count = windowed({"function": "count", "window": "10m", "type": "int64"})
    size = FeatureView.model_validate(CITY | {"features": CITY["features"][:1]})
    instants = asked(5, 6).append_column("to", pa.array(["b", "a"]))
    events = EventFile(RIDE, rides({"t": 0}, {"t": 1, "city": "b"}, {"t": 2, "city": "b"}))
    wanted = [
        ViewAt(count, events, "from"),
        ViewAt(count, events, "to_city", {"city": "to"}),
        ViewAt(size, StaticFile(_rows((0, "b", 4, "small", [1, 2])), "seen"), keys={"city": "to"}),
    ]
    made = training_set(wanted, instants).table
    assert made["from.f0"].to_pylist() == [1, 1]
    assert made["to_city.f0"].to_pylist() == [2, 1]
    assert made["city.size"].to_pylist() == [4, -1]


def test_views_and_what_they_are_made_of_have_to_fit() -> None:
    static = FeatureView.model_validate(CITY)
    with pytest.raises(HistoryFailed, match="made of rows"):
        training_set([ViewAt(static, EventFile(RIDE, rides({"t": 0})))], asked(5))
    rows = StaticFile(_rows((0, "a", 1, "small", [1, 2])), "seen")
    with pytest.raises(HistoryFailed, match="there twice"):
        training_set([ViewAt(static, rows), ViewAt(static, rows)], asked(5))
    with pytest.raises(HistoryFailed, match="no key 'town'"):
        training_set([ViewAt(static, rows, keys={"town": "city"})], asked(5))
