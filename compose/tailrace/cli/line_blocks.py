"""Lines of a file on their way: dealt out row by row, put together again block by block."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import TypeAlias

from tailrace.client import Fields, Prediction, PredictionError

Outcome: TypeAlias = Prediction | PredictionError


class LineBlock:
    """Lines that are printed together.

    Attributes:
        numbers: numbers of the lines.
        complete: set once each of them has its outcome.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        """Has no outcome yet."""
        self.numbers = list(numbers)
        self.complete = asyncio.Event()
        self._outcomes: dict[int, Outcome] = {}

    def settle(self, number: int, outcome: Outcome) -> None:
        """Takes the outcome of one line."""
        self._outcomes[number] = outcome
        if len(self._outcomes) == len(self.numbers):
            self.complete.set()

    def outcomes(self) -> list[Outcome]:
        """Returns the outcomes, in the order of the lines."""
        return [self._outcomes[number] for number in self.numbers]


class RowQueue:
    """Rows for whoever takes them first."""

    def __init__(self) -> None:
        """Is empty."""
        self._rows: asyncio.Queue[tuple[LineBlock, int, Fields] | None] = asyncio.Queue()

    def put(self, block: LineBlock, number: int, fields: Fields) -> None:
        """Adds the row of a line."""
        self._rows.put_nowait((block, number, fields))

    def close(self) -> None:
        """Ends every taker once all rows have been taken."""
        self._rows.put_nowait(None)

    async def get(self) -> tuple[LineBlock, int, Fields] | None:
        """Waits for a row and returns it; None at the end. A row is not lost if cancelled."""
        row = await self._rows.get()
        if row is None:
            self._rows.put_nowait(None)
        return row


class RowTaker:
    """The rows that one stream takes, and to which lines they belong."""

    def __init__(self, rows: RowQueue) -> None:
        """Has taken none yet."""
        self._rows = rows
        self._places = itertools.count()
        self._taken: dict[int, tuple[LineBlock, int]] = {}

    def __aiter__(self) -> RowTaker:
        """Returns itself."""
        return self

    async def __anext__(self) -> Fields:
        """Waits for a row and returns it."""
        row = await self._rows.get()
        if row is None:
            raise StopAsyncIteration
        block, number, fields = row
        self._taken[next(self._places)] = block, number
        return fields

    def settle(self, place: int, outcome: Outcome) -> None:
        """Hands the outcome of a row, by the order in which they were taken, to its line."""
        block, number = self._taken.pop(place)
        block.settle(number, outcome)
