"""Latency, rate and errors over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.time_slices import TimeSlice
from tailrace.loadtest.report.html_axis import Scale, plot_heights, value_scale
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_moments import PERCENT_NAMES, Course, Moment
from tailrace.loadtest.report.html_parts import figure, fold, section, table
from tailrace.loadtest.report.html_text import count, duration, tick_duration

_LINES = ("line-p50", "line-p99", "line-max")
_HEIGHT = 290.0
_RATE_HEIGHT = 190.0


def time_section(result: RunResult, course: Course) -> Html:
    """Returns latency, rate and errors over time."""
    moments = course.moments
    length = tick_duration(result.tally.slices.length_ns)
    figures = []
    if any(one.latencies_ns for one in moments):
        caption = f"Latency of the calls that ended in each {length} of the run."
        legend = list(zip(_LINES, PERCENT_NAMES, strict=True))
        figures.append(figure(_latencies(course), legend=legend, caption=caption))
    rates = [("line-ended", "calls that ended"), ("line-started", "calls that were made")]
    if any(one.slice.failed for one in moments):
        rates.append(("fill-failed", "of those that ended, failed"))
    figures.append(figure(_rates(course), legend=rates, caption="Calls a second."))
    return section(
        "Over time", figures, fold(f"Each {length} in figures", _table(course)), id_="time"
    )


def _table(course: Course) -> Html:
    rows = [
        [
            course.span(one),
            count(one.slice.started),
            count(one.slice.ended),
            count(one.slice.failed),
            *(map(duration, one.latencies_ns or ())),
            *("" for _ in PERCENT_NAMES[len(one.latencies_ns) :]),
        ]
        for one in course.moments
    ]
    return table("By time", ("time", "made", "ended", "failed", *PERCENT_NAMES), rows)


def _latencies(course: Course) -> Html:
    values = [value for one in course.moments for value in one.latencies_ns]
    y = value_scale(min(values), max(values), *plot_heights(_HEIGHT))
    # p50 lies on top.
    lines = [
        _line(course, y, class_, partial(_latency, place=place))
        for place, class_ in reversed(list(enumerate(_LINES)))
    ]
    title = "Latency over time"
    return course.frame(
        lines, y=y, height=_HEIGHT, title=title, y_title="latency", y_text=tick_duration
    )


def _latency(moment: Moment, place: int) -> float | None:
    return moment.latencies_ns[place] if moment.latencies_ns else None


def _rates(course: Course) -> Html:
    whole_s = max(one.length_s for one in course.moments)

    def rate(count_of: Callable[[TimeSlice], int]) -> Callable[[Moment], float | None]:
        # A slice that the run's end cut short says little about a rate.
        def of(moment: Moment) -> float | None:
            whole = moment.length_s > 0.5 * whole_s or len(course.moments) == 1
            return count_of(moment.slice) / moment.length_s if whole else None

        return of

    started, ended = rate(lambda one: one.started), rate(lambda one: one.ended)
    most = max((max(started(one) or 0, ended(one) or 0) for one in course.moments), default=0)
    y = Scale(0.0, (most or 1) * 1.08, *plot_heights(_RATE_HEIGHT))
    return course.frame(
        _failures(course, y),
        _line(course, y, "line-started", started),
        _line(course, y, "line-ended", ended),
        y=y,
        height=_RATE_HEIGHT,
        title="Rate over time",
        y_title="calls/s",
        y_text=lambda value: f"{value:,.6g}",
    )


def _failures(course: Course, y: Scale) -> list[Html]:
    x = course.axis
    bars = []
    for one in course.moments:
        if one.slice.failed:
            # A single one among many is to be seen, too.
            height = max(y.start - y.place(one.slice.failed / one.length_s), 2.0)
            width = max(x.place(one.end) - x.place(one.start), 1.5)
            bars.append(
                element(
                    "rect",
                    class_="fill-failed",
                    x=x.place(one.start),
                    y=y.start - height,
                    width=width,
                    height=height,
                )
            )
    return bars


def _line(
    course: Course, y: Scale, class_: str, value_of: Callable[[Moment], float | None]
) -> Html:
    """Returns a line through the moments' middles, broken where there is no value."""
    x = course.axis
    runs: list[list[tuple[float, float]]] = [[]]
    for one in course.moments:
        value = value_of(one)
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x.place((one.start + one.end) / 2), y.place(value)))
    return element("g", [_run(points, class_) for points in runs if points])


def _run(points: Iterable[tuple[float, float]], class_: str) -> Html:
    told = [f"{across:.1f} {down:.1f}" for across, down in points]
    if len(told) == 1:
        # A short line with round ends is a dot, wide enough to be seen.
        told.append("h1")
        return element("path", d="M" + "".join(told), class_=f"line dot {class_}")
    return element("path", d="M" + "L".join(told), class_=f"line {class_}")
