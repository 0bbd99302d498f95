"""Rows of whole numbers, put down as fast as Python can and read by numpy without a copy."""

from __future__ import annotations

import struct

import numpy as np

from tailrace.loadtest.measure.latency_histogram import Int64s


class IntTable:
    """A table that is filled row by row, read as a whole, and begun anew in the same memory.

    To add a row: `table.pack_into(table.memory, table.reserve(1), *numbers)`, where the numbers fit
    into 64 bits, with a sign. A method that did it would cost more than the row.

    Attributes:
        rows: how many it holds.
        row_bytes: size of a row.
        memory: where they are.
        pack_into: puts a row's numbers into memory, from a byte on.
    """

    def __init__(self, width: int, room: int) -> None:
        """Makes an empty table.

        Args:
            width: numbers in a row.
            room: rows that it has memory for; it takes more if there are more.
        """
        self._width = width
        row = struct.Struct(f"={width}q")
        self.rows = 0
        self.row_bytes = row.size
        self.memory = bytearray(row.size * room)
        self.pack_into = row.pack_into

    def reserve(self, rows: int) -> int:
        """Returns the byte where the next rows begin, which are the table's from now on."""
        start = self.rows * self.row_bytes
        self.rows += rows
        missing = self.rows * self.row_bytes - len(self.memory)
        if missing > 0:
            self.memory.extend(bytes(missing))
        return start

    def columns(self) -> Int64s:
        """Returns what it holds, shape (width, rows); to be let go of before the next row."""
        numbers = np.frombuffer(self.memory, np.int64, self.rows * self._width)
        return numbers.reshape(-1, self._width).T

    def clear(self) -> None:
        """Begins anew."""
        self.rows = 0
