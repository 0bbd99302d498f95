"""Events in the rows of a file: how each is read, and what is wrong with one that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tailrace.client import Event, InputValue
from tailrace.runtime.pipeline.event_type import EventType

OWN_COLUMNS = ("id", "event_time", "known_at")

_BOOLS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no event.

    Attributes:
        row: its number in the file, from 1.
        message: what is wrong with it.
        field: column at fault, or empty.
    """

    row: int
    message: str
    field: str = ""


class RowReader:
    """Makes events of rows."""

    def __init__(self, event_type: EventType, *, texts: bool) -> None:
        """Keeps how to read each column.

        Args:
            event_type: what the events are to be.
            texts: whether all values are texts, as in CSV; else only instants may be.
        """
        self._types = {name: field.type for name, field in event_type.fields.items()}
        self._texts = texts

    def read(self, row: int, values: Mapping[str, Any]) -> Event | BadRow:
        """Returns the event of one row.

        Args:
            row: its number.
            values: by column; None stands for nothing.
        """
        column = "id"
        try:
            if values.get("id") is None:
                raise ValueError("there is no id")
            column = "event_time"
            event_time = _instant(values.get("event_time"))
            column = "known_at"
            known_at = None if values.get("known_at") is None else _instant(values["known_at"])
            fields: dict[str, InputValue] = {}
            for column, value in values.items():
                if column not in OWN_COLUMNS and value is not None:
                    fields[column] = self._value(self._types.get(column, ""), value)
        except (ValueError, TypeError) as error:
            return BadRow(row, str(error), column)
        return Event(id=str(values["id"]), event_time=event_time, known_at=known_at, fields=fields)

    def _value(self, type_name: str, value: Any) -> InputValue:
        if type_name == "timestamp":
            return _instant(value)
        if self._texts and type_name in _PARSERS:
            return _PARSERS[type_name](value)
        if isinstance(value, (dict, list)):
            raise ValueError("found an array or object, expected a single value")
        found: InputValue = value
        return found


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError(f"found {text!r}, expected true or false")
    return _BOOLS[text.lower()]


_PARSERS: dict[str, Callable[[str], InputValue]] = {"int64": int, "double": float, "bool": _bool}


def _instant(value: Any) -> datetime:
    """Returns an instant; a column of instants without an offset is in UTC, a text needs one."""
    if value is None:
        raise ValueError("there is no instant")
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        expected = "an instant such as 2013-11-01T13:20:00Z"
        raise ValueError(f"found {value!r}, expected {expected}") from error
    if moment.tzinfo is None:
        raise ValueError(f"found {value!r} without an offset, such as Z")
    return moment
