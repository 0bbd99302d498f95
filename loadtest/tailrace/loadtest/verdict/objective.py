"""What a run has to reach: a figure, a comparison, a bound, such as `p99<20ms`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tailrace.loadtest.hops.hop_names import SPANS
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.quantities import parse_duration
from tailrace.runtime.placement import HOPS

UNCORRECTED = "uncorrected"
LAG = "lag"
"""What latencies can be of, beside calls from when they were due and `SPANS` of answers."""

COUNTED = (
    "errors",
    "ok",
    "goodput",
    "degraded",
    "late",
    "live",
    "stale_features",
    "default_features",
    "cached",
    "precomputed",
    "prior",
)
"""What is counted: calls, then predictions by how good they are, then by quality."""

RATE = "rps"


class Unit(StrEnum):
    """What a bound, and a measured figure, is in."""

    NS = "ns"
    SHARE = "share"
    COUNT = "count"
    PER_SECOND = "per second"


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_OBJECTIVE = re.compile(r"\s*([^<>=!\s]*)\s*([<>=!]+)\s*(.*?)\s*", re.DOTALL)
_LATENCY = re.compile(r"(?:([a-z_.]+)\.)?(p\d+(?:\.\d+)?|mean|max|min)")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%|/s)?")
_FIGURES = (
    "p99 (any percentile), mean, min, max, errors, ok, rps; of uncorrected. and lag.;"
    f" of predictions: {', '.join(f'{hop}.p99' for hop in HOPS)}, goodput, live, degraded, late"
)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a run has to reach.

    Attributes:
        text: as it was written, without blanks around it.
        of: what a latency is of: empty for calls from when they were due, `UNCORRECTED`, `LAG`,
            or one of `SPANS`; empty for what is no latency.
        figure: `p99.9`, `mean`, `min`, `max`; one of `COUNTED`; or `RATE`.
        comparison: `<`, `<=`, `>`, `>=` or `==`.
        bound: in `unit`; shares from 0 to 1.
        unit: of the bound, and of what is measured.
    """

    text: str
    of: str
    figure: str
    comparison: str
    bound: float
    unit: Unit

    def met_by(self, measured: float) -> bool:
        """Returns True if a figure, in `unit`, is good enough."""
        return _COMPARISONS[self.comparison](measured, self.bound)


def parse_objective(text: str) -> Objective:
    """Returns an objective.

    Args:
        text: such as `p99<20ms`, `features.p99.9 <= 5ms`, `errors<0.1%`, `errors==0`,
            `goodput>=450/s`.

    Raises:
        LoadError: it is none.
    """
    parts = _OBJECTIVE.fullmatch(text)
    if parts is None:
        raise _wrong(text, "is no comparison", "such as p99<20ms, errors<0.1% or rps>=500")
    figure, comparison, bound = parts[1].lower(), parts[2], parts[3]
    if comparison not in _COMPARISONS:
        known = ", ".join(_COMPARISONS)
        raise _wrong(text, f"has the comparison {comparison!r}", f"there are {known}")
    latency = _LATENCY.fullmatch(figure)
    if latency is not None:
        of, figure = _latency_of(text, latency[1] or ""), latency[2]
        if figure.startswith("p") and float(figure[1:]) > 100:
            raise _wrong(text, f"has the percentile {figure[1:]}", "the highest is p100")
        return Objective(text.strip(), of, figure, comparison, _time_ns(text, bound), Unit.NS)
    if figure not in (*COUNTED, RATE):
        raise _wrong(text, f"has an unknown figure {parts[1]!r}", f"there are {_FIGURES}")
    value, unit = _number(text, figure, bound)
    return Objective(text.strip(), "", figure, comparison, value, unit)


def _latency_of(text: str, of: str) -> str:
    if of and of not in (UNCORRECTED, LAG, *SPANS):
        known = ", ".join((UNCORRECTED, LAG, *SPANS))
        raise _wrong(text, f"has latencies of an unknown {of!r}", f"there are {known}")
    return of


def _time_ns(text: str, bound: str) -> float:
    try:
        return round(parse_duration(bound) * 1e9)
    except ValueError:
        hint = "a number with one of the units ns, us, ms, s, m, such as 20ms"
        raise _wrong(text, f"has {bound!r} for a length of time", hint) from None


def _number(text: str, figure: str, bound: str) -> tuple[float, Unit]:
    parts = _NUMBER.fullmatch(bound)
    if parts is None:
        hint = "calls a second, such as rps>=500"
        if figure != RATE:
            hint = f"a share, a number, or a rate: {figure}<1%, {figure}<10 or {figure}<10/s"
        raise _wrong(text, f"has {bound!r} for a number", hint)
    value, sign = float(parts[1]), parts[2]
    if figure == RATE:
        if sign == "%":
            raise _wrong(text, "has a share for a rate", "calls a second, such as rps>=500")
        return value, Unit.PER_SECOND
    if sign == "%":
        return value / 100, Unit.SHARE
    if sign == "/s":
        return value, Unit.PER_SECOND
    if value != int(value):
        hint = f"for a share, write {value * 100:g}%"
        raise _wrong(text, f"counts in whole numbers, and {bound} is none", hint)
    return value, Unit.COUNT


def _wrong(text: str, problem: str, hint: str) -> LoadError:
    return LoadError(f"the objective {text!r} {problem}", hint)
