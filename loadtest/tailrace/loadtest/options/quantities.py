"""Texts that stand for lengths of time, sizes and shares: as Go and ghz write them."""

from __future__ import annotations

import re
from fractions import Fraction

# Go's time.ParseDuration, https://pkg.go.dev/time#ParseDuration; in seconds.
_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SIZE = re.compile(r"(\d[\d,]*\.?\d*)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_POWERS = "kmgtpe"


def parse_duration(text: str) -> float:
    """Returns a length of time in seconds; negative ones, too.

    Args:
        text: numbers with units, such as `10s`, `1m30s`, `250ms`, `1.5h`; or `0`.

    Raises:
        ValueError: it is none.
    """
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if digits == "0":
        return 0.0
    parts = _DURATION_PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise ValueError(f"{text!r} is no length of time")
    return sign * float(sum(Fraction(number) * _UNITS[unit] for number, unit in parts))


def parse_size(text: str) -> int:
    """Returns a number of bytes.

    Args:
        text: a number, with a unit or none: `4194304`, `4MiB` (1,024 at a time), `4MB` (1,000).

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    number, unit = match[1].replace(",", ""), match[2].lower()
    prefix, binary = unit.removesuffix("b").removesuffix("i"), unit.rstrip("b").endswith("i")
    if (prefix and prefix not in _POWERS) or (binary and not prefix) or len(prefix) > 1:
        raise ValueError(f"{text!r} is no size: there is no unit {match[2]!r}")
    power = _POWERS.index(prefix) + 1 if prefix else 0
    return int(Fraction(number) * (1024 if binary else 1000) ** power)


def parse_share(text: str) -> float:
    """Returns a share, 0.05 for `5%` or `0.05`.

    Raises:
        ValueError: it is none.
    """
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{text!r} is no share") from None
    if not 0 <= share < float("inf"):
        raise ValueError(f"{text!r} is no share")
    return share
