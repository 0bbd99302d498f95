"""Rows with known outcomes, to try a mesh with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tailrace.cli.example import HeldOutSection
from tailrace.cli.local.errors import LaunchError

_SHUFFLE_SEED = 7

Row = TypeVar("Row")


@dataclass(frozen=True)
class HeldOutRow:
    """One row.

    Attributes:
        fields: the request, by field name.
        positive: what came of it.
        instant: when it is asked, if that matters.
        expected: what the output that ranks rows has to be, if that is known.
    """

    fields: dict[str, Any]
    positive: bool
    instant: datetime | None = None
    expected: float | None = None


def read_held_out(
    file: Path, section: HeldOutSection, fields: set[str], count: int
) -> list[HeldOutRow]:
    """Returns `count` rows of the file, evenly spread over all of them, or all if it has fewer.

    They come in an order that is always the same and not the file's, so that the first of
    them are as good a sample as any.

    Raises:
        LaunchError: there is no column for the label.

    Args:
        file: Parquet, with a boolean column for the label.
        section: which column that is.
        fields: the request fields of the pipeline; other columns are left out, and so are
            fields that are null in a row.
        count: how many rows.
    """
    table = pq.read_table(file)
    places = list(spread(range(table.num_rows), count))
    random.Random(_SHUFFLE_SEED).shuffle(places)
    return _rows(file, table.take(places), section.label, fields)


def read_stretch(file: Path, section: HeldOutSection, fields: set[str]) -> list[HeldOutRow]:
    """Returns all rows of a file, in its order, with what is expected of each.

    Raises:
        LaunchError: there is no column for the label, or for what is expected.

    Args:
        file: Parquet, as `read_held_out` takes it.
        section: which columns those are.
        fields: the request fields of the pipeline.
    """
    table = pq.read_table(file)
    rows = _rows(file, table, section.label, fields)
    column = section.replay.expected if section.replay else None
    if column is None:
        return rows
    expected = _column(file, table, column, "what is expected")
    return [replace(row, expected=value) for row, value in zip(rows, expected, strict=True)]


def _rows(file: Path, table: pa.Table, label: str, fields: set[str]) -> list[HeldOutRow]:
    labels = _column(file, table, label, "the label")
    names = [name for name in table.column_names if name in fields]
    rows = table.select(names).to_pylist()
    return [
        HeldOutRow({name: value for name, value in row.items() if value is not None}, bool(label))
        for row, label in zip(rows, labels, strict=True)
    ]


def _column(file: Path, table: pa.Table, name: str, what: str) -> list[Any]:
    if name not in table.column_names:
        columns = ", ".join(table.column_names)
        raise LaunchError(f"{file} has no column {name!r} for {what}, only: {columns}")
    values: list[Any] = table.column(name).to_pylist()
    return values


def spread(rows: Sequence[Row], count: int) -> Sequence[Row]:
    """Returns `count` of the rows, evenly spread over all of them, or all if there are fewer."""
    if count >= len(rows):
        return rows
    return [rows[place * len(rows) // count] for place in range(count)]
