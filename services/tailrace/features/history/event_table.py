"""The events of one type, read from a file, with what is refused of them and why."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from tailrace.features.history.engine import Engine, identifier, literal
from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.source import Source
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.event_type import EventField, EventType

MAX_ID_BYTES = 256
MAX_INTEGER = 2**53

_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EventTable:
    """The events that are not refused.

    Attributes:
        event: their type.
        table: has the columns seq (place in the file), id, event_time, known_at (microseconds
            since 1970), and one per field: `field_<name>`.
        read: how many there were.
        refused: how many were refused, by reason.
        known_when_happened: whether there was no column known_at, so that event_time stands for it.
    """

    event: EventType
    table: str
    read: int
    refused: dict[str, int]
    known_when_happened: bool = False


def field_column(name: str) -> str:
    """Returns the column of a field, as SQL writes it."""
    return identifier(f"field_{name}")


def event_table(engine: Engine, event: EventType, source: Source, now_us: int) -> EventTable:
    """Reads the events of a type.

    Args:
        engine: holds them.
        event: their type; columns that it does not declare are ignored, and the column of a
            field that may be absent may be absent, too.
        source: has the columns id, event_time, those of the fields, and perhaps known_at: without
            it, each event counts as known when it happened.
        now_us: this machine's clock, microseconds since 1970.

    Raises:
        HistoryFailed: a column is not there or is of the wrong type, or there are no events.
    """
    known = _known_column(source, event)
    raw = {"id": "id", "event_time": "event_time", "known_at": known}
    columns = {"id": source.id_column("id")}
    for name in ("event_time", "known_at"):
        columns[name] = source.column(raw[name], DType.TIMESTAMP)
    present = {
        name: field
        for name, field in event.fields.items()
        if field.required or name in source.columns
    }
    fields = {name: source.column(name, field.dtype) for name, field in present.items()}
    selected = ["row_number() OVER () AS seq"]
    selected += [f"{sql} AS {name}" for name, sql in columns.items()]
    selected += [f"{sql} AS {field_column(name)}" for name, sql in fields.items()]
    absent = [name for name in event.fields if name not in present]
    selected += [f"NULL AS {field_column(name)}" for name in absent]
    given = {name: f"given_{place}" for place, name in enumerate([*raw, *present])}
    selected += [f"{source.given(raw.get(name, name))} AS {flag}" for name, flag in given.items()]
    selected.append(f"{source.bad_row} AS is_bad")
    problems = [("is_bad", "not a JSON object"), *_event_problems(event, given, now_us)]
    for name, field in present.items():
        problems += _field_problems(name, field, given[name])
    cases = " ".join(f"WHEN {test} THEN {literal(reason)}" for test, reason in problems)
    kept = ", ".join(["seq", *raw, *map(field_column, event.fields)])
    judged = engine.create(
        "events",
        f"SELECT {kept}, CASE {cases} END AS reason "
        f"FROM (SELECT {', '.join(selected)} FROM {source.relation})",
    )
    counts = engine.table(f"SELECT reason, count(*) AS rows FROM {judged} GROUP BY reason")
    by_reason = dict(zip(*counts.to_pydict().values(), strict=True))
    read = sum(by_reason.values())
    if not read:
        raise HistoryFailed(f"{source.what}: there are no events")
    by_reason.pop(None, None)
    if by_reason:
        engine.run(f"DELETE FROM {judged} WHERE reason IS NOT NULL")
    return EventTable(event, judged, read, dict(sorted(by_reason.items())), known != "known_at")


def _known_column(source: Source, event: EventType) -> str:
    """Returns the column that says when an event became known.

    Raises:
        HistoryFailed: it seems to be misspelt.
    """
    others = [name for name in source.columns if name not in ("id", "event_time", *event.fields)]
    if "known_at" not in others and difflib.get_close_matches("known_at", others, cutoff=0.8):
        source.column("known_at", DType.TIMESTAMP)
    return "known_at" if "known_at" in others else "event_time"


def _event_problems(event: EventType, given: dict[str, str], now_us: int) -> Iterator[_Problem]:
    slack_us = event.max_future // _US
    yield f"NOT {given['id']} OR id = ''", "no id"
    yield "id IS NULL", "id is not text"
    yield f"strlen(id) > {MAX_ID_BYTES}", f"an id of more than {MAX_ID_BYTES} bytes"
    for name in ("event_time", "known_at"):
        yield f"NOT {given[name]}", f"no {name}"
        yield f"{name} IS NULL", f"{name} is not an instant"
        beyond = f"{name} NOT BETWEEN -{MAX_INTEGER} AND {MAX_INTEGER}"
        yield beyond, f"{name} is outside the years 1685 to 2255"
    yield f"event_time > known_at + {slack_us}", "event_time is too far after known_at"
    yield f"known_at > {now_us + slack_us}", "known_at is in the future"


def _field_problems(name: str, field: EventField, given: str) -> Iterator[_Problem]:
    column = field_column(name)
    if field.required:
        yield f"NOT {given}", f"no {name}"
    yield f"{given} AND {column} IS NULL", f"{name} is not of type {field.type}"
    if field.type == "double":
        yield f"NOT isfinite({column})", f"{name} is NaN or infinite"
    if field.type in ("int64", "timestamp"):
        yield f"{column} NOT BETWEEN -{MAX_INTEGER} AND {MAX_INTEGER}", f"{name} is beyond 2^53"
    if field.type == "string":
        yield f"length({column}) > {field.max_length}", f"{name} is too long"


_Problem = tuple[str, str]
