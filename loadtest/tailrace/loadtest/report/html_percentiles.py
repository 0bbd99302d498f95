"""Latency by percentile: the curve and the table."""

from __future__ import annotations

import math

import numpy as np

from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report import html_axis as axis
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_parts import figure, section, table
from tailrace.loadtest.report.html_text import calls, duration, percentile_name, tick_duration

_PERCENTS = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_POINTS = 240
_HEIGHT = 330.0


def percentile_section(result: RunResult) -> Html:
    """Returns the latency by percentile, from the due and from the sent instant if they differ."""
    latencies = result.tally.corrected
    curves = [("corrected", "from when calls were due", latencies)]
    if result.corrected_differs:
        curves.append(("uncorrected", "from when calls were sent", result.tally.uncorrected))
    caption = "The axis counts the calls beyond: p99.9 is as far from p99 as that is from p90."
    if result.corrected_differs:
        caption += (
            " Where a server stops, calls that were due meanwhile are sent late:"
            " only the latency from when they were due has that wait in it."
        )
    return section(
        "Latency by percentile",
        figure(
            _curve([(name, histogram) for name, _, histogram in curves]),
            legend=[(f"line-{name}", told) for name, told, _ in curves if len(curves) > 1],
            caption=caption,
        ),
        table(
            f"Latency of {calls(latencies.count)}",
            (
                "percentile",
                *(f"latency {told}" if len(curves) > 1 else "latency" for _, told, _ in curves),
            ),
            _rows([histogram for _, _, histogram in curves]),
        ),
        id_="percentiles",
    )


def _rows(histograms: list[LatencyHistogram]) -> list[list[str]]:
    # Beyond, it would be less than one call.
    percents = [percent for percent in _PERCENTS if _beyond(histograms[0], percent) >= 1]
    columns = [histogram.percentiles(percents) for histogram in histograms]
    rows = [["fastest", *(duration(histogram.minimum_ns) for histogram in histograms)]]
    for percent, *values in zip(percents, *columns, strict=True):
        rows.append([percentile_name(percent), *map(duration, values)])
    rows.append(["slowest", *(duration(histogram.maximum_ns) for histogram in histograms)])
    rows.append(["mean", *(duration(histogram.mean_ns) for histogram in histograms)])
    return rows


def _beyond(histogram: LatencyHistogram, percent: float) -> float:
    return histogram.count * (100 - percent) / 100 + 1e-6


def _curve(curves: list[tuple[str, LatencyHistogram]]) -> Html:
    nines = max(1.0, math.log10(curves[0][1].count))
    x = axis.Scale(0.0, nines, axis.LEFT, axis.RIGHT)
    least = min(histogram.minimum_ns for _, histogram in curves)
    most = max(histogram.maximum_ns for _, histogram in curves)
    y = axis.value_scale(least, most, *axis.plot_heights(_HEIGHT))
    parts = np.linspace(0, 1, _POINTS)
    percents = (100 * (1 - 10 ** -(nines * parts))).tolist()
    drawn = []
    # What is told first lies on top.
    for name, histogram in reversed(curves):
        points = [
            f"{x.place(nines * part):.1f} {y.place(value):.1f}"
            for part, value in zip(parts, histogram.percentiles(percents), strict=True)
        ]
        drawn.append(element("path", d="M" + "L".join(points), class_=f"line line-{name}"))
    marks = [percent for percent in _PERCENTS if _beyond(curves[0][1], percent) >= 1]
    for percent, value in zip(marks, curves[0][1].percentiles(marks), strict=True):
        told = element("title", f"{percentile_name(percent)}: {duration(value)}")
        place = x.place(_nines(percent))
        drawn.append(
            element("circle", told, cx=place, cy=y.place(value), r=4, class_="mark corrected")
        )
    shown = [percent for percent in _PERCENTS if percent >= 50 and _nines(percent) <= nines]
    return axis.frame(
        drawn,
        x=x,
        y=y,
        height=_HEIGHT,
        title="Latency by percentile",
        x_title="percentile",
        y_title="latency",
        x_text=lambda value: percentile_name(round(100 * (1 - 10**-value), 6)),
        y_text=tick_duration,
        x_ticks=[_nines(percent) for percent in shown],
    )


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)
