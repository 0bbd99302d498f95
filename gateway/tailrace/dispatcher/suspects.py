"""Who was there when a hop died: one of them may have killed it.

A hop that dies takes all with it that it works on. They are run again in small groups, and whoever
was in a group that died again, alone. A submission whose hop was there when it began, alone, and is
not afterwards, while others get through, is what kills it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

# Most rows that run together, by how often a hop died of them.
GROUP_ROWS = (16, 1)
MOST_KEPT = 10_000


@dataclass(slots=True)
class _Suspicion:
    level: int
    since_ns: int


class Suspects:
    """Remembers submissions, as long as this process lives; a bounded number of them."""

    def __init__(self) -> None:
        """Suspects nobody."""
        self._suspicions: OrderedDict[str, _Suspicion] = OrderedDict()
        self._succeeded_ns = 0

    def group_rows(self, prediction_id: str) -> int | None:
        """Returns how many rows it may run with, itself included; None if nothing is known."""
        suspicion = self._suspicions.get(prediction_id)
        return None if suspicion is None else GROUP_ROWS[suspicion.level]

    def hop_died(self, prediction_id: str, *, connected: bool, alone: bool) -> bool:
        """Notes that a hop could not be reached, or died, with this submission.

        Args:
            prediction_id: of the submission.
            connected: whether all hops were there when it began to run.
            alone: whether nothing else ran.

        Returns:
            Whether it was the submission: it was alone with hops that were there, and others have
            succeeded since it was first suspected.
        """
        suspicion = self._suspicions.get(prediction_id)
        if suspicion is None:
            self._suspicions[prediction_id] = _Suspicion(0, time.monotonic_ns())
            if len(self._suspicions) > MOST_KEPT:
                self._suspicions.popitem(last=False)
            return False
        # In an outage, or with hops that die of whatever they are asked, all fail all the time:
        # that says nothing of any one of them.
        if not connected or self._succeeded_ns <= suspicion.since_ns:
            return False
        suspicion.level = min(suspicion.level + 1, len(GROUP_ROWS) - 1)
        return alone

    def succeeded(self) -> None:
        """Notes that a submission got through the hops."""
        self._succeeded_ns = time.monotonic_ns()

    def forget(self, prediction_id: str) -> None:
        """Notes that a submission has come to its end."""
        self._suspicions.pop(prediction_id, None)
