"""Progress as a few lines of a terminal that change in place."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.progress.rates import Pace
from tailrace.loadtest.progress.remaining import clock, left, lost, share_done
from tailrace.loadtest.report.go_forms import latency

_BAR_COLUMNS = 40


def takes_view(file: TextIO) -> bool:
    """Returns True if a file is a terminal on which lines can change in place."""
    return file.isatty() and not Console(file=file).is_dumb_terminal


class TerminalView:
    """A view that stands at the bottom of a terminal, and is gone without trace when closed."""

    def __init__(self, options: LoadOptions, file: TextIO) -> None:
        """Shows nothing yet.

        Args:
            options: of the run.
            file: the terminal.
        """
        self._options = options
        self._console = Console(file=file)
        self._live: Live | None = None

    def show(self, pace: Pace) -> None:
        """Shows how it goes, in place of what was shown before."""
        if self._live is None:
            # Standard output may be a file or a pipe: what goes there is not to come here.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
            )
            self._live.start()
            # Live hides it, and a process that is killed could not bring it back.
            self._console.show_cursor(True)
        self._live.update(self._view(pace), refresh=True)

    def close(self) -> None:
        """Takes the view off the terminal."""
        if self._live is not None:
            self._live.stop()

    def _view(self, pace: Pace) -> Group:
        options = self._options
        done = share_done(options, pace)
        heading = Text(f"{options.name or options.call} at {options.host}", no_wrap=True)
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            ProgressBar(total=1.0, completed=done, width=_BAR_COLUMNS),
            f"{done:.0%}",
            f"{clock(pace.seconds)} gone, {left(options, pace)}",
        )
        figures = Table.grid(padding=(0, 3, 0, 0))
        for justify in ("left", "right", "right"):
            figures.add_column(justify=justify, no_wrap=True)
        figures.add_row("", "now", "overall", style="dim")
        figures.add_row("calls a second", f"{pace.rate:.1f}", f"{pace.mean_rate:.1f}")
        for place, name in enumerate(("p50", "p99")):
            recent, overall = (
                latency(told[place]) if told else "-" for told in (pace.recent, pace.overall)
            )
            figures.add_row(name, recent, overall)
        errors = Text(str(pace.failed), style="bold red" if pace.failed else "")
        figures.add_row("errors", "", errors)
        figures.add_row("in flight", str(pace.in_flight), "")
        if pace.lost:
            return Group(heading, bar, figures, Text(lost(pace), style="bold red"))
        return Group(heading, bar, figures)
