"""Makes one input tensor of the model from lists, and from single values beside them.

What a list has no element for is zero, or empty text, in all columns: the model sees the same
whatever the features of nobody look like, and nothing in it can be bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.conversion import Conversion
from tailrace.inference.input_maker import BadCells, InputChecks, InputMaker, either
from tailrace.inference.stacking import fit
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.errors import InvalidBatch
from tailrace.runtime.pipeline.column_kind import Kinds
from tailrace.runtime.pipeline.model_section import ModelInput

Lengths = Mapping[str, tuple[str, int]]
"""By column that is a list: the column with its lengths, and the most elements of one."""


def list_lengths(item: ModelInput, columns: Kinds) -> Lengths:
    """Returns the lists among the columns of an input; empty if there is none."""
    lengths = {}
    for name in item.source_columns():
        kind = columns.get(name)
        if kind is not None and kind.length is not None and kind.elements is not None:
            lengths[name] = kind.length, kind.elements
    return lengths


@dataclass(frozen=True, slots=True)
class _Piece:
    """Columns that lie together in one block and, in this order, in the tensor.

    Attributes:
        block: index of the block in the batch.
        places: where in the block they lie.
        columns: where in the tensor's last dimension they go.
        length: index of the block with the lengths, and the place in it; None for single values.
        conversion: what the change of type may do to their values.
    """

    block: int
    places: slice
    columns: slice
    length: tuple[int, int] | None
    conversion: Conversion


class _ListMaker(InputChecks):
    """Lists side by side, single values repeated: [rows, elements, columns].

    An input of one `column` has no last dimension of its own: [rows, elements, ...].
    """

    def __init__(self, item: ModelInput, pieces: Sequence[_Piece], elements: int) -> None:
        super().__init__(item)
        self._pieces = pieces
        self._elements = elements
        self._blank = {DType.STRING: "", DType.BYTES: b""}.get(item.dtype, 0)

    def make(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None
    ) -> tuple[Array, BadCells | None]:
        taken = [_values(piece, blocks, rows) for piece in self._pieces]
        masks = self._masks(blocks, rows)
        count = taken[0].shape[1]
        inner = taken[0].shape[3:] if self.is_single else ()
        shape = (count, self._elements, *inner, len(self.columns))
        tensor = np.full(shape, self._blank, self._numpy)
        nulls: BadCells | None = None
        bad: BadCells | None = None
        for piece, values, beyond in zip(self._pieces, taken, masks, strict=True):
            placed = values if piece.length is not None else values[:, :, np.newaxis]
            with np.errstate(over="ignore"):
                tensor[..., piece.columns] = np.moveaxis(placed, 0, -1)
            tensor[beyond, ..., piece.columns] = self._blank
            if piece.conversion is Conversion.RANGE:
                ranged = np.zeros(shape, np.bool_)
                ranged[..., piece.columns] = np.moveaxis(_beyond(placed, self._dtype), 0, -1)
                ranged[beyond] = False
                bad = either(bad, ranged)
            validity = blocks[piece.block].validity
            if validity is not None:
                nulls = np.zeros(shape, np.bool_) if nulls is None else nulls
                missing = ~(validity if rows is None else validity[:, rows])[piece.places]
                spread = missing.T.reshape(count, *(1,) * (len(shape) - 2), -1)
                nulls[..., piece.columns] = spread
                nulls[beyond, ..., piece.columns] = False
        tensor, absent = self.without_nulls(tensor, nulls)
        bad = either(bad, either(absent, self.not_allowed(tensor)))
        if bad is not None:
            middle = tuple(range(1, bad.ndim - 1))
            bad = bad.any(axis=middle)
            bad = bad if bad.any() else None
        return tensor[..., 0] if self.is_single else tensor, bad

    def _masks(self, blocks: Sequence[Block], rows: NDArray[np.intp] | None) -> list[BadCells]:
        """Returns, for each piece, which elements of the rows there are none of."""
        places = np.arange(self._elements)
        masks: dict[tuple[int, int], BadCells] = {}
        for piece in self._pieces:
            if piece.length is not None and piece.length not in masks:
                index, place = piece.length
                lengths = blocks[index].values[place]
                lengths = lengths if rows is None else lengths[rows]
                masks[piece.length] = places >= lengths[:, np.newaxis]
        # A single value stands beside every element that any of the lists has.
        everywhere = np.logical_and.reduce(list(masks.values()))
        return [
            everywhere if piece.length is None else masks[piece.length] for piece in self._pieces
        ]


def list_maker(item: ModelInput, lengths: Lengths, blocks: Sequence[Block]) -> InputMaker:
    """Returns the maker of an input that has lists among its columns.

    Args:
        item: the input.
        lengths: of its columns that are lists; at least one.
        blocks: the layout that the maker is for.

    Raises:
        InvalidBatch: a column is missing or of a type or shape that cannot be used.
    """
    where = {
        name: (index, place)
        for index, block in enumerate(blocks)
        for place, name in enumerate(block.names)
    }
    elements = next(iter(lengths.values()))[1]
    pieces: list[_Piece] = []
    for column, name in enumerate(item.source_columns()):
        index, place = _find(where, name)
        length = _find(where, lengths[name][0]) if name in lengths else None
        block = blocks[index]
        kind = fit(block, index, item.dtype, scalars=length is None)
        if length is not None and block.values.shape[2:3] != (elements,):
            raise InvalidBatch(
                f"the column {name!r} has rows of shape {list(block.values.shape[2:])}, not of "
                f"{elements} elements",
                field=f"batch.blocks[{index}]",
            )
        last = pieces[-1] if pieces else None
        if (
            last is not None
            and (last.block, last.places.stop, last.length) == (index, place, length)
        ):  # fmt: skip
            places = slice(last.places.start, place + 1)
            pieces[-1] = _Piece(index, places, slice(last.columns.start, column + 1), length, kind)
        else:
            pieces.append(
                _Piece(index, slice(place, place + 1), slice(column, column + 1), length, kind)
            )
    return _ListMaker(item, pieces, elements)


def _find(where: Mapping[str, tuple[int, int]], name: str) -> tuple[int, int]:
    if name not in where:
        raise InvalidBatch(f"the column {name!r} is missing", field="batch.blocks")
    return where[name]


def _values(piece: _Piece, blocks: Sequence[Block], rows: NDArray[np.intp] | None) -> Array:
    """Returns the columns of a piece, [columns, rows, ...]."""
    values: Array = blocks[piece.block].values[piece.places]
    return values if rows is None else values[:, rows]


def _beyond(values: Array, dtype: DType) -> BadCells:
    bounds = np.iinfo(dtype.numpy)
    return (values < bounds.min) | (values > bounds.max)
