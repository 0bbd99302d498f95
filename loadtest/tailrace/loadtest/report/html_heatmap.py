"""How many calls took how long, over time: a heat map."""

from __future__ import annotations

import math

import numpy as np

from tailrace.loadtest.measure.latency_histogram import Int64s, bucket_end
from tailrace.loadtest.report.html_axis import Scale, plot_heights
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_moments import Course
from tailrace.loadtest.report.html_parts import figure, section
from tailrace.loadtest.report.html_text import count, tick_duration

_HEIGHT = 300.0
_ROWS = 36
_LEVELS = 7


def heatmap_section(course: Course) -> Html:
    """Returns a map of all calls whose latency counts, by time and by latency."""
    places = [place for one in course.moments for place in one.slice.buckets]
    least, most = _ns(min(places)), _ns(max(places))
    # Where all calls took about the same, that is in the middle of some room.
    spread = max((most / least) ** 0.04, 4 * least / most, 1.0)
    scale = Scale(least / spread, most * spread, *plot_heights(_HEIGHT), log=True)
    cells = _cells(course, scale)
    bounds = _bounds(int(cells.max()))
    levels = [
        (f"heat-{colour}", least, beyond)
        for colour, least, beyond in zip(
            _colours(len(bounds) - 1), bounds, bounds[1:], strict=False
        )
    ]
    drawing = course.frame(
        [_level(course, scale, cells, *level) for level in levels],
        y=scale,
        height=_HEIGHT,
        title="Calls by time and latency",
        y_title="latency",
        y_text=tick_duration,
    )
    caption = (
        "Calls in each cell. Two bands in a column are two kinds of calls, say, or a slow replica."
    )
    legend = [(class_, _range(least, beyond)) for class_, least, beyond in levels]
    return section("Heat map", figure(drawing, legend=legend, caption=caption), id_="heatmap")


def _cells(course: Course, scale: Scale) -> Int64s:
    """Returns calls by moment and by row from below, shape (moments, _ROWS)."""
    cells = np.zeros((len(course.moments), _ROWS), np.int64)
    span = math.log(scale.high / scale.low)
    for column, one in enumerate(course.moments):
        for place, found in one.slice.buckets.items():
            part = math.log(_ns(place) / scale.low) / span
            cells[column, min(int(part * _ROWS), _ROWS - 1)] += found
    return cells


def _bounds(most: int) -> list[int]:
    """Returns the least count of each level, then one more than the largest: by equal ratios."""
    steps = [round((most + 1) ** (level / _LEVELS)) for level in range(_LEVELS + 1)]
    return sorted(set(steps))


def _colours(levels: int) -> list[int]:
    """Returns colours that are far from each other; a middle one where there is one level."""
    if levels == 1:
        return [_LEVELS // 2]
    return [round(level * (_LEVELS - 1) / (levels - 1)) for level in range(levels)]


def _ns(bucket: int) -> int:
    return max(bucket_end(bucket), 1)


def _range(least: int, beyond: int) -> str:
    if beyond - least == 1:
        return count(least)
    return f"{count(least)}\N{EN DASH}{count(beyond - 1)}"


def _level(
    course: Course, scale: Scale, cells: Int64s, class_: str, least: int, beyond: int
) -> Html:
    """Returns all cells of a level as one path: a page of thousands of elements is slow."""
    x, height = course.axis, (scale.start - scale.end) / _ROWS
    pieces = []
    for column, row in np.argwhere((cells >= least) & (cells < beyond)).tolist():
        moment = course.moments[column]
        left, right = x.place(moment.start), x.place(moment.end)
        top = scale.start - (row + 1) * height
        pieces.append(f"M{left:.1f} {top:.1f}H{right:.1f}V{top + height:.1f}H{left:.1f}Z")
    return element("path", d="".join(pieces), class_=class_)
