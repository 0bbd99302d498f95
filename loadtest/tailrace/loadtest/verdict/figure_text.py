"""Measured figures in words."""

from __future__ import annotations

from tailrace.loadtest.verdict.objective import Unit

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))


def figure_text(value: float, unit: Unit, digits: int = 4) -> str:
    """Returns a figure with its unit, such as `23.4 ms`, `0.25 %`, `12`, `501.3/s`.

    Args:
        value: in `unit`; shares from 0 to 1.
        unit: of the value.
        digits: how many are told, beside all of those before the point.
    """
    if unit is Unit.NS:
        for length, name in _TIMES:
            if value >= length:
                return f"{_short(value / length, digits)} {name}"
        return f"{_short(value, digits)} ns"
    if unit is Unit.SHARE:
        return f"{_short(value * 100, digits)} %"
    if unit is Unit.PER_SECOND:
        return f"{_short(value, digits)}/s"
    return f"{value:.0f}"


def told_apart(value: float, other: float, unit: Unit) -> str:
    """Returns `figure_text` of a value, with as many digits as tell it from another."""
    digits = 4
    while (
        value != other
        and digits < 12
        and figure_text(value, unit, digits) == figure_text(other, unit, digits)
    ):
        digits += 1
    return figure_text(value, unit, digits)


def _short(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
