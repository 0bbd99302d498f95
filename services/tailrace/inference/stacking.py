"""Puts columns of a batch side by side into one model input, whole blocks at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.conversion import Conversion, conversion
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.errors import InvalidBatch

MAX_PIECES = 16

Nulls = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Piece:
    """Columns that lie together in one block.

    Attributes:
        block: index of the block in the batch.
        places: where in the block they lie.
        conversion: what the change of type may do to their values.
    """

    block: int
    places: slice
    conversion: Conversion


@dataclass(frozen=True, slots=True)
class StackPlan:
    """How the columns of one model input are gathered from the blocks of one layout.

    Attributes:
        pieces: what to take, to be laid one after the other.
        order: where each column of the tensor lies among the pieces; None: in that order.
        overflows: whether a float may be too large for the tensor's type.
        ranged: whether an integer may be.
    """

    pieces: tuple[Piece, ...]
    order: NDArray[np.intp] | None
    overflows: bool
    ranged: bool

    def stack(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None, dtype: np.dtype[Any]
    ) -> Array:
        """Returns the columns as a tensor, [rows, columns], row-major.

        Args:
            blocks: of the batch.
            rows: the rows to take; None for all.
            dtype: of the tensor.
        """
        parts = [blocks[piece.block].values[piece.places] for piece in self.pieces]
        if self.overflows:
            with np.errstate(over="ignore"):
                stacked = np.concatenate(parts, dtype=dtype, casting="unsafe")
        else:
            stacked = np.concatenate(parts, dtype=dtype, casting="unsafe")
        return np.ascontiguousarray(self._arranged(stacked, rows))

    def nulls(self, blocks: Sequence[Block], rows: NDArray[np.intp] | None) -> Nulls | None:
        """Returns where the tensor's cells are null, [rows, columns]; None if none can be."""
        if all(blocks[piece.block].validity is None for piece in self.pieces):
            return None
        parts = [_validity(blocks[piece.block])[piece.places] for piece in self.pieces]
        return ~self._arranged(np.concatenate(parts), rows)

    def out_of_range(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None, dtype: DType
    ) -> Nulls | None:
        """Returns which integers the tensor's type cannot hold, [rows, columns]; None: none."""
        bounds = np.iinfo(dtype.numpy)
        parts = [
            _beyond(blocks[piece.block].values[piece.places], bounds)
            if piece.conversion is Conversion.RANGE
            else np.zeros(blocks[piece.block].values[piece.places].shape, np.bool_)
            for piece in self.pieces
        ]
        beyond = self._arranged(np.concatenate(parts), rows)
        return beyond if beyond.any() else None

    def _arranged(self, stacked: Array, rows: NDArray[np.intp] | None) -> Array:
        if self.order is not None:
            stacked = stacked[self.order]
        return stacked.T if rows is None else stacked[:, rows].T


def plan_stack(names: Sequence[str], dtype: DType, blocks: Sequence[Block]) -> StackPlan:
    """Returns how to put the columns `names`, in this order, into a tensor of `dtype`.

    Columns that lie in a block in the wanted order are taken together. Where that would make
    many small pieces, whole blocks are taken and put in order afterwards.

    Raises:
        InvalidBatch: a column is missing, holds vectors, or is of a type that does not fit.
    """
    where = {
        name: (index, place)
        for index, block in enumerate(blocks)
        for place, name in enumerate(block.names)
    }
    missing = next((name for name in names if name not in where), None)
    if missing is not None:
        raise InvalidBatch(f"the column {missing!r} is missing", field="batch.blocks")
    found = [where[name] for name in names]
    runs = _runs(found)
    order = None
    if len(runs) > MAX_PIECES:
        used = list(dict.fromkeys(index for index, _ in found))
        runs = [(index, 0, len(blocks[index].names)) for index in used]
        starts = dict(zip(used, np.cumsum([0, *(stop for _, _, stop in runs)]), strict=False))
        order = np.array([starts[index] + place for index, place in found], dtype=np.intp)
    pieces = tuple(
        Piece(index, slice(start, stop), fit(blocks[index], index, dtype, scalars=True))
        for index, start, stop in runs
    )
    kinds = {piece.conversion for piece in pieces}
    return StackPlan(pieces, order, Conversion.OVERFLOW in kinds, Conversion.RANGE in kinds)


def fit(block: Block, index: int, dtype: DType, *, scalars: bool) -> Conversion:
    """Returns what the block's type change takes. Raises InvalidBatch if the block cannot serve."""
    if scalars and block.values.ndim != 2:
        raise InvalidBatch(
            f"the column {block.names[0]!r} holds vectors and cannot be stacked",
            field=f"batch.blocks[{index}]",
        )
    kind = conversion(block.dtype, dtype)
    if kind is Conversion.REFUSED:
        raise InvalidBatch(
            f"columns of type {block.dtype.value} cannot feed a model input of type {dtype.value}",
            field=f"batch.blocks[{index}].values.dtype",
        )
    return kind


def _runs(found: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Returns block, start and stop of the columns that lie one after the other."""
    runs: list[tuple[int, int, int]] = []
    for index, place in found:
        if runs and runs[-1][0] == index and runs[-1][2] == place:
            runs[-1] = (index, runs[-1][1], place + 1)
        else:
            runs.append((index, place, place + 1))
    return runs


def _validity(block: Block) -> Nulls:
    if block.validity is not None:
        return block.validity
    return np.ones(block.values.shape[:2], np.bool_)


def _beyond(values: Array, bounds: np.iinfo[Any]) -> Nulls:
    beyond: Nulls = (values < bounds.min) | (values > bounds.max)
    return beyond
