"""Steps over categories: vocabulary, one-hot, hash."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.step_table import Blame, StepColumn, StepTable

CACHED_HASHES = 4096
MAX_CACHED_LENGTH = 64


class ValueIndex:
    """Finds the place of values in a list, for a whole column at once."""

    def __init__(self, values: Sequence[str] | Sequence[int]) -> None:
        """Prepares the look-up of these values, all of one type."""
        self._places: dict[Any, int] = {value: place for place, value in enumerate(values)}
        self._is_text = isinstance(values[0], str)
        if not self._is_text:
            numbers = np.array(values, dtype=np.int64)
            self._order = np.argsort(numbers)
            self._sorted = numbers[self._order]

    def places(self, values: Array, unknown: int, dtype: DType = DType.INT64) -> Array:
        """Returns the place of each value, [rows]; `unknown` for those not in the list.

        Args:
            values: [rows].
            unknown: what stands for a value outside the list.
            dtype: type of the result; has to hold every place.
        """
        if self._is_text:
            find = self._places.get
            return np.array([find(value, unknown) for value in values.tolist()], dtype.numpy)
        nearest = np.searchsorted(self._sorted, values).clip(max=len(self._sorted) - 1)
        found = self._sorted[nearest] == values
        return np.where(found, self._order[nearest], unknown).astype(dtype.numpy, copy=False)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Makes the place of the value in a list, from 0.

    A value outside the list becomes `unknown`, or fails its row where `unknown` is None. Null
    stays null: it is not unknown. The column may hold lists where no value fails its row.
    """

    input: str
    output: str
    dtype: DType
    index: ValueIndex
    unknown: int | None
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        column = table.columns[self.input]
        if self.unknown is not None:
            values = column.values
            places = self.index.places(values.ravel(), self.unknown, self.dtype)
            table.columns[self.output] = _numbers(places.reshape(values.shape), self.dtype, column)
        else:
            places = self.index.places(column.values, -1)
            table.columns[self.output] = _numbers(places, self.dtype, column)
            outside = places < 0
            if column.valid is not None:
                outside &= column.valid
            if outside.any():
                message = f"column {self.input!r}: found a value outside the vocabulary"
                table.fail(outside, self.blame.because(message))


@dataclass(frozen=True, slots=True)
class OneHot:
    """Makes one column per value: 1 where the input equals it, else 0.

    A value outside the list makes zeros throughout; a null makes nulls throughout.
    """

    input: str
    outputs: tuple[str, ...]
    dtype: DType
    index: ValueIndex

    def run(self, table: StepTable) -> None:
        """Puts the output columns into the table."""
        column = table.columns[self.input]
        places = self.index.places(column.values, -1)
        hot = (np.arange(len(self.outputs))[:, np.newaxis] == places).astype(self.dtype.numpy)
        if column.valid is not None and self.dtype.is_floating:
            hot[:, ~column.valid] = np.nan
        for output, values in zip(self.outputs, hot, strict=True):
            table.columns[output] = StepColumn(self.dtype, values, column.valid)


class Hash:
    """Makes the bucket of a stable hash: BLAKE2b (RFC 7693), its first 8 bytes, modulo buckets.

    The digest has 64 bytes, of which the first 8 count as a little-endian number; the seed in
    UTF-8 is the key. Text is hashed as UTF-8, an integer or timestamp as 8 bytes little-endian
    in two's complement. Null stays null. The column may hold lists.
    """

    def __init__(self, input_name: str, output: str, dtype: DType, buckets: int, seed: str) -> None:
        """Prepares the hash."""
        self._input = input_name
        self._output = output
        self._dtype = dtype
        self._buckets = buckets
        self._key = seed.encode()
        self._cached = functools.lru_cache(CACHED_HASHES)(self._bucket)

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        column = table.columns[self._input]
        shape = column.values.shape
        buckets = [self._of(value) for value in column.values.ravel().tolist()]
        numbers = np.array(buckets, np.int64).reshape(shape)
        table.columns[self._output] = _numbers(numbers, self._dtype, column)

    def _of(self, value: Any) -> int:
        # Long values stay out of the cache, which bounds its memory.
        is_long = not isinstance(value, int) and len(value) > MAX_CACHED_LENGTH
        return self._bucket(value) if is_long else self._cached(value)

    def _bucket(self, value: str | bytes | int) -> int:
        if isinstance(value, str):
            data = value.encode()
        elif isinstance(value, int):
            data = value.to_bytes(8, "little", signed=True)
        else:
            data = value
        digest = hashlib.blake2b(data, key=self._key).digest()
        return int.from_bytes(digest[:8], "little") % self._buckets


def _numbers(values: Array, dtype: DType, source: StepColumn) -> StepColumn:
    # The pipeline was refused if a value could lie outside the type.
    numbers = values.astype(dtype.numpy, copy=False)
    if source.valid is not None:
        blank = np.nan if dtype.is_floating else 0
        numbers = np.where(source.valid, numbers, np.array(blank, dtype.numpy))
    return StepColumn(dtype, numbers, source.valid)
