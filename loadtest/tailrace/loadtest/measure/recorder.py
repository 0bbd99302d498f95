"""Takes down every call while the load runs."""

from __future__ import annotations

from pathlib import Path

from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.wire.call import Call


class Recorder:
    """Takes calls down at a fraction of a microsecond each; sorts them later, many at a time."""

    def __init__(
        self, start_ns: int, *, count_errors: bool, skip_first: int, details: Path | None
    ) -> None:
        """Begins a record.

        Args:
            start_ns: the run's start, on the monotonic clock.
            count_errors: True if latencies of failed calls count.
            skip_first: calls with a smaller number do not count.
            details: file that a record per call goes to; None for none.
        """
        raise NotImplementedError

    def ended(self, call: Call, *, lag: bool) -> None:
        """Takes down a call that is over.

        Args:
            call: the call.
            lag: True if only the generator can be the reason why it was sent after it was due.
        """
        raise NotImplementedError

    def fold(self) -> Tally:
        """Sorts what was taken down; called between calls, some times a second.

        Returns:
            All so far; the recorder's own, which goes on.
        """
        raise NotImplementedError

    def close(self) -> Tally:
        """Folds, writes what is left to `details`, and returns all."""
        raise NotImplementedError
