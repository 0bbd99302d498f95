"""Values in templates: how Go shows them, and what it takes for true, for a number, for empty.

A value is None, bool, int (64 bits in Go), float, str, list, dict with str keys, or GoTime.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_OCTAL = re.compile(r"[+-]?0[0-7]+")
_BITS = 1 << 64
_LARGEST = (1 << 63) - 1


def show(value: object) -> str:
    """Returns a value as an action shows it, which is Go's `%v`; None is `<no value>`."""
    return "<no value>" if value is None else go_text(value)


def go_text(value: object) -> str:
    """Returns a value as Go's `%v` has it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return go_float(value)
        case None:
            return "<nil>"
        case list():
            return "[" + " ".join(map(go_text, value)) + "]"
        case dict():
            pairs = " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value))
            return f"map[{pairs}]"
        case _:
            return str(value)


def go_float(value: float) -> str:
    """Returns a number as Go's `%v` has it: the shortest that is exact, 1e+06 from there on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if abs(value) < 1e6 and (abs(value) >= 1e-4 or not value):
        return text.removesuffix(".0")
    sign, digits, _ = Decimal(text).normalize().as_tuple()
    exponent = Decimal(text).adjusted()
    rest = "".join(map(str, digits[1:]))
    mantissa = f"{'-' * sign}{digits[0]}{'.' * bool(rest)}{rest}"
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def kind(value: object) -> str:
    """Returns what a value is, for errors."""
    names = {bool: "a bool", int: "an int", float: "a float", str: "a string", list: "a list"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a dict" if isinstance(value, dict) else "a time")


def truth(value: object) -> bool:
    """Returns what `if` makes of a value: nothing, 0, "" and what is empty are false."""
    return bool(value)


def is_number(value: object) -> bool:
    """True for ints and floats; a bool is none."""
    return type(value) in {int, float}


def wrapped(value: int) -> int:
    """Returns an int as 64 bits hold it: beyond, it begins again at the other end."""
    if -_LARGEST - 1 <= value <= _LARGEST:
        return value
    value &= _BITS - 1
    return value - _BITS if value > _LARGEST else value


def to_int(value: object) -> int:
    """Returns what sprig takes a value for where it wants an int; 0 for what is none."""
    match value:
        case bool():
            return int(value)
        case int():
            return value
        case float():
            return wrapped(int(value)) if math.isfinite(value) else 0
        case str():
            return _int_in(value)
        case _:
            return 0


def _int_in(text: str) -> int:
    # As in Go's source: 0x1f, 0b1, 0o7, and 017, which is octal.
    try:
        value = int(text, 8 if _OCTAL.fullmatch(text) else 0)
    except ValueError:
        return 0
    return value if -_LARGEST - 1 <= value <= _LARGEST and text == text.strip() else 0


def to_float(value: object) -> float:
    """Returns what sprig takes a value for where it wants a float; 0 for what is none."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return 0.0
    return 0.0
