"""Sprig's functions of numbers and times: https://masterminds.github.io/sprig/math.html."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import reduce

from tailrace.loadtest.requests.template.go_time import GoTime, duration_ns, zone_named
from tailrace.loadtest.requests.template.values import to_float, to_int, wrapped

_SECOND = 1_000_000_000
_LONGEST_LIST = 1_000_000


def _divided(first: object, second: object) -> int:
    left, right = to_int(first), to_int(second)
    if not right:
        raise ValueError("a division by zero")
    # Go's division goes towards zero.
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(first: object, second: object) -> int:
    return to_int(first) - _divided(first, second) * to_int(second)


def _multiplied(first: object, *others: object) -> int:
    return wrapped(math.prod(map(to_int, others), start=to_int(first)))


def _decimals(
    work: Callable[[Decimal, Decimal], Decimal],
) -> Callable[..., float]:
    """Returns a function that reckons in decimals, as sprig does: 0.1 + 0.2 is 0.3."""

    def reckon(first: object, *others: object) -> float:
        numbers = [Decimal(repr(to_float(value))) for value in (first, *others)]
        return float(reduce(work, numbers))

    return reckon


def _quotient(first: Decimal, second: Decimal) -> Decimal:
    if not second:
        raise ValueError("a division by zero")
    return first / second


def _round(value: object, places: int, up_from: float = 0.5) -> float:
    scale = 10.0**places
    scaled = scale * to_float(value)
    part = math.modf(scaled)[0]
    return (math.ceil(scaled) if part >= up_from else math.floor(scaled)) / scale


def _until_step(start: int, stop: int, step: int) -> list[object]:
    places = range(start, stop, step) if step else range(0)
    if len(places) > _LONGEST_LIST:
        raise ValueError(f"a list of {len(places):,} is too long")
    return list(places)


def _seq(*places: int) -> str:
    match places:
        case (end,):
            start, step = 1, 1 if end >= 1 else -1
        case (start, end):
            step = 1 if end >= start else -1
        case (start, step, end):
            if end < start and step > 0:
                return ""
        case _:
            return ""
    listed = _until_step(start, end + (1 if end >= start else -1), step)
    return " ".join(map(str, listed))


def _instant(value: object) -> GoTime:
    if isinstance(value, GoTime):
        return value
    return GoTime(value * _SECOND) if type(value) is int else GoTime.now()


def _date(layout: str, value: object) -> str:
    return GoTime(_instant(value).ns).form(layout)


def _date_in_zone(layout: str, value: object, zone: str) -> str:
    return GoTime(_instant(value).ns, zone_named(zone)).form(layout)


def _date_modify(by: str, value: GoTime) -> GoTime:
    return value.moved(duration_ns(by))


def _whole(text: str) -> int:
    try:
        return int(text) if text.isascii() and "_" not in text and text == text.strip() else 0
    except ValueError:
        return 0


NUMBER_FUNCTIONS: dict[str, Callable[..., object]] = {
    "add": lambda *values: wrapped(sum(map(to_int, values))),
    "add1": lambda value: wrapped(to_int(value) + 1),
    "sub": lambda first, second: wrapped(to_int(first) - to_int(second)),
    "mul": _multiplied,
    "div": _divided,
    "mod": _remainder,
    "addf": _decimals(lambda first, second: first + second),
    "add1f": lambda value: _decimals(lambda first, second: first + second)(value, 1),
    "subf": _decimals(lambda first, second: first - second),
    "mulf": _decimals(lambda first, second: first * second),
    "divf": _decimals(_quotient),
    "max": lambda first, *others: max(map(to_int, (first, *others))),
    "biggest": lambda first, *others: max(map(to_int, (first, *others))),
    "min": lambda first, *others: min(map(to_int, (first, *others))),
    "maxf": lambda first, *others: max(map(to_float, (first, *others))),
    "minf": lambda first, *others: min(map(to_float, (first, *others))),
    "ceil": lambda value: float(math.ceil(to_float(value))),
    "floor": lambda value: float(math.floor(to_float(value))),
    "round": _round,
    "int": to_int,
    "int64": to_int,
    "float64": to_float,
    "atoi": _whole,
    "seq": _seq,
    "until": lambda count: _until_step(0, count, 1 if count >= 0 else -1),
    "untilStep": _until_step,
    "now": GoTime.now,
    "date": _date,
    "dateInZone": _date_in_zone,
    "date_in_zone": _date_in_zone,
    "htmlDate": lambda value: _date("2006-01-02", value),
    "dateModify": _date_modify,
    "date_modify": _date_modify,
    "mustDateModify": _date_modify,
    "unixEpoch": lambda value: str(value.ns // _SECOND),
}
