"""Histograms that count rows, with bounds of their own per series and exemplars.

prometheus_client's counts one observation at a time. What a convoy spends, each of its requests
has spent: a histogram that counted convoys would hide the crowded ones, which are the slow ones.
And an objective ("99 % within 80 ms") can only be checked where 80 ms is a bound, so a series may
have bounds that the others have not.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar


def bound_text(bound: float) -> str:
    """Returns a bound as the label `le` has it, such as 0.08 or 1.0; queries must match it."""
    return f"{float(bound)}"


@dataclass(slots=True)
class _State:
    bounds: tuple[float, ...]
    counts: list[int]
    exemplars: list[Exemplar | None]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: Sequence[float]) -> _State:
        buckets = len(bounds) + 1
        return cls(tuple(bounds), [0] * buckets, [None] * buckets)


class Series:
    """One series. Observed in one thread, read in any."""

    __slots__ = ("_state",)

    def __init__(self, bounds: Sequence[float]) -> None:
        """Has counted nothing.

        Args:
            bounds: upper bounds, ascending, without the infinite one.
        """
        self._state = _State.empty(bounds)

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds, ascending, without the infinite one."""
        return self._state.bounds

    def observe(self, value: float, count: int = 1, trace_id: str = "") -> None:
        """Counts a value.

        Args:
            value: in the histogram's unit.
            count: how often.
            trace_id: a trace that shows it, or empty.
        """
        state = self._state
        place = bisect_left(state.bounds, value)
        state.counts[place] += count
        state.total += value * count
        if trace_id:
            state.exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    def add(self, counts: Iterable[tuple[int, int]], total: float) -> None:
        """Counts many values at once.

        Args:
            counts: places among `bounds`, the last one beyond them, and how many values each.
            total: sum of the values.
        """
        state = self._state
        for place, count in counts:
            state.counts[place] += count
        state.total += total

    def begin_anew(self, bounds: Sequence[float]) -> None:
        """Forgets what was counted, as other bounds count otherwise."""
        self._state = _State.empty(bounds)

    def read(self) -> tuple[list[tuple[str, float, Exemplar | None]], float]:
        """Returns upper bound, cumulated count and exemplar of each bucket, and the sum."""
        state = self._state
        names = [bound_text(bound) for bound in state.bounds]
        cumulated = map(float, accumulate(state.counts))
        return list(zip([*names, "+Inf"], cumulated, state.exemplars, strict=True)), state.total


class Histogram(Collector):
    """A metric of such series, by labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """Registers the metric.

        Args:
            name: with its unit at the end.
            documentation: one sentence.
            labels: names of the labels.
            bounds: upper bounds, ascending, without the infinite one.
            registry: where to register.
        """
        self.name = name
        self.documentation = documentation
        self.label_names = tuple(labels)
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Series] = {}
        registry.register(self)

    def labels(self, *values: str, more_bounds: Iterable[float] = ()) -> Series:
        """Returns the series of some label values; to find one costs more than to observe.

        A series that is asked for with bounds that it has not begins anew, which Prometheus takes
        for a restart. One that is asked for with fewer keeps those it has.

        Args:
            values: of the labels, in order.
            more_bounds: beside those of the metric.

        Raises:
            ValueError: not one value per label.
        """
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has {len(self.label_names)} labels, found {len(values)}")
        series = self._series.get(values)
        known = self._bounds if series is None else series.bounds
        missing = set(more_bounds) - set(known)
        if series is None:
            series = self._series[values] = Series(sorted({*known, *missing}))
        elif missing:
            series.begin_anew(sorted({*known, *missing}))
        return series

    def describe(self) -> list[Metric]:
        """Returns the metric without samples, by which the registry knows its name."""
        return [HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)]

    def collect(self) -> list[Metric]:
        """Returns the samples of all series."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)
        for values, series in list(self._series.items()):
            buckets, total = series.read()
            # Each element may have an exemplar, or None; the stubs know of two lengths only.
            family.add_metric(values, buckets, total)  # type: ignore[arg-type]
        return [family]
