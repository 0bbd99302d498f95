"""Verdicts and comparisons as JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict


def verdict_objects(judged: Sequence[Verdict | Comparison]) -> list[dict[str, Any]]:
    """Returns an object for each, with `text`, `passed`, and the figures behind them.

    What is no number, text or truth is told as text. A figure that is not finite is null, as JSON
    has no other word for it.
    """
    return [
        {field.name: _value(getattr(each, field.name)) for field in fields(each)} for each in judged
    ]


def _value(value: Any) -> Any:
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_value(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
