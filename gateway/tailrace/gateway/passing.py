"""Columns on their way from hop to hop, opened only when rows have left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.runtime.columns import Columns
from tailrace.runtime.wire import block_from_proto, block_to_proto
from tailrace.v1 import tensor_pb2


@dataclass(frozen=True, slots=True)
class HopColumns:
    """Columns as a hop sent them.

    Attributes:
        rows: convoy indices of the rows in the blocks, in order.
        blocks: as received.
    """

    rows: list[int]
    blocks: list[tensor_pb2.ColumnBlock]

    def take(self, rows: list[int]) -> list[tensor_pb2.ColumnBlock]:
        """Returns the blocks for these convoy rows; as they are where no row has left."""
        if rows is self.rows or rows == self.rows:
            return self.blocks
        return [block_to_proto(block) for block in self.decode(rows).blocks]

    def decode(self, rows: list[int]) -> Columns:
        """Returns the columns for these convoy rows."""
        columns = Columns(len(self.rows))
        columns.extend(
            block_from_proto(block, len(self.rows), f"blocks[{place}]")
            for place, block in enumerate(self.blocks)
        )
        if rows == self.rows:
            return columns
        places = {row: place for place, row in enumerate(self.rows)}
        return columns.take(np.array([places[row] for row in rows], np.intp))

    def select(self, names: Sequence[str]) -> HopColumns:
        """Returns only the columns of these names."""
        columns = self.decode(self.rows).select(names)
        return HopColumns(self.rows, [block_to_proto(block) for block in columns.blocks])


def join_columns(rows: list[int], *parts: HopColumns) -> HopColumns:
    """Returns the columns of several hops side by side, for these convoy rows."""
    return HopColumns(rows, [block for part in parts for block in part.take(rows)])
