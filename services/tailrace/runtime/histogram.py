"""Histograms that count rows, with bounds of their own per series and exemplars.

prometheus_client's counts one observation at a time. What a convoy spends, each of its requests
has spent: a histogram that counted convoys would hide the crowded ones, which are the slow ones.
And an objective ("99 % within 80 ms") can only be checked where 80 ms is a bound, so a series may
have bounds that the others have not.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from tailrace.runtime.series_metric import SeriesMetric, labels_text


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
    """One series. Observed in one thread, read in any.

    Attributes:
        heads: what its lines begin with, one for each bucket; kept for the next scrape.
    """

    __slots__ = ("_state", "heads")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Has counted nothing.

        Args:
            bounds: upper bounds, ascending, without the infinite one.
        """
        self._state = _State.empty(bounds)
        self.heads: list[str] | None = None

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
        self.heads = None
        self._state = _State.empty(bounds)

    def read(self) -> tuple[tuple[float, ...], list[int], list[Exemplar | None], float]:
        """Returns bounds, cumulated counts, exemplars, both with one more, and the sum."""
        state = self._state
        return state.bounds, list(accumulate(state.counts)), list(state.exemplars), state.total


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

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds of every series, ascending, without the infinite one."""
        return self._bounds

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
            # Pipelines are loaded in threads: all have to get the same one.
            series = self._series.setdefault(values, Series(sorted({*known, *missing})))
        elif missing:
            series.begin_anew(sorted({*known, *missing}))
        return series

    def describe(self) -> list[Metric]:
        """Returns the metric without samples, by which the registry knows its name."""
        return [_HistogramMetric(self.name, self.documentation, self.label_names, {})]

    def collect(self) -> list[Metric]:
        """Returns all series."""
        series = dict(self._series)
        return [_HistogramMetric(self.name, self.documentation, self.label_names, series)]


class _HistogramMetric(SeriesMetric):
    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        series: dict[tuple[str, ...], Series],
    ) -> None:
        super().__init__(name, documentation, "histogram")
        self._label_names = label_names
        self._series = series

    def make_samples(self) -> list[Sample]:
        samples = []
        for values, series in self._series.items():
            labels = dict(zip(self._label_names, values, strict=True))
            bounds, counts, exemplars, total = series.read()
            for bound, count, exemplar in zip(_texts(bounds), counts, exemplars, strict=True):
                more = {**labels, "le": bound}
                samples.append(Sample(f"{self.name}_bucket", more, float(count), exemplar=exemplar))
            samples.append(Sample(f"{self.name}_count", labels, float(counts[-1])))
            samples.append(Sample(f"{self.name}_sum", labels, total))
        return samples

    def series_texts(self, *, openmetrics: bool) -> Iterator[str]:
        for values, series in self._series.items():
            bounds, counts, exemplars, total = series.read()
            if series.heads is None or len(series.heads) != len(counts):
                series.heads = self._heads(values, bounds)
            lines = [f"{head}{count}.0\n" for head, count in zip(series.heads, counts, strict=True)]
            if openmetrics:
                for place, exemplar in enumerate(exemplars):
                    if exemplar is not None:
                        lines[place] = f"{lines[place][:-1]}{_exemplar_text(exemplar)}\n"
            labels = labels_text(self._label_names, values)
            braces = f"{{{labels}}}" if labels else ""
            lines.append(f"{self.name}_count{braces} {counts[-1]}.0\n")
            lines.append(f"{self.name}_sum{braces} {float(total)}\n")
            yield "".join(lines)

    def _heads(self, values: Sequence[str], bounds: Sequence[float]) -> list[str]:
        labels = (*self._label_names, "le")
        return [
            f"{self.name}_bucket{{{labels_text(labels, (*values, bound))}}} "
            for bound in _texts(bounds)
        ]


def _texts(bounds: Sequence[float]) -> list[str]:
    return [*[f"{float(bound)}" for bound in bounds], "+Inf"]


def _exemplar_text(exemplar: Exemplar) -> str:
    labels = labels_text(tuple(exemplar.labels), tuple(exemplar.labels.values()))
    return f" # {{{labels}}} {float(exemplar.value)} {exemplar.timestamp:.3f}"
