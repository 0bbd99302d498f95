"""Says what a preparation is doing."""

from __future__ import annotations

import time


class Progress:
    """Prints one plain line per step, with the seconds since the start."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start, in seconds."""
        return time.monotonic() - self._start

    def __call__(self, text: str) -> None:
        """Prints a line."""
        print(f"[{self.seconds:5.1f} s] {text}", flush=True)
