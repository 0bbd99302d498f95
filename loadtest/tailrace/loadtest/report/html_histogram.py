"""How many calls took how long: bars."""

from __future__ import annotations

import numpy as np

from tailrace.loadtest.measure.latency_histogram import LatencyHistogram, bucket_end
from tailrace.loadtest.report.html_axis import LEFT, RIGHT, Scale, frame, plot_heights, value_scale
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_parts import figure, fold, section, table
from tailrace.loadtest.report.html_text import (
    calls,
    count,
    duration,
    share,
    tick_duration,
)

_BARS = 40
_HEIGHT = 260.0


def histogram_section(latencies: LatencyHistogram) -> Html:
    """Returns calls by latency.

    Args:
        latencies: not empty.
    """
    x = value_scale(latencies.minimum_ns, latencies.maximum_ns, LEFT, RIGHT)
    edges = np.array([x.value(part) for part in np.linspace(0, 1, _BARS + 1)])
    places, counts = latencies.filled()
    ends = np.array([min(bucket_end(int(place)), latencies.maximum_ns) for place in places])
    under = np.clip(np.searchsorted(edges, ends) - 1, 0, _BARS - 1)
    bars = np.bincount(under, counts, minlength=_BARS).astype(int).tolist()
    y = Scale(0.0, max(bars) * 1.06, *plot_heights(_HEIGHT), whole=True)
    told = [
        f"{duration(low)} to {duration(high)}"
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    drawing = frame(
        [
            _bar(x, y, edges[place], edges[place + 1], bar, f"{told[place]}: {calls(bar)}")
            for place, bar in enumerate(bars)
            if bar
        ],
        x=x,
        y=y,
        height=_HEIGHT,
        title="Calls by latency",
        x_title="latency (log scale)" if x.log else "latency",
        y_title="calls",
        x_text=tick_duration,
        y_text=lambda value: f"{value:,.0f}",
    )
    rows = [
        (words, count(bar), share(bar, latencies.count))
        for words, bar in zip(told, bars, strict=True)
        if bar
    ]
    return section(
        "Histogram",
        figure(drawing),
        fold("Each bar in figures", table("Calls by latency", ("latency", "calls", "share"), rows)),
        id_="histogram",
    )


def _bar(x: Scale, y: Scale, low: float, high: float, found: int, told: str) -> Html:
    left, right = x.place(low), x.place(high)
    # A single call among thousands is to be seen, too.
    height = max(y.start - y.place(found), 1.5)
    return element(
        "rect",
        element("title", told),
        class_="bar",
        x=left + 0.5,
        y=y.start - height,
        width=max(right - left - 1, 1),
        height=height,
    )
