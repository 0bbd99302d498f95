"""Columns on their way from hop to hop, opened only when rows have left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.runtime.columns import Block, Columns
from tailrace.runtime.hop_answer import PassedBlock
from tailrace.runtime.wire import to_block


@dataclass(frozen=True, slots=True)
class HopColumns:
    """Columns as a hop handed them on.

    Attributes:
        rows: convoy indices of the rows in the blocks, in order.
        blocks: as they came.
    """

    rows: list[int]
    blocks: Sequence[PassedBlock]

    def take(self, rows: list[int]) -> Sequence[PassedBlock]:
        """Returns the blocks for these convoy rows; as they are where no row has left."""
        if rows is self.rows or rows == self.rows:
            return self.blocks
        return self.decode(rows).blocks

    def decode(self, rows: list[int]) -> Columns:
        """Returns the columns for these convoy rows."""
        columns = Columns(len(self.rows))
        columns.extend(
            to_block(block, len(self.rows), f"blocks[{place}]")
            for place, block in enumerate(self.blocks)
        )
        if rows == self.rows:
            return columns
        places = {row: place for place, row in enumerate(self.rows)}
        return columns.take(np.array([places[row] for row in rows], np.intp))

    def select(self, names: Sequence[str]) -> HopColumns:
        """Returns only the columns of these names."""
        return HopColumns(self.rows, self.decode(self.rows).select(names).blocks)

    def read_by(self, names: Collection[str]) -> HopColumns:
        """Returns the blocks in which any column has one of these names, unopened."""
        blocks = [block for block in self.blocks if any(name in names for name in _names(block))]
        return HopColumns(self.rows, blocks)


def join_columns(rows: list[int], *parts: HopColumns) -> HopColumns:
    """Returns the columns of several hops side by side, for these convoy rows."""
    return HopColumns(rows, [block for part in parts for block in part.take(rows)])


def _names(block: PassedBlock) -> Sequence[str]:
    # Of a message by a slice, as iterating over a repeated field costs three times as much.
    return block.names if isinstance(block, Block) else block.names[:]
