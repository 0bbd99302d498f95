"""How long a model takes, by the number of rows: learned from its runs."""

from __future__ import annotations

QUICK_S = 0.001
"""Up to here a run holds the event loop up no longer than the hop's other work on large batches.

Handing it to a thread costs 40 to 75 µs of latency where the other core is idle, and CPU always.
"""

_WEIGHT = 0.2


class RunTimes:
    """Moving averages of run times, one per power of two of rows."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._average_s: dict[int, float] = {}

    def is_quick(self, rows: int) -> bool:
        """Returns whether runs of about this many rows have been quick; unknown ones are not."""
        return self._average_s.get(rows.bit_length(), QUICK_S) < QUICK_S

    def record(self, rows: int, duration_s: float) -> None:
        """Takes note of a run. A slow one counts at once, a quick one by degrees."""
        size = rows.bit_length()
        average_s = self._average_s.get(size, duration_s)
        average_s += _WEIGHT * (duration_s - average_s)
        self._average_s[size] = max(average_s, duration_s if duration_s > 10 * QUICK_S else 0.0)
