"""Verdicts and comparisons as JSON values."""

from __future__ import annotations

import math
from typing import Any

from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Returns a verdict: `bound` and `measured` are in `unit`, shares from 0 to 1."""
    objective = verdict.objective
    return {
        "objective": objective.text,
        "passed": verdict.passed,
        "text": verdict.text,
        "of": objective.of,
        "figure": objective.figure,
        "unit": str(objective.unit),
        "bound": _finite(objective.bound),
        "measured": _finite(verdict.measured),
    }


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """Returns a comparison; its fields are those of `Comparison`."""
    return {
        "figure": comparison.figure,
        "outcome": str(comparison.outcome),
        "passed": comparison.passed,
        "text": comparison.text,
        "unit": str(comparison.unit),
        "before": _finite(comparison.before),
        "after": _finite(comparison.after),
        "change": _finite(comparison.change),
        "low": _finite(comparison.low),
        "high": _finite(comparison.high),
        "why": comparison.why,
    }


def _finite(value: float | None) -> float | None:
    # JSON has no word for what is infinite.
    return value if value is not None and math.isfinite(value) else None
