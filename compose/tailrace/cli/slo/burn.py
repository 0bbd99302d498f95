"""How fast an error budget may burn before somebody is told.

Source: The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts" and table
5-8 (https://sre.google/workbook/alerting-on-slos/). A pair of windows fires once a share of the
budget is spent within the long one:

    burn rate = share of the budget * window of the objective / long window

which for 30 days gives the workbook's 14.4, 6, 3 and 1. At the same burn rate in the short window,
a twelfth of the long one, the burning still goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tailrace.cli.slo.objective import Objective

HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Where a whole outage burns slower than a pair asks for, the pair takes this for an outage.
_OUTAGE = Decimal("0.9")
_LASTS_TO_THE_END = Decimal(1)


@dataclass(frozen=True)
class Window:
    """A length of time.

    Attributes:
        text: as PromQL writes it.
        seconds: how long it is.
    """

    text: str
    seconds: int


@dataclass(frozen=True)
class Pair:
    """A pair of windows.

    Attributes:
        severity: page or ticket.
        budget_share: share of the budget that is spent when it fires.
        long: says that the burning matters.
        short: says that it goes on.
    """

    severity: str
    budget_share: Decimal
    long: Window
    short: Window

    def burn_rate(self, objective: Objective) -> Decimal:
        """Returns how many times too fast the budget must burn for this pair to fire.

        Never less than 1, at which the budget lasts until the window's end. And never more than
        what burns where nine tenths of all events are bad: without that bound, an objective of
        50 % could not page, as events that are all bad burn its budget at a rate of 2.
        """
        rate = self.budget_share * objective.window_days * DAY_S / self.long.seconds
        most = max(_OUTAGE / objective.budget, _LASTS_TO_THE_END)
        return min(max(rate, _LASTS_TO_THE_END), most)


_5M, _30M = Window("5m", 300), Window("30m", 1800)
_1H, _2H, _6H = Window("1h", HOUR_S), Window("2h", 2 * HOUR_S), Window("6h", 6 * HOUR_S)
_1D, _3D = Window("1d", DAY_S), Window("3d", 3 * DAY_S)

PAIRS = (
    Pair("page", Decimal("0.02"), _1H, _5M),
    Pair("page", Decimal("0.05"), _6H, _30M),
    Pair("ticket", Decimal("0.1"), _1D, _2H),
    Pair("ticket", Decimal("0.1"), _3D, _6H),
)


def pairs(window_days: int) -> list[Pair]:
    """Returns the pairs for a window: those whose long one is not longer."""
    return [pair for pair in PAIRS if pair.long.seconds <= window_days * DAY_S]


def windows(window_days: int) -> list[Window]:
    """Returns all windows of these pairs, the shortest first."""
    used = {window for pair in pairs(window_days) for window in (pair.long, pair.short)}
    return sorted(used, key=lambda window: window.seconds)
