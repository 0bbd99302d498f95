"""Columns: the values of a batch of rows, held as numpy blocks of one type each."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class DType(enum.Enum):
    """Element types. The value is the name used in pipeline files."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"

    # Members are singletons; Enum's own hash is a Python call, and tables by type are read often.
    __hash__ = object.__hash__

    numpy: np.dtype[Any]
    """The little-endian numpy type; `object` for strings and bytes, int64 µs for timestamps."""
    is_ragged: bool
    """Whether elements have no fixed size."""
    is_floating: bool
    """Whether elements may be NaN or infinite."""

    def __init__(self, name: str) -> None:
        """Works out what is asked of a type all the time."""
        kinds = {"string": "object", "bytes": "object", "timestamp": "int64"}
        native = np.dtype(kinds.get(name, name))
        # By its text numpy finds its own type object, which it is quicker with than with a copy.
        self.numpy = np.dtype(native.newbyteorder("<").str)
        self.is_ragged = name in ("string", "bytes")
        self.is_floating = name.startswith("float")


@dataclass(slots=True, eq=False)
class Block:
    """Columns of one type, stored together. Never changed once it is made.

    Attributes:
        names: column names.
        dtype: type of every element.
        values: shape [len(names), rows, ...], numpy type `dtype.numpy`.
        validity: bool [len(names), rows], False where a value is null; None if none is.
    """

    names: tuple[str, ...]
    dtype: DType
    values: Array
    validity: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if the parts do not fit together."""
        shape = self.values.shape
        if len(shape) < 2 or shape[0] != len(self.names):
            raise ValueError(f"block of {len(self.names)} names has values of shape {shape}")
        if self.validity is not None and self.validity.shape != shape[:2]:
            raise ValueError(f"validity of shape {self.validity.shape} for values of shape {shape}")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[1])

    def take(self, rows: NDArray[np.intp]) -> Block:
        """Returns the block with only these rows, in this order."""
        validity = None if self.validity is None else self.validity[:, rows]
        return Block(self.names, self.dtype, self.values[:, rows], validity)


def column_block(
    name: str, dtype: DType, values: Array, validity: NDArray[np.bool_] | None = None
) -> Block:
    """Returns a block of one column; `values` has the shape [rows, ...]."""
    return Block(
        (name,),
        dtype,
        np.ascontiguousarray(values, dtype=dtype.numpy)[np.newaxis],
        None if validity is None else validity[np.newaxis],
    )


@dataclass(slots=True)
class Columns:
    """All columns of a batch, found by name.

    Attributes:
        rows: number of rows.
        blocks: the blocks; every column name occurs once.
    """

    rows: int
    blocks: list[Block] = field(default_factory=list)
    _index: dict[str, tuple[Block, int]] | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Array:
        """Returns the values of a column, shape [rows, ...], as a view. Raises KeyError."""
        block, place = self._find(name)
        values: Array = block.values[place]
        return values

    def __contains__(self, name: object) -> bool:
        """Returns whether there is such a column."""
        return name in self._by_name()

    def __iter__(self) -> Iterator[str]:
        """Yields the column names."""
        return iter(self._by_name())

    def dtype(self, name: str) -> DType:
        """Returns the type of a column. Raises KeyError."""
        return self._find(name)[0].dtype

    def validity(self, name: str) -> NDArray[np.bool_] | None:
        """Returns which rows of a column are present, bool [rows], or None for all. KeyError."""
        block, place = self._find(name)
        return None if block.validity is None else block.validity[place]

    def extend(self, blocks: Iterable[Block]) -> None:
        """Adds blocks. Raises ValueError on a wrong row count or a name that is there already."""
        names = [name for block in self.blocks for name in block.names]
        for block in blocks:
            if block.rows != self.rows:
                raise ValueError(f"block {block.names} has {block.rows} rows, not {self.rows}")
            names += block.names
            self.blocks.append(block)
        self._index = None
        if len(set(names)) != len(names):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise ValueError(f"column {twice} occurs twice")

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Returns the columns of only these rows, in this order."""
        return Columns(len(rows), [block.take(rows) for block in self.blocks])

    def select(self, names: Sequence[str]) -> Columns:
        """Returns the columns of these names; whole blocks stay together. Raises KeyError."""
        wanted = set(names)
        missing = wanted.difference(self._by_name())
        if missing:
            raise KeyError(sorted(missing)[0])
        selected = Columns(self.rows)
        for block in self.blocks:
            places = [place for place, name in enumerate(block.names) if name in wanted]
            if len(places) == len(block.names):
                selected.blocks.append(block)
            elif places:
                validity = None if block.validity is None else block.validity[places]
                names_kept = tuple(block.names[place] for place in places)
                selected.blocks.append(
                    Block(names_kept, block.dtype, block.values[places], validity)
                )
        return selected

    def _find(self, name: str) -> tuple[Block, int]:
        return self._by_name()[name]

    def _by_name(self) -> dict[str, tuple[Block, int]]:
        if self._index is None:
            self._index = {
                name: (block, place)
                for block in self.blocks
                for place, name in enumerate(block.names)
            }
        return self._index
