"""How a run compares with an earlier one, figure by figure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tailrace.loadtest.verdict.figure_text import figure_text
from tailrace.loadtest.verdict.objective import Unit


class Outcome(StrEnum):
    """What is shown of a figure.

    WORSE: it is, by more than the tolerance. TOLERATED: it is, by less. BETTER: it is. SAME: no
    difference is shown, which is not to say that there is none. UNKNOWN: there is nothing to tell
    it from. NOTE: not a figure, but something that makes the runs unlike each other.
    """

    WORSE = "worse"
    TOLERATED = "worse within the tolerance"
    BETTER = "better"
    SAME = "no difference shown"
    UNKNOWN = "not compared"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two runs.

    Attributes:
        figure: its name, such as `p99`, `rps`, `errors`; of a note, the option that differs.
        outcome: what is shown.
        unit: of `before` and `after`.
        before: in the earlier run; shares from 0 to 1; None if there is none.
        after: in this run.
        change: `after` over `before`; of `errors`, `after` less `before`, as shares may be 0;
            None if there is none.
        low: least change of the 95 % confidence interval.
        high: greatest of it.
        why: what else there is to say; of a note, all.
    """

    figure: str
    outcome: Outcome
    unit: Unit = Unit.NS
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def passed(self) -> bool:
        """True unless the figure is worse, or was not compared."""
        return self.outcome not in (Outcome.WORSE, Outcome.UNKNOWN)

    @property
    def text(self) -> str:
        """In words, on one line.

        Such as `p99: worse, 12 ms before and 15 ms now, +25 % (95 %: +18.2 to +30.9 %)`.
        """
        if self.outcome is Outcome.NOTE:
            return f"note: {self.why}"
        if self.before is None or self.after is None:
            return f"{self.figure}: {self.outcome}, {self.why}"
        before, after = (figure_text(each, self.unit) for each in (self.before, self.after))
        told = f"{self.figure}: {self.outcome}, {before} before and {after} now"
        if self.change is None or self.low is None or self.high is None:
            return told
        # Shares are compared by difference.
        one, sign = (0.0, "points") if self.unit is Unit.SHARE else (1.0, "%")
        change, low, high = ((each - one) * 100 for each in (self.change, self.low, self.high))
        interval = f"95 %: {_signed(low)} to {_signed(high)} {sign}"
        return f"{told}, {_signed(change)} {sign} ({interval})"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if abs(value) < 1000 else f"{value:+.0f}"
