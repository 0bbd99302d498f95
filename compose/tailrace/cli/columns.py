"""Text in columns that is never cut, so that addresses can be copied from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

_GAP = "  "


def print_columns(
    console: Console, rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None
) -> None:
    """Prints rows in columns, each as wide as its longest cell.

    Args:
        console: where to.
        rows: cells by row; the first row is the heading.
        styles: style of cells with a certain text.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for place, row in enumerate(rows):
        line = Text(style="dim" if place == 0 else "")
        for cell, width in zip(row, widths, strict=True):
            line.append(cell, style=(styles or {}).get(cell, ""))
            line.append(" " * (width - len(cell)) + _GAP)
        line.rstrip()
        console.print(line, soft_wrap=True)
