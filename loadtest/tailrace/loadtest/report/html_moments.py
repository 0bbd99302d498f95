"""A run cut into slices of time, and the axis that they lie on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.time_slices import TimeSlice
from tailrace.loadtest.report.html_axis import LEFT, RIGHT, Scale, frame
from tailrace.loadtest.report.html_element import Content, Html, element
from tailrace.loadtest.report.html_text import count, duration

_PERCENTS = (50.0, 99.0, 100.0)
PERCENT_NAMES = ("p50", "p99", "slowest")
# From so many seconds on, times are told in these.
_UNITS = ((36_000, 3600, "h"), (600, 60, "min"), (1, 1, "s"), (0, 0.001, "ms"))


@dataclass(frozen=True, slots=True)
class Moment:
    """What one slice of time came to.

    Attributes:
        start: after the run's start, in the unit of its `Course`.
        end: the same; of the last one, the run's end.
        length_s: its length, in seconds.
        slice: what happened.
        latencies_ns: p50, p99 and the largest, in nanoseconds; empty if there is none.
    """

    start: float
    end: float
    length_s: float
    slice: TimeSlice
    latencies_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class Course:
    """A run by time.

    Attributes:
        moments: in order, without holes.
        unit: that times are told in: `ms`, `s`, `min`, `h`.
    """

    moments: list[Moment]
    unit: str

    @property
    def axis(self) -> Scale:
        """The horizontal axis of charts over time."""
        return Scale(0.0, self.moments[-1].end, LEFT, RIGHT)

    def span(self, moment: Moment) -> str:
        """Returns when a moment was: `1.5 to 1.75 s`."""
        return f"{moment.start:.5g} to {moment.end:.5g} {self.unit}"

    def hover(self, y: Scale) -> list[Html]:
        """Returns invisible columns that tell their moment to who points at them."""
        x = self.axis
        return [
            element(
                "rect",
                element("title", self._words(one)),
                class_="hover",
                x=x.place(one.start),
                y=y.end,
                width=x.place(one.end) - x.place(one.start),
                height=y.start - y.end,
            )
            for one in self.moments
        ]

    def frame(
        self,
        *body: Content,
        y: Scale,
        height: float,
        title: str,
        y_title: str,
        y_text: Callable[[float], str],
    ) -> Html:
        """Returns a drawing over time; see `html_axis.frame`."""
        return frame(
            body,
            self.hover(y),
            x=self.axis,
            y=y,
            height=height,
            title=title,
            x_title="time since the start",
            y_title=y_title,
            x_text=lambda value: f"{value:.5g} {self.unit}",
            y_text=y_text,
        )

    def _words(self, moment: Moment) -> str:
        words = f"{self.span(moment)}: {count(moment.slice.ended)} ended"
        if moment.slice.failed:
            words += f", {count(moment.slice.failed)} failed"
        told = zip(PERCENT_NAMES, moment.latencies_ns, strict=False)
        return ", ".join([words, *(f"{name} {duration(value)}" for name, value in told)])


def course_of(result: RunResult) -> Course:
    """Returns a run by time; its moments are empty if nothing happened."""
    slices = result.tally.slices
    length_s, whole_s = slices.length_ns / 1e9, result.duration_ns / 1e9
    size, unit = next((size, unit) for least, size, unit in _UNITS if whole_s >= least)
    found = []
    for place, one in enumerate(slices.slices):
        start_s, end_s = place * length_s, (place + 1) * length_s
        if place == len(slices.slices) - 1 and start_s < whole_s < end_s:
            end_s = whole_s
        latencies = one.percentiles(_PERCENTS) if one.buckets else ()
        found.append(Moment(start_s / size, end_s / size, end_s - start_s, one, latencies))
    return Course(found, unit)
