"""Answers of the feature registry as words and as plain JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from tailrace.cli.feature_options import FeaturesFailed
from tailrace.client.json_values import to_json
from tailrace.client.values import from_value
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import tensor_pb2

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_MAX_TEXT = 60
_FILE_WIDTH = 200


def table_console() -> Console:
    """Returns a console for tables, which are not squeezed where there is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def plain(message: Message) -> dict[str, Any]:
    """Returns a message for JSON: numbers as numbers, instants as RFC 3339, values as they are.

    Left out is what is unset and may be; lists and single fields are always there.
    """
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            if _is_map(field):
                document[field.name] = {key: _plain(field, value[key]) for key in sorted(value)}
            else:
                document[field.name] = [_plain(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            document[field.name] = _plain(field, value)
    return document


def age_words(age_us: int) -> str:
    """Returns a length of time in its two largest units, such as `2 h 5 min`."""
    seconds = age_us / 1e6
    if seconds < 1:
        return f"{age_us / 1000:.0f} ms"
    for place, (length, unit) in enumerate(_UNITS):
        if seconds >= length:
            whole, rest = divmod(int(seconds), length)
            smaller, name = _UNITS[min(place + 1, len(_UNITS) - 1)]
            more = f" {rest // smaller} {name}" if smaller < length and rest >= smaller else ""
            return f"{whole} {unit}{more}"
    return "0 s"


def stored_words(stored: pb.StoredView, kind: str) -> str:
    """Returns how fresh a view of a kind is, with rich's markup; what is amiss is red."""
    if stored.problem:
        return "[red]cannot be read[/]"
    if not stored.loaded:
        return f"[yellow]{not_loaded_words(kind)}[/]"
    if stored.schema_changed:
        return "[red]other schema[/]"
    if not stored.HasField("age_us"):
        return "has events" if kind == "windowed" else "-"
    age = f"{age_words(stored.age_us)} old"
    return f"[red]{age}, stale[/]" if stored.stale else age


def not_loaded_words(kind: str) -> str:
    """Returns what there is to say of a view of a kind that has no rows."""
    return "no events yet" if kind == "windowed" else "never loaded"


def value_words(value: tensor_pb2.Value, type_name: str = "") -> str:
    """Returns a value for people to read; `-` for none."""
    if value.WhichOneof("kind") is None:
        return "-"
    if type_name == "float32" and value.HasField("double_value"):
        return number_words(value.double_value, 9)
    text = json.dumps(to_json(from_value(value)), ensure_ascii=False)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def number_words(number: float, digits: int = 6) -> str:
    """Returns a number in so many digits at most."""
    return f"{number:.{digits}g}"


def instant_words(instant: Timestamp) -> str:
    """Returns an instant in UTC, to the second; in seconds since 1970 beyond the year 9999."""
    try:
        return instant.ToDatetime(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{instant.seconds} s since 1970"


def instant_text(instant: Timestamp) -> str:
    """Returns an instant as `--at` takes it, to the second."""
    return instant.ToDatetime().isoformat(timespec="seconds") + "Z"


def instant_option(text: str, name: str) -> datetime:
    """Returns the instant that an option or a key says, in UTC where it names no zone.

    Raises:
        FeaturesFailed: it is none.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        expected = "an instant such as 2013-11-01T13:20:00Z"
        raise FeaturesFailed(f"{name}: {text!r}, expected {expected}") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def statistic_words(number: float | None, type_name: str) -> str:
    """Returns a statistic of a feature of a type: an instant for those, else a number.

    Args:
        number: of instants microseconds since 1970; None if there is none.
        type_name: as in the view file; may be empty.
    """
    if number is None:
        return "-"
    if type_name == "timestamp":
        try:
            instant = datetime(1970, 1, 1) + timedelta(microseconds=number)
            return f"{instant.isoformat(timespec='seconds')}Z"
        except (OverflowError, ValueError):
            pass  # Beyond the years 1 to 9999 there are only numbers.
    return number_words(number)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return _instant(value)
    if isinstance(value, tensor_pb2.Value):
        return to_json(from_value(value))
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        prefix = "FEATURE_STATE_" if "State" in field.enum_type.name else "ERROR_REASON_"
        return field.enum_type.values_by_number[value].name.removeprefix(prefix)
    if isinstance(value, float) and not math.isfinite(value):
        return to_json(value)
    return value


def _instant(instant: Timestamp) -> Any:
    try:
        found: datetime = instant.ToDatetime(tzinfo=UTC)
    except (OverflowError, ValueError):
        return instant.seconds
    return to_json(found)
