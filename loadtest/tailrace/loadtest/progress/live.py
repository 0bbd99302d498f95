"""What is shown while a run goes on: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, TextIO

from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.progress.plain_lines import PlainLines
from tailrace.loadtest.progress.rates import Pace, Rates
from tailrace.loadtest.progress.terminal_view import TerminalView, takes_view

# Time between two views, and between two lines, in seconds.
VIEW_EVERY_S = 0.25
LINE_EVERY_S = 5.0
# How far back `now` is in a view; that of a line goes back to the line before.
_NOW_S = 1.0


class _Shown(Protocol):
    def show(self, pace: Pace) -> None: ...

    def close(self) -> None: ...


class Progress:
    """Shows how a run goes, as `LoadOptions.progress` says; an `OnProgress`.

    Who makes one closes it, however the run ends, so that the terminal is left as it was. It has no
    thread: it works when it is called, some milliseconds a few times a second at most.
    """

    def __init__(self, options: LoadOptions, file: TextIO) -> None:
        """Begins to show; nothing is written before it is called.

        Args:
            options: of the run.
            file: where it goes: standard error, as reports go to standard output.
        """
        self._shown: _Shown | None = None
        self._every_s, self._rates = LINE_EVERY_S, Rates(LINE_EVERY_S)
        if options.progress == "auto" and takes_view(file):
            self._shown = TerminalView(options, file)
            self._every_s, self._rates = VIEW_EVERY_S, Rates(_NOW_S)
        elif options.progress != "off":
            self._shown = PlainLines(options, file)
        self._due_s = self._every_s

    def __call__(self, tally: Tally, seconds: float) -> None:
        """Shows how it goes, if it is time to.

        Args:
            tally: what all processes recorded so far.
            seconds: since the run's start.
        """
        if self._shown is None or seconds < self._due_s:
            return
        self._due_s = seconds + self._every_s
        try:
            self._shown.show(self._rates.add(tally, seconds))
        except OSError:
            # Who read it is gone, or its disk is full, which is no reason to end the run.
            self._shown = None

    def close(self) -> None:
        """Takes the view off the terminal; may be called twice."""
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
