"""Columns of text."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = 3


def tabbed(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows in columns, each cell followed by three spaces at least, the last one too.

    That is how ghz aligns its distributions (Go's text/tabwriter).
    """
    widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)]
    return [
        "  " + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width + _GAP) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "".join(cells).rstrip())
    return lines
