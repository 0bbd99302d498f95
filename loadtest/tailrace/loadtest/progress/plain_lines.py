"""Progress in plain lines, for files and for the logs of builds."""

from __future__ import annotations

from typing import TextIO

from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.progress.rates import Pace
from tailrace.loadtest.progress.remaining import clock, left, lost
from tailrace.loadtest.report.go_forms import latency


class PlainLines:
    """Writes a line each time."""

    def __init__(self, options: LoadOptions, file: TextIO) -> None:
        """Writes nothing yet.

        Args:
            options: of the run.
            file: where lines go.
        """
        self._options = options
        self._file = file

    def show(self, pace: Pace) -> None:
        """Writes how it goes: `5 s: 1234 calls a second (mean 1200), p50 1.20 ms …`."""
        parts = [
            f"{pace.rate:.0f} calls a second (mean {pace.mean_rate:.0f})",
            *(
                f"{name} {_latency(pace.recent, place)} (overall {_latency(pace.overall, place)})"
                for place, name in enumerate(("p50", "p99"))
            ),
            "1 error" if pace.failed == 1 else f"{pace.failed} errors",
            f"{pace.in_flight} in flight",
            left(self._options, pace),
            *([lost(pace)] if pace.lost else []),
        ]
        print(f"{clock(pace.seconds)}: {', '.join(parts)}", file=self._file, flush=True)

    def close(self) -> None:
        """Does nothing: each line was whole."""


def _latency(percentiles: tuple[int, int] | None, place: int) -> str:
    return latency(percentiles[place]) if percentiles else "-"
