"""Random event types, views, events and instants, with all that makes windows hard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

_ID, _TIMES = "id", ("event_time", "known_at")
_UTC_US = pa.timestamp("us", "UTC")
EVENT = "happening"
VIEW = "random"

_COLUMN_TYPES: dict[str, pa.DataType] = {
    "who": pa.string(),
    "number": pa.int64(),
    "day": _UTC_US,
    "x": pa.float64(),
    "i": pa.int64(),
    "b": pa.bool_(),
    "s": pa.string(),
    "t": _UTC_US,
}
_FIELDS: dict[str, Any] = {
    "who": {"type": "string", "max_length": 4},
    "number": {"type": "int64"},
    "day": {"type": "timestamp"},
    "x": {"type": "double", "required": False},
    "i": {"type": "int64", "required": False},
    "b": {"type": "bool", "required": False},
    "s": {"type": "string", "required": False},
    "t": {"type": "timestamp", "required": False},
}
_KEYS: list[list[dict[str, Any]]] = [
    [{"name": "who"}],
    [{"name": "number", "type": "int64"}],
    [{"name": "who"}, {"name": "number", "type": "int64"}],
    [{"name": "day", "type": "timestamp", "granularity": "1h"}, {"name": "who"}],
]

# Around midnights at which clocks change: spring and autumn in New York, days without 00:00 in
# Sao Paulo and Beirut, one with two in Havana, an offset of a quarter of an hour; before 1970.
_BASES = [
    ("America/New_York", datetime(2013, 3, 10, 6, 30, tzinfo=UTC)),
    ("America/New_York", datetime(2013, 11, 3, 5, 30, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2013, 10, 20, 3, 0, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2013, 3, 30, 22, 0, tzinfo=UTC)),
    ("America/Havana", datetime(2013, 11, 3, 4, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2024, 2, 28, 18, 15, tzinfo=UTC)),
    ("UTC", datetime(1969, 12, 31, 23, 45, tzinfo=UTC)),
]
_TEXTS = ["a", "b", "a|b", "\\", "é", ""]
_WHO = ["a", "a", "a", "a", "a", "a|b", "a|b", "\\", "é", "too long", None]
_CONDITIONS: list[dict[str, Any]] = [
    {"field": "x", "at_least": 0.5},
    {"field": "x", "below": 0.0},
    {"field": "i", "above": -2},
    {"field": "i", "at_most": 3},
    {"field": "i", "one_of": [1, 2, 3]},
    {"field": "b", "equals": True},
    {"field": "b", "not_equals": True},
    {"field": "s", "one_of": ["a", "é"]},
    {"field": "s", "not_equals": "b"},
]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to try.

    Attributes:
        event: content of the event-type file.
        view: content of the view file.
        events: columns id, event_time, known_at, and the fields.
        instants: the columns of the keys, and `at`.
        greatest: the greatest absolute value of any number in the events.
    """

    event: dict[str, Any]
    view: dict[str, Any]
    events: pa.Table
    instants: pa.Table
    greatest: float


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draws a view, events, and instants."""
    timezone, base = draw(st.sampled_from(_BASES))
    future = draw(st.sampled_from(["1ms", "1m", "30m"]))
    event = {"event": EVENT, "fields": _FIELDS, "max_future": future}
    view = draw(_views(timezone))
    rows = draw(_events(base))
    asked = draw(st.lists(_asked(base, rows), min_size=4, max_size=16))
    times = dict.fromkeys(_TIMES, _UTC_US)
    columns: dict[str, pa.DataType] = {_ID: pa.string(), **times, **_COLUMN_TYPES}
    asked_columns = {key["name"]: _COLUMN_TYPES[key["name"]] for key in view["keys"]}
    asked_columns["at"] = _UTC_US
    numbers = [abs(row[name]) for row in rows for name in ("x", "i") if row[name] is not None]
    return Case(
        event,
        view,
        _table(rows, columns),
        _table(asked, asked_columns),
        max((number for number in numbers if number < 1e16), default=0.0),
    )


@st.composite
def _views(draw: st.DrawFn, timezone: str) -> dict[str, Any]:
    tile = draw(st.sampled_from(["1m", "5m", "7m", "15m"]))
    minutes = int(tile[:-1])
    features = []
    for number in range(draw(st.integers(4, 12))):
        function, of, type_name = draw(st.sampled_from(_aggregates()))
        length = draw(st.sampled_from([1, 2, 3, 12, None]))
        aggregate: dict[str, Any] = {"function": function}
        if length is None:
            aggregate |= {"window": "since_midnight", "timezone": timezone}
            aggregate["tile"] = draw(st.sampled_from(["15m", "1h", "24h"]))
        else:
            tiles = draw(st.sampled_from([1, 1, 3]))
            aggregate["window"] = f"{length * minutes * tiles}m"
            if tiles > 1:
                aggregate["tile"] = f"{minutes * tiles}m"
        if of is not None:
            aggregate["of"] = of
        aggregate["where"] = draw(st.lists(st.sampled_from(_CONDITIONS), max_size=2))
        feature = {"name": f"f{number}", "type": type_name, "aggregate": aggregate}
        if type_name in ("float32", "float64"):
            feature["default"] = draw(st.sampled_from([-1.5, float("nan")]))
        elif type_name == "int64":
            feature["default"] = draw(st.sampled_from([-7, 0]))
        features.append(feature)
    view: dict[str, Any] = {
        "view": VIEW,
        "entity": "anyone",
        "keys": draw(st.sampled_from(_KEYS)),
        "source": {
            "type": "events",
            "event": EVENT,
            "tile": tile,
            "lateness": draw(st.sampled_from(["1m", "1h", "1d", "1d"])),
        },
        "features": features,
    }
    ttl = draw(st.sampled_from([None, None, "20m"]))
    if ttl is not None:
        view["ttl"] = ttl
    return view


def _aggregates() -> list[tuple[str, str | None, str]]:
    found: list[tuple[str, str | None, str]] = [("count", None, "int64"), ("count", "s", "float32")]
    for of in ("x", "i", "b"):
        found += [("mean", of, "float64"), ("stddev", of, "float64"), ("mean", of, "float32")]
        found += [("sum", of, "float64")]
        for function in ("min", "max", "first", "last"):
            found += [(function, of, "float64"), (function, of, "float32")]
    found += [("sum", "i", "int64"), ("sum", "b", "int64"), ("last", "x", "int64")]
    found += [("max", "b", "bool"), ("first", "b", "bool"), ("last", "t", "timestamp")]
    found += [("min", "t", "timestamp"), ("max", "i", "int64")]
    found += [("distinct", of, "int64") for of in ("i", "s", "b")]
    return found


@st.composite
def _events(draw: st.DrawFn, base: datetime) -> list[dict[str, Any]]:
    rows = draw(st.lists(_event(base), min_size=8, max_size=40))
    for number, row in enumerate(rows):
        row[_ID] = f"event-{number}"
    # Sent again: at the same time, known later or earlier, and not always telling the same.
    for place in draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)):
        again = dict(rows[place])
        again["known_at"] += timedelta(minutes=draw(st.sampled_from([-5, 0, 1, 30, 120])))
        again["i"] = draw(st.sampled_from([again["i"], 99]))
        rows.append(again)
    return draw(st.permutations(rows))


@st.composite
def _event(draw: st.DrawFn, base: datetime) -> dict[str, Any]:
    happened = base + draw(_offsets())
    known = happened + timedelta(seconds=draw(st.sampled_from(_DELAYS_S)))
    return {
        "event_time": happened,
        "known_at": known,
        "who": draw(st.sampled_from(_WHO)),
        "number": draw(st.sampled_from([0] * 8 + [1, -1, 2**53, 2**53 + 1])),
        "day": base + draw(st.sampled_from([timedelta(0), timedelta(minutes=-70)])),
        "x": draw(st.one_of(st.none(), st.sampled_from([0.1, -2.5, 1e6 / 3]), _NUMBERS)),
        "i": draw(st.none() | st.integers(-5, 5) | st.just(2**53)),
        "b": draw(st.none() | st.booleans()),
        "s": draw(st.sampled_from([*_TEXTS, None])),
        "t": draw(st.none() | st.just(happened)),
    }


@st.composite
def _asked(draw: st.DrawFn, base: datetime, rows: list[dict[str, Any]]) -> dict[str, Any]:
    # Mostly of an entity that has an event, soon after that became known.
    if draw(st.sampled_from([True, True, True, False])):
        row = draw(st.sampled_from(rows))
        seconds = draw(st.sampled_from([-1, 0, 1, 60, 290, 300, 600, 1800, 7200]))
        return {**row, "at": row["known_at"] + timedelta(seconds=seconds)}
    return {
        "at": base + draw(_offsets(latest=400)),
        "who": draw(st.sampled_from([*_TEXTS, "nobody", None])),
        "number": draw(st.sampled_from([0, 1, -1, 2**53])),
        "day": base + draw(st.sampled_from([timedelta(minutes=5), timedelta(minutes=-70)])),
    }


_DELAYS_S = [*[0] * 5, -1, -60, -1800, 30, 60, 90, 300, 600, 600, 1800, 3600, 9000]
_NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.just(float("nan")))


def _offsets(latest: int = 200) -> st.SearchStrategy[timedelta]:
    """Draws times after the base: often on the edge of tiles, or just beside it."""
    minutes = st.one_of(st.integers(-10, 20), st.integers(-10, 20), st.integers(-90, latest))
    micros = st.sampled_from([0, 0, 0, 1, -1, 30_000_000])
    return st.builds(lambda m, us: timedelta(minutes=m, microseconds=us), minutes, micros)


def _table(rows: list[dict[str, Any]], columns: dict[str, pa.DataType]) -> pa.Table:
    return pa.table(
        {name: pa.array([row[name] for row in rows], kind) for name, kind in columns.items()}
    )
