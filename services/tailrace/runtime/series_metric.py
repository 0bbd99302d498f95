"""Metrics that write themselves, a series at a time.

prometheus_client makes an object of every sample and formats it anew at each scrape, which takes
ten microseconds a line. Here a series keeps what its lines begin with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample


class SeriesMetric(ABC, Metric):
    """What a collector hands out: the text by parts, or samples for those who ask for them."""

    def __init__(self, name: str, documentation: str, kind: str) -> None:
        """Keeps the parts.

        Args:
            name: of the metric, without `_total`.
            documentation: one sentence.
            kind: `counter` or `histogram`.
        """
        super().__init__(name, documentation, kind)

    @property
    def samples(self) -> list[Sample]:
        """All samples, made anew."""
        return self.make_samples()

    @samples.setter
    def samples(self, _: list[Sample]) -> None:
        """Is what the constructor of the class above does."""

    @abstractmethod
    def make_samples(self) -> list[Sample]:
        """Returns all samples."""

    @abstractmethod
    def series_texts(self, *, openmetrics: bool) -> Iterator[str]:
        """Yields the lines of one series after another.

        Args:
            openmetrics: whether in OpenMetrics, with exemplars; else in Prometheus' own format.
        """

    def head_text(self, *, openmetrics: bool) -> str:
        """Returns the lines before the first series."""
        name = self.name
        if self.type == "counter" and not openmetrics:
            name += "_total"
        # Only OpenMetrics escapes quotes here.
        documentation = _escaped(self.documentation)
        if not openmetrics:
            documentation = documentation.replace('\\"', '"')
        return f"# HELP {name} {documentation}\n# TYPE {name} {self.type}\n"


def labels_text(names: Sequence[str], values: Sequence[str]) -> str:
    """Returns labels as lines have them between their braces."""
    return ",".join(
        [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
