"""Bars whose pieces make up a whole."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.loadtest.report.html_axis import WIDTH
from tailrace.loadtest.report.html_element import Html, element

_LEFT = 150.0
_RIGHT = WIDTH - 90.0
_BAR = 30.0
_STEP = 42.0
# What a letter takes, nearly, and the room that a word needs around it.
_LETTER = 7.0
_AROUND = 10.0

Piece = tuple[str, float, str, str]
"""Class of its colour, its size, what it tells who points at it, what is written on it."""


def stacked(bars: Sequence[tuple[str, str, Sequence[Piece]]], title: str) -> Html:
    """Returns a drawing of bars of equal length, which are wholes of different size.

    Args:
        bars: what each is called, how large the whole is, and its pieces.
        title: what it shows, for who cannot see it.
    """
    drawn = []
    for place, (name, whole, pieces) in enumerate(bars):
        top = 6 + place * _STEP
        middle = top + _BAR / 2 + 4
        drawn.append(element("text", name, x=_LEFT - 10, y=middle, text_anchor="end"))
        drawn.append(element("text", whole, x=_RIGHT + 8, y=middle, class_="strong"))
        drawn.extend(_pieces(pieces, top))
    return element(
        "svg",
        element("title", title),
        drawn,
        viewBox=f"0 0 {WIDTH:g} {len(bars) * _STEP:g}",
        role="img",
    )


def _pieces(pieces: Sequence[Piece], top: float) -> list[Html]:
    total = sum(size for _, size, _, _ in pieces)
    drawn, left = [], _LEFT
    for class_, size, told, written in pieces:
        width = size / total * (_RIGHT - _LEFT) if total else 0.0
        if not width:
            continue
        drawn.append(
            element(
                "rect",
                element("title", told),
                class_=f"piece {class_}",
                x=left,
                y=top,
                width=width,
                height=_BAR,
            )
        )
        if len(written) * _LETTER + _AROUND < width:
            middle = left + width / 2
            drawn.append(
                element(
                    "text",
                    written,
                    class_="written",
                    x=middle,
                    y=top + _BAR / 2 + 4,
                    text_anchor="middle",
                )
            )
        left += width
    return drawn
