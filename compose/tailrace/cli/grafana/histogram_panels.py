"""Panels of histograms: percentiles over time, and how observations spread over the buckets."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.panel import Panel, Query


def percentiles(
    title: str,
    description: str,
    histogram: str,
    where: str = "",
    *,
    unit: str = "s",
    by: Sequence[str] = (),
    levels: Sequence[float] = (0.5, 0.95, 0.99),
    width: int = 8,
    exemplars: bool = False,
) -> Panel:
    """Returns percentiles of a histogram over time.

    Args:
        title: what is shown.
        description: how to read it.
        histogram: name of the metric, without `_bucket`.
        where: label matchers.
        unit: Grafana's name of what the histogram observes.
        by: labels, each of whose values gets lines of its own.
        levels: 0 to 1.
        width: columns of 24.
        exemplars: whether traces of single requests are shown as dots.
    """
    labels = " ".join(f"{{{{{label}}}}}" for label in by)
    queries = [
        Query(
            promql.quantile(level, histogram, where, by),
            f"{labels} p{100 * level:g}".strip(),
            # Once: each query would show the same ones.
            exemplars=exemplars and level == levels[-1],
        )
        for level in levels
    ]
    return panel_kinds.lines(title, description, queries, unit=unit, width=width)


def spread(
    title: str,
    description: str,
    histogram: str,
    where: str = "",
    *,
    unit: str = "s",
    width: int = 12,
    exemplars: bool = False,
) -> Panel:
    """Returns a heatmap of a histogram's buckets; arguments are those of `percentiles`."""
    return panel_kinds.heatmap(
        title,
        description,
        promql.buckets(histogram, where),
        unit=unit,
        width=width,
        exemplars=exemplars,
    )
