"""Numbers and times as ghz's reports have them, which are Go's forms of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latency(ns: float) -> str:
    """Returns a time as ghz's summary tells it: `9999 ns`, `12.34 ms`, `1.50 s`."""
    if ns < 10_000:
        return f"{int(ns)} ns"
    ms = ns / 1e6
    return f"{ms:4.2f} ms" if ms < 1000 else f"{ms / 1000:4.2f} s"


def number(value: float) -> str:
    """Returns a number as Go's `strconv.FormatFloat(value, 'g', -1, 64)` does.

    All digits that it takes to tell it from others; an exponent below 1e-4 and from 1e6 on.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    exact = Decimal(repr(float(value))).normalize()
    power = exact.adjusted()
    if not exact or -4 <= power < 6:
        return f"{exact:f}"
    mantissa = exact.scaleb(-power)
    return f"{mantissa:f}e{power:+03}"


def duration(seconds: float) -> str:
    """Returns a time as Go's `Duration.String` does: `1h2m3.5s`, `20ms`, `0s`."""
    ns = round(seconds * 1e9)
    if ns < 0:
        return f"-{duration(-seconds)}"
    for unit, length in (("ns", 1), ("\N{MICRO SIGN}s", 1_000), ("ms", 1_000_000)):
        if 0 < ns < min(length * 1_000, 1_000_000_000):
            return f"{Decimal(ns) / length:f}{unit}"
    minutes, rest = divmod(ns, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    told = f"{(Decimal(rest) / 1_000_000_000).normalize():f}s"
    if hours:
        return f"{hours}h{minutes}m{told}"
    return f"{minutes}m{told}" if minutes else told


def rfc3339(instant: datetime) -> str:
    """Returns an instant as Go's RFC 3339 has it, to the second: `2026-11-22T17:03:24Z`."""
    return _with_zone(instant.replace(microsecond=0), "")


def rfc3339_nano(ns: int, zone: tzinfo | None) -> str:
    """Returns an instant to the nanosecond, without noughts at its end, as Go does.

    Args:
        ns: nanoseconds since 1970.
        zone: the time zone to tell it in; None for UTC.
    """
    seconds, fraction = divmod(ns, 1_000_000_000)
    instant = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone or UTC)
    digits = f"{fraction:09}".rstrip("0")
    return _with_zone(instant, f".{digits}" if digits else "")


def unix_ns(instant: datetime) -> int:
    """Returns an instant in nanoseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def _with_zone(instant: datetime, fraction: str) -> str:
    told = instant.isoformat()
    zone = told[19:]
    return f"{told[:19]}{fraction}{'Z' if zone in ('', '+00:00') else zone}"
