"""Fields of values: what a dict has, what a time can tell, and the data of the call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from difflib import get_close_matches

from tailrace.loadtest.requests.template.call_data import VARIABLES, CallData
from tailrace.loadtest.requests.template.go_time import GoTime
from tailrace.loadtest.requests.template.values import kind

_METHODS: dict[str, Callable[..., object]] = {
    "Unix": lambda time: time.ns // 1_000_000_000,
    "UnixMilli": lambda time: time.ns // 1_000_000,
    "UnixMicro": lambda time: time.ns // 1_000,
    "UnixNano": lambda time: time.ns,
    "Year": lambda time: time.clock().year,
    "YearDay": lambda time: time.clock().timetuple().tm_yday,
    "Month": lambda time: time.form("January"),
    "Weekday": lambda time: time.form("Monday"),
    "Day": lambda time: time.clock().day,
    "Hour": lambda time: time.clock().hour,
    "Minute": lambda time: time.clock().minute,
    "Second": lambda time: time.clock().second,
    "Nanosecond": lambda time: time.ns % 1_000_000_000,
    "Format": lambda time, layout: time.form(layout),
    "String": str,
    "UTC": lambda time: GoTime(time.ns, UTC),
}


def field_of(value: object, name: str, arguments: list[object]) -> object:
    """Returns a field of a value.

    Args:
        value: a dict, a time, or the data of the call.
        name: the field's name, without the dot.
        arguments: of a time's method; nothing else takes any.

    Raises:
        ValueError: it has none of this name.
    """
    if isinstance(value, GoTime) and name in _METHODS:
        return _METHODS[name](value, *arguments)
    if arguments:
        raise ValueError("it takes no arguments")
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, CallData):
        if name not in VARIABLES:
            raise ValueError(unknown_variable(name))
        return VARIABLES[name](value)
    raise ValueError(f"{kind(value)} has no field .{name}")


def unknown_variable(name: str) -> str:
    """Returns what to say of a variable that calls do not have."""
    near = get_close_matches(name, VARIABLES, n=1)
    instead = f"did you mean .{near[0]}?" if near else "there are ." + ", .".join(VARIABLES)
    return f"there is no .{name}: {instead}"
