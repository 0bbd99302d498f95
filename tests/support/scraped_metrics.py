"""What processes say when they are scraped: metrics by name, and series."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

ACCEPT = "application/openmetrics-text; version=1.0.0"

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Scraped:
    """One scrape.

    Attributes:
        kinds: of all metrics, by name; counters end in `_total`.
        series: all series, by name and labels; those of a histogram are its buckets and so on.
        labels: names of the labels of each metric that has series.
        exemplars: trace ids, by metric.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    series: dict[Series, float] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    exemplars: dict[str, set[str]] = field(default_factory=dict)


def scrape(port: int) -> Scraped:
    """Returns what a process on loopback says; OpenMetrics, read by prometheus_client."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        text = answer.read().decode()
    found = Scraped()
    parse: Any = text_string_to_metric_families
    for family in parse(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.kinds[name] = family.type
        for sample in family.samples:
            found.series[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
            found.labels.setdefault(name, set()).update(sample.labels.keys() - {"le"})
            if sample.exemplar is not None:
                found.exemplars.setdefault(name, set()).add(sample.exemplar.labels["trace_id"])
    return found
