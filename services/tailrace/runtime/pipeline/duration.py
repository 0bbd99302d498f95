"""Lengths of time in pipeline, view and event files."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

from tailrace.runtime.pipeline.base import Misfit, shown

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(value: object) -> timedelta:
    """Returns a timedelta for text such as `250ms`, `30s`, `5m`, `24h`, `30d`.

    Raises:
        Misfit: the text is not of that form, or longer than a timedelta can be.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", str(value))
    if match is None:
        raise Misfit(shown(value), "a duration such as 250ms, 30s, 5m, 24h or 30d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    except OverflowError as error:
        raise Misfit(shown(value), "a duration below a million years") from error


def duration_text(length: timedelta) -> str:
    """Returns a duration as a file would say it, in its largest whole unit."""
    whole_ms = length // timedelta(milliseconds=1)
    for unit, seconds in reversed(_UNITS_S.items()):
        unit_ms = round(seconds * 1000)
        if whole_ms % unit_ms == 0 and whole_ms >= unit_ms:
            return f"{whole_ms // unit_ms}{unit}"
    return f"{length // timedelta(microseconds=1)}us"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
