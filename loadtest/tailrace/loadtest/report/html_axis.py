"""Axes of charts: from values to places, and the frame that charts are drawn in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.loadtest.report.html_element import Content, Html, element

WIDTH = 860.0
LEFT = 76.0
RIGHT = WIDTH - 14.0
_TOP = 12.0
_BELOW = 42.0
# Values that lie further apart than this are told on a logarithmic axis.
_LINEAR_UP_TO = 40.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values lie on an axis.

    Attributes:
        low: the least value; above 0 if logarithmic.
        high: the largest, above `low`.
        start: place of the least, in units of the drawing.
        end: place of the largest.
        log: True if equal distances are equal ratios.
        whole: True if there is nothing between whole numbers.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Returns where a value lies; at the nearer end, where it lies outside."""
        value = min(max(value, self.low), self.high)
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def value(self, part: float) -> float:
        """Returns the value at a part of the axis, 0 to 1."""
        if self.log:
            return float(self.low * (self.high / self.low) ** part)
        return self.low + part * (self.high - self.low)

    def ticks(self) -> list[float]:
        """Returns round values on the axis, not too many for its length."""
        # Beside each other, words take more room than above each other.
        most = max(2, int(abs(self.end - self.start) / (56 if self.end > self.start else 30)))
        if self.log:
            return _log_ticks(self, most)
        ticks = _linear_ticks(self.low, self.high, most)
        return [tick for tick in ticks if tick == int(tick)] if self.whole else ticks


def value_scale(least: float, most: float, start: float, end: float) -> Scale:
    """Returns an axis for nanoseconds from `least` to `most`, which is above 0.

    It begins at 0, or is logarithmic where the values differ by orders of magnitude.
    """
    if most / max(least, 1.0) > _LINEAR_UP_TO:
        least = max(least, 1.0)
        return Scale(least * 0.85, most * 1.15, start, end, log=True)
    return Scale(0.0, most * 1.06, start, end)


def plot_heights(height: float) -> tuple[float, float]:
    """Returns where the lower and the upper end of a frame's vertical axis lie."""
    return height - _BELOW, _TOP


def frame(
    *body: Content,
    x: Scale,
    y: Scale,
    height: float,
    title: str,
    x_title: str,
    y_title: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    x_ticks: list[float] | None = None,
) -> Html:
    """Returns a drawing with axes, grid and titles around it.

    Args:
        *body: what is drawn on them.
        x: the horizontal axis.
        y: the vertical one.
        height: of the drawing, which is `WIDTH` wide.
        title: what it shows, for who cannot see it.
        x_title: what the horizontal axis means.
        y_title: what the vertical one means.
        x_text: tells a value of the horizontal axis.
        y_text: tells one of the vertical axis.
        x_ticks: values to tell; None for those of the scale.
    """
    marks = []
    for value in y.ticks():
        place = y.place(value)
        marks.append(_line(x.start, place, x.end, place))
        marks.append(_text(y_text(value), x.start - 7, place + 4, "end"))
    for value in x.ticks() if x_ticks is None else x_ticks:
        place = x.place(value)
        marks.append(_line(place, y.start, place, y.start + 5))
        marks.append(_text(x_text(value), place, y.start + 18, "middle"))
    middle = (y.start + y.end) / 2
    scale = " (log scale)" if y.log else ""
    return element(
        "svg",
        element("title", title),
        element("g", marks, class_="axis"),
        element("path", class_="base", d=f"M{x.start:g} {y.start:g}H{x.end:g}"),
        body,
        _text(x_title, (x.start + x.end) / 2, height - 6, "middle", class_="axis-title"),
        element(
            "text",
            y_title + scale,
            class_="axis-title",
            text_anchor="middle",
            transform=f"translate(13 {middle:g}) rotate(-90)",
        ),
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> Html:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2)


def _text(told: str, x: float, y: float, anchor: str, class_: str | None = None) -> Html:
    return element("text", told, x=x, y=y, text_anchor=anchor, class_=class_)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= raw * 0.9999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(scale: Scale, most: int) -> list[float]:
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if scale.low <= tick <= scale.high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]
