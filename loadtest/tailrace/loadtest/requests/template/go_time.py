"""Instants in templates, and Go's layouts for them: https://pkg.go.dev/time#pkg-constants."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SECOND = 1_000_000_000
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = tuple(_MONTHS.split())
DAYS = tuple(_DAYS.split())

# In the order in which Go looks for them: longer ones first.
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00"
    r"|Z0700|Z07|__2|_2|002|01|02|03|04|05|06|15|PM|pm|[.,]0+(?![0-9])|[.,]9+(?![0-9])|[12345]"
)
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True, slots=True, order=True)
class GoTime:
    """An instant.

    Attributes:
        ns: nanoseconds since 1970.
        zone: in which it is shown; None for the machine's own.
    """

    ns: int
    zone: tzinfo | None = None

    @classmethod
    def now(cls) -> GoTime:
        """Returns this instant."""
        return cls(time.time_ns())

    def moved(self, ns: int) -> GoTime:
        """Returns the instant so many nanoseconds later."""
        return GoTime(self.ns + ns, self.zone)

    def clock(self) -> datetime:
        """Returns it in its zone, to the second."""
        return datetime.fromtimestamp(self.ns // _SECOND, UTC).astimezone(self.zone)

    def form(self, layout: str) -> str:
        """Returns it in one of Go's layouts, `2006-01-02T15:04:05Z07:00` for instance."""
        clock = self.clock()
        return _LAYOUT.sub(lambda found: _part(found[0], clock, self.ns % _SECOND), layout)

    def __str__(self) -> str:
        return self.form("2006-01-02 15:04:05.999999999 -0700 MST")


def zone_named(name: str) -> tzinfo | None:
    """Returns a time zone; None for `Local`, UTC for what is not known, as sprig does."""
    if name == "Local":
        return None
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def duration_ns(text: str) -> int:
    """Returns the nanoseconds of a duration as Go writes it, `-1h30m` for instance.

    Raises:
        ValueError: it is none.
    """
    sign, bare = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if bare == "0":
        return 0
    parts = _DURATION.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        raise ValueError(f"{text!r} is no duration, such as 1h30m")
    total = 0
    for number, unit in parts:
        whole, _, rest = number.partition(".")
        scale = _UNITS[unit]
        total += int(whole or 0) * scale
        total += int(rest or 0) * scale // 10 ** len(rest)
    return sign * total


def _part(part: str, clock: datetime, ns: int) -> str:
    if part[0] in ".,":
        digits = f"{ns:09d}"[: len(part) - 1]
        if part[1] == "0":
            return part[0] + digits.ljust(len(part) - 1, "0")
        digits = digits.rstrip("0")
        return part[0] + digits if digits else ""
    if part[0] in "-Z" and part[1:3] == "07":
        return _offset(part, clock.utcoffset() or timedelta())
    return _PLAIN[part](clock)


def _offset(part: str, offset: timedelta) -> str:
    if part[0] == "Z" and not offset:
        return "Z"
    seconds = int(offset.total_seconds())
    sign = "-" if seconds < 0 else "+"
    minutes, seconds = divmod(abs(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    colon = ":" if ":" in part else ""
    bare = part[1:].replace(":", "")
    shown = [f"{hours:02d}", f"{minutes:02d}", f"{seconds:02d}"][: len(bare) // 2]
    return sign + colon.join(shown)


def _zone_name(clock: datetime) -> str:
    return clock.tzname() or "UTC"


def _half_day(clock: datetime) -> str:
    return f"{(clock.hour % 12) or 12}"


_PLAIN: dict[str, Callable[[datetime], str]] = {
    "January": lambda clock: MONTHS[clock.month - 1],
    "Jan": lambda clock: MONTHS[clock.month - 1][:3],
    "1": lambda clock: str(clock.month),
    "01": lambda clock: f"{clock.month:02d}",
    "Monday": lambda clock: DAYS[clock.weekday()],
    "Mon": lambda clock: DAYS[clock.weekday()][:3],
    "2": lambda clock: str(clock.day),
    "_2": lambda clock: f"{clock.day:2d}",
    "02": lambda clock: f"{clock.day:02d}",
    "__2": lambda clock: f"{clock.timetuple().tm_yday:3d}",
    "002": lambda clock: f"{clock.timetuple().tm_yday:03d}",
    "15": lambda clock: f"{clock.hour:02d}",
    "3": _half_day,
    "03": lambda clock: _half_day(clock).zfill(2),
    "4": lambda clock: str(clock.minute),
    "04": lambda clock: f"{clock.minute:02d}",
    "5": lambda clock: str(clock.second),
    "05": lambda clock: f"{clock.second:02d}",
    "2006": lambda clock: f"{clock.year:04d}",
    "06": lambda clock: f"{clock.year % 100:02d}",
    "PM": lambda clock: "PM" if clock.hour >= 12 else "AM",
    "pm": lambda clock: "pm" if clock.hour >= 12 else "am",
    "MST": _zone_name,
}
