"""Compares a run with an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.options_echo import options_echo
from tailrace.loadtest.verdict.baseline_file import MIN_SLICES, Baseline, read_baseline, too_few
from tailrace.loadtest.verdict.bootstrap import (
    Figures,
    Float64s,
    drawn,
    measured,
    sliced_run,
    widening,
)
from tailrace.loadtest.verdict.comparison import Comparison, Outcome
from tailrace.loadtest.verdict.objective import Unit

__all__ = ["Baseline", "Comparison", "Outcome", "compare", "read_baseline"]

PERCENTS = (50.0, 90.0, 99.0)
ERROR_FLOOR = 0.001
"""Errors that grow by no more than this share of calls fail no run: `--slo` is for less."""

_SEED = 1
_INTERVAL = (2.5, 97.5)
_LEAST = 1e-9
# Where these differ, other figures are no surprise. Host and port are none of them.
_SAME = (
    "call",
    "data",
    "metadata",
    "rps",
    "load-schedule",
    "load-start",
    "load-end",
    "load-step",
    "load-step-duration",
    "load-max-duration",
    "async",
    "concurrency",
    "concurrency-schedule",
    "concurrency-start",
    "concurrency-end",
    "concurrency-step",
    "concurrency-step-duration",
    "concurrency-max-duration",
    "connections",
    "timeout",
    "enable-compression",
    "count-errors",
)
_TOLD_CHARS = 60


def compare(baseline: Baseline, result: RunResult, tolerance: float) -> list[Comparison]:
    """Compares p50, p90, p99, mean, rate and the share of errors, after what makes runs unlike.

    A figure fails the run if it is worse for sure and by much: the 95 % confidence interval of the
    change leaves out no change at all (`bootstrap`), and the change is beyond the tolerance. The
    same two runs are always told the same.

    Args:
        baseline: the earlier run.
        result: this one.
        tolerance: share by which a figure may be worse, 0.05 for 5 %; of errors, of their share in
            the earlier run, and `ERROR_FLOOR` of calls at least.
    """
    notes = list(_notes(baseline, result))
    if result.lost:
        why = "only a part of its load was made: load processes were lost"
        return [*notes, Comparison("run", Outcome.UNKNOWN, why=why)]
    slices = result.tally.slices
    run = sliced_run(slices, result.duration_ns)
    if len(run) < MIN_SLICES:
        why = f"this run is too short: {too_few(run, slices.length_ns)}"
        return [*notes, Comparison("run", Outcome.UNKNOWN, why=why)]
    random = np.random.default_rng(_SEED)
    before, after = measured(baseline.run, PERCENTS), measured(run, PERCENTS)
    befores, afters = drawn(baseline.run, PERCENTS, random), drawn(run, PERCENTS, random)
    pairs = zip(_figures(before), _figures(after), _figures(befores), _figures(afters), strict=True)
    wide = widening(baseline.run, run)
    return [
        *notes,
        *(
            _compared(
                name, unit, _Pair(float(then[0]), float(now[0]), thens, nows, wide), tolerance
            )
            for (name, unit, then), (_, _, now), (_, _, thens), (_, _, nows) in pairs
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A figure of both runs, of those drawn from them, and how far off those are."""

    before: float
    after: float
    befores: Float64s
    afters: Float64s
    widening: float

    def ratio(self) -> tuple[float, float, float]:
        """Returns `after` over `before`, and its interval."""
        change = self.after / self.before
        # A draw may have slices in which nothing ended, and no others.
        before, after = (np.log(np.maximum(draws, _LEAST)) for draws in (self.befores, self.afters))
        low, high = np.exp(self._interval(float(np.log(change)), after - before))
        return change, float(low), float(high)

    def difference(self) -> tuple[float, float, float]:
        """Returns `after` less `before`, and its interval."""
        change = self.after - self.before
        return change, *self._interval(change, self.afters - self.befores)

    def _interval(self, change: float, changes: Float64s) -> tuple[float, float]:
        low, high = (float(end) for end in np.nanpercentile(changes, _INTERVAL))
        return change + (low - change) * self.widening, change + (high - change) * self.widening


def _figures(figures: Figures) -> Iterator[tuple[str, Unit, Float64s]]:
    for name, values in figures.latencies_ns.items():
        yield name, Unit.NS, values
    yield "rps", Unit.PER_SECOND, figures.rps
    yield "errors", Unit.SHARE, figures.errors


def _compared(name: str, unit: Unit, pair: _Pair, tolerance: float) -> Comparison:
    if not np.isfinite([pair.before, pair.after]).all():
        which = "the earlier run" if not np.isfinite(pair.before) else "this run"
        return Comparison(name, Outcome.UNKNOWN, unit, why=f"no call was answered in {which}")
    if unit is Unit.SHARE:
        none, (change, low, high) = 0.0, pair.difference()
        much = change > max(tolerance * pair.before, ERROR_FLOOR)
    else:
        none, (change, low, high) = 1.0, pair.ratio()
        much = change < 1 - tolerance if name == "rps" else change > 1 + tolerance
    worse, better = (high < none, low > none) if name == "rps" else (low > none, high < none)
    if worse:
        outcome = Outcome.WORSE if much else Outcome.TOLERATED
    else:
        outcome = Outcome.BETTER if better else Outcome.SAME
    return Comparison(name, outcome, unit, pair.before, pair.after, change, low, high)


def _notes(baseline: Baseline, result: RunResult) -> Iterator[Comparison]:
    now = options_echo(result.options)
    for key in _SAME:
        before, after = baseline.options.get(key), now.get(key)
        if before != after:
            why = f"{key} was {_told(before)}, and is {_told(after)}"
            yield Comparison(key, Outcome.NOTE, why=why)
    if baseline.from_due != result.corrected_differs:
        kinds = ("from when they were due", "from when they were sent")
        then, this = kinds if baseline.from_due else kinds[::-1]
        why = f"latencies of the earlier run count {then}, and of this one {this}"
        yield Comparison("latencies", Outcome.NOTE, why=why)


def _told(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _TOLD_CHARS else f"{text[:_TOLD_CHARS]}…"
