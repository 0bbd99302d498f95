"""Counters that cost hot paths next to nothing.

prometheus_client's counters take a lock for each count, about half a microsecond. These are plain
numbers: each series is counted in one thread, and read in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tailrace.runtime.series_metric import SeriesMetric, labels_text


class Count:
    """One series. Counted in one thread, read in any.

    Attributes:
        value: what was counted so far.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Has counted nothing."""
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Counts; `amount` is not negative."""
        self.value += amount


class Counter(Collector):
    """A metric of such series, by labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """Registers the metric; without labels it has its one series at once.

        Args:
            name: ends in `_total`.
            documentation: one sentence.
            labels: names of the labels.
            registry: where to register.
        """
        self.name = name
        self.documentation = documentation
        self.label_names = tuple(labels)
        self._series: dict[tuple[str, ...], Count] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Returns the series of some label values, new ones at zero.

        Args:
            values: of the labels, in order.

        Raises:
            ValueError: not one value per label.
        """
        series = self._series.get(values)
        if series is None:
            if len(values) != len(self.label_names):
                raise ValueError(
                    f"{self.name} has {len(self.label_names)} labels, found {len(values)}"
                )
            series = self._series.setdefault(values, Count())
        return series

    def describe(self) -> list[Metric]:
        """Returns the metric without samples, by which the registry knows its name."""
        return [_CounterMetric(self.name, self.documentation, self.label_names, {})]

    def collect(self) -> list[Metric]:
        """Returns all series."""
        series = dict(self._series)
        return [_CounterMetric(self.name, self.documentation, self.label_names, series)]


class _CounterMetric(SeriesMetric):
    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        series: dict[tuple[str, ...], Count],
    ) -> None:
        super().__init__(name.removesuffix("_total"), documentation, "counter")
        self._label_names = label_names
        self._series = series

    def make_samples(self) -> list[Sample]:
        return [
            Sample(
                f"{self.name}_total",
                dict(zip(self._label_names, values, strict=True)),
                float(series.value),
            )
            for values, series in self._series.items()
        ]

    def series_texts(self, *, openmetrics: bool) -> Iterator[str]:
        for values, series in self._series.items():
            labels = labels_text(self._label_names, values)
            braces = f"{{{labels}}}" if labels else ""
            yield f"{self.name}_total{braces} {series.value}.0\n"
