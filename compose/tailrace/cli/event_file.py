"""Events in a file, in the order in which they became known."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import duckdb

from tailrace.cli.event_rows import OWN_COLUMNS, BadRow, RowReader
from tailrace.cli.local.errors import LaunchError
from tailrace.client import Event
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.problem import nearest

_BATCH_ROWS = 2048
_ROW = "_tailrace_row"


class EventFileInvalid(LaunchError):
    """A file of events cannot be read."""


def read_events(file: Path, event_type: EventType) -> Iterator[Event | BadRow]:
    """Yields the events of a file by known_at and id, and the rows that are none where they stand.

    Args:
        file: one JSON object a line (.ndjson, .jsonl; `-` is standard input), .csv or .parquet.
            Columns are `id`, `event_time`, perhaps `known_at`, and the fields of the event type.
        event_type: what the events are.

    Raises:
        EventFileInvalid: no such file, or not such a file.
    """
    suffix = file.suffix.lower()
    if str(file) == "-" or suffix in (".ndjson", ".jsonl"):
        return _json_events(file, event_type)
    if suffix in (".csv", ".parquet", ".pq"):
        return _table_events(file, event_type, is_csv=suffix == ".csv")
    raise EventFileInvalid(
        f"{file}: unknown kind of file; its name should end in .ndjson, .jsonl, .csv or .parquet"
    )


def _json_events(file: Path, event_type: EventType) -> Iterator[Event | BadRow]:
    reader = RowReader(event_type, texts=False)
    if str(file) == "-":
        lines = dict(enumerate(sys.stdin.buffer, 1))
        for row in _in_order([(row, line) for row, line in lines.items()], reader):
            yield _json_event(row, lines[row], reader)
        return
    try:
        with file.open("rb") as stream:
            # Only where each line begins is kept, so that a file may be larger than the memory.
            starts: dict[int, int] = {}
            for row in _in_order(_noting(stream, starts), reader):
                stream.seek(starts[row])
                yield _json_event(row, stream.readline(), reader)
    except OSError as error:
        raise EventFileInvalid(f"{file} cannot be read: {error.strerror}") from error


def _noting(stream: IO[bytes], starts: dict[int, int]) -> Iterator[tuple[int, bytes]]:
    at = 0
    for row, line in enumerate(stream, 1):
        starts[row] = at
        at += len(line)
        yield row, line


def _in_order(lines: Any, reader: RowReader) -> list[int]:
    """Returns the numbers of the lines that hold anything, in the order of their events."""
    order: list[tuple[float, str, int]] = []
    for row, line in lines:
        if not line.strip():
            continue
        event = _json_event(row, line, reader)
        if isinstance(event, BadRow):
            order.append((float("-inf"), "", row))
        else:
            order.append(((event.known_at or event.event_time).timestamp(), event.id, row))
    return [row for _, _, row in sorted(order)]


def _json_event(row: int, line: bytes, reader: RowReader) -> Event | BadRow:
    try:
        document = json.loads(line)
    except ValueError as error:
        return BadRow(row, f"not JSON: {error}")
    if not isinstance(document, dict):
        return BadRow(row, "found no JSON object")
    return reader.read(row, document)


def _table_events(file: Path, event_type: EventType, *, is_csv: bool) -> Iterator[Event | BadRow]:
    if not file.is_file():
        raise EventFileInvalid(f"there is no file {file}")
    reader = RowReader(event_type, texts=is_csv)
    table = "read_csv(?, header = true, all_varchar = true)" if is_csv else "read_parquet(?)"
    name = str(file)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {table}", [name]).fetchall()
            columns = [column[0] for column in described]
            selected = ", ".join(_selected(column[0], column[1]) for column in described)
            _check_columns(file, columns, event_type)
            known = "coalesce(known_at, event_time)" if "known_at" in columns else "event_time"
            result = connection.execute(
                f"SELECT {selected}, row_number() OVER () AS {_ROW} FROM {table} "
                f"ORDER BY TRY_CAST({known} AS TIMESTAMPTZ) NULLS FIRST, id",
                [name],
            )
            while rows := result.fetchmany(_BATCH_ROWS):
                for values in rows:
                    given = dict(zip(columns, values, strict=False))
                    yield reader.read(int(values[-1]), given)
        except duckdb.Error as error:
            raise EventFileInvalid(f"{file} cannot be read: {error}") from error


def _selected(column: str, type_name: str) -> str:
    """Returns how a column is read, so that Python has its values in a type of its own."""
    name = '"' + column.replace('"', '""') + '"'
    if type_name == "TIMESTAMP WITH TIME ZONE":
        return f"{name} AT TIME ZONE 'UTC' AS {name}"
    if type_name.startswith("TIMESTAMP"):
        return f"CAST({name} AS TIMESTAMP) AS {name}"
    if type_name.startswith("DECIMAL"):
        return f"CAST({name} AS DOUBLE) AS {name}"
    return name


def _check_columns(file: Path, columns: list[str], event_type: EventType) -> None:
    known = (*OWN_COLUMNS, *event_type.fields)
    for column in columns:
        if column not in known:
            suggestion = nearest(column, known)
            hint = f"; did you mean {suggestion!r}?" if suggestion else ""
            raise EventFileInvalid(
                f"{file}: event type {event_type.event!r} has no field {column!r}{hint}"
            )
    for column in OWN_COLUMNS[:2]:
        if column not in columns:
            raise EventFileInvalid(f"{file} has no column {column!r}")
