"""How long to wait before something that has failed is tried again."""

from __future__ import annotations

FIRST_S = 0.1
LONGEST_S = 10.0
# After so long without a failure, the next one counts as the first.
STEADY_S = 30.0


class Backoff:
    """Doubles the wait with every failure, up to a bound, until things went well for a while."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, ran_s: float) -> float:
        """Returns how long to wait, in seconds, after what has run well for `ran_s` seconds."""
        wait_s = FIRST_S if ran_s >= STEADY_S else self._next_s
        self._next_s = min(wait_s * 2, LONGEST_S)
        return wait_s
