"""Lengths of time in pipeline, view and event files."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

from tailrace.runtime.pipeline.base import Misfit, shown

MAX_DURATION = timedelta(days=1_000_000)
"""What instants and ages can be reckoned with in microseconds, as int64, without a doubt."""

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(value: object) -> timedelta:
    """Returns a timedelta for text such as `250ms`, `30s`, `5m`, `24h`, `30d`.

    Raises:
        Misfit: the text is not of that form, or longer than `MAX_DURATION`.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", str(value))
    if match is None:
        raise Misfit(shown(value), "a duration such as 250ms, 30s, 5m, 24h or 30d")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > MAX_DURATION.total_seconds():
        raise Misfit(shown(value), f"a duration of at most {MAX_DURATION.days}d")
    return timedelta(seconds=seconds)


def duration_text(length: timedelta) -> str:
    """Returns a duration as a file would say it, in its largest whole unit."""
    whole_ms = length // timedelta(milliseconds=1)
    for unit, seconds in reversed(_UNITS_S.items()):
        unit_ms = round(seconds * 1000)
        if whole_ms % unit_ms == 0 and whole_ms >= unit_ms:
            return f"{whole_ms // unit_ms}{unit}"
    return f"{length // timedelta(microseconds=1)}us"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
