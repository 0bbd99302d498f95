"""Rows with known outcomes, to try a mesh with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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
    """

    fields: dict[str, Any]
    positive: bool


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
    if section.label not in table.column_names:
        columns = ", ".join(table.column_names)
        raise LaunchError(f"{file} has no column {section.label!r} for the label, only: {columns}")
    places = list(spread(range(table.num_rows), count))
    random.Random(_SHUFFLE_SEED).shuffle(places)
    table = table.take(places)
    names = [name for name in table.column_names if name in fields]
    rows = table.select(names).to_pylist()
    labels = table.column(section.label).to_pylist()
    return [
        HeldOutRow({name: value for name, value in row.items() if value is not None}, bool(label))
        for row, label in zip(rows, labels, strict=True)
    ]


def spread(rows: Sequence[Row], count: int) -> Sequence[Row]:
    """Returns `count` of the rows, evenly spread over all of them, or all if there are fewer."""
    if count >= len(rows):
        return rows
    return [rows[place * len(rows) // count] for place in range(count)]
