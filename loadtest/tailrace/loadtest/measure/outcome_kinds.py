"""How calls end: each status and message has a number, of which there are not too many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import Int64s
from tailrace.loadtest.measure.status_names import error_text, status_name
from tailrace.loadtest.measure.tally import MAX_ERROR_KINDS, OTHER_ERRORS, Tally

OK_KIND = 0
_UNKNOWN = 2
_LAST_CODE = 16


class OutcomeKinds:
    """Numbers for outcomes. `OK_KIND` is that of calls that were answered."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str | None], int] = {}
        self._told: list[tuple[str, str]] = [("OK", "")]

    def number(self, status: int, message: str) -> int:
        """Returns the number of an outcome.

        Beyond `MAX_ERROR_KINDS`, messages share one a status, and statuses that gRPC does not have
        share that of `Unknown`.

        Args:
            status: gRPC status code.
            message: the status's message.
        """
        if status == 0:
            return OK_KIND
        known = self._numbers
        number = known.get((status, message))
        if number is not None:
            return number
        if len(known) < MAX_ERROR_KINDS - 1:
            return self._add(status, message, error_text(status, message))
        if status > _LAST_CODE:
            # Or a server that makes codes up would have as many kinds.
            status = _UNKNOWN
        number = known.get((status, None))
        return self._add(status, None, OTHER_ERRORS) if number is None else number

    def told(self) -> list[tuple[str, str]]:
        """Returns the name of the status and the text of the error of each number, in order."""
        return self._told

    def answered(self, kinds: Int64s) -> npt.NDArray[np.bool_]:
        """Returns True where calls ended with OK, shape (n,)."""
        answered: npt.NDArray[np.bool_] = kinds == OK_KIND
        return answered

    def count(self, kinds: Int64s, tally: Tally) -> None:
        """Adds calls to `statuses` and `errors`.

        Args:
            kinds: numbers of outcomes, shape (n,).
            tally: what they are added to.
        """
        for (status, text), count in zip(self._told, np.bincount(kinds).tolist(), strict=False):
            if count:
                tally.statuses[status] = tally.statuses.get(status, 0) + count
                if text:
                    tally.add_errors(text, count)

    def _add(self, status: int, message: str | None, text: str) -> int:
        number = self._numbers[status, message] = len(self._told)
        self._told.append((status_name(status), text))
        return number
