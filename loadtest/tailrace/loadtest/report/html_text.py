"""Figures in words, as the HTML report has them."""

from __future__ import annotations

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "\N{MICRO SIGN}s"), (1.0, "ns"))
_LONG_UNITS = ((3600e9, "h"), (60e9, "min"))


def duration(ns: float) -> str:
    """Returns a time in three digits and its unit: `7.71 ms`, `850 µs`, `12.3 s`, `90.0 min`."""
    for size, unit in _LONG_UNITS:
        if ns >= 2 * size:
            return f"{_three_digits(ns / size)} {unit}"
    for size, unit in _UNITS[:-1]:
        # What would be rounded to a thousand of a unit is told in the next one.
        if abs(ns) >= size * 0.9995:
            return f"{_three_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns" if ns else "0"


def tick_duration(ns: float) -> str:
    """Returns a round time without noughts at its end: `5 ms`, `0.5 s`."""
    for size, unit in _UNITS:
        if abs(ns) >= size * 0.9995:
            return f"{ns / size:.3g} {unit}"
    return "0"


def count(value: int) -> str:
    """Returns a whole number with its thousands apart: `12,345`."""
    return f"{value:,}"


def calls(number: int) -> str:
    """Returns a number of calls: `1 call`, `12,345 calls`."""
    return f"{count(number)} call{'' if number == 1 else 's'}"


def rate(per_second: float) -> str:
    """Returns a rate: `1,234/s`, `99.8/s`."""
    if not per_second:
        return "0/s"
    return f"{per_second:,.0f}/s" if per_second >= 1000 else f"{_three_digits(per_second)}/s"


def share(part: float, whole: float) -> str:
    """Returns a share in percent: `0.12 %`; a dash where there is no whole."""
    if not whole:
        return "\N{EN DASH}"
    percent = part / whole * 100
    if part and percent < 0.01:
        return "< 0.01 %"
    # All is said of all only, and nothing of nothing only.
    if part < whole and percent > 99.99:
        return "> 99.99 %"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + " %"


def percentile_name(percent: float) -> str:
    """Returns what a percentile is called: `p99.9`."""
    return f"p{percent:g}"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
