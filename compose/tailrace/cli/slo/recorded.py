"""Names of what the rules record. Nothing else spells one out."""

from __future__ import annotations

OBJECTIVE = "tailrace:slo_objective:ratio"
"""Share of events that are to be good."""

WINDOW_DAYS = "tailrace:slo_window:days"
"""What the budget is for, in days."""

ERROR_RATIO_OF_WINDOW = "tailrace:slo_error_ratio:window"
"""Share of bad events over the objective's whole window."""

BUDGET_REMAINING = "tailrace:slo_error_budget_remaining:ratio"
"""Share of the error budget that is left; below 0 once the objective is broken."""

BUDGET_REMAINING_EVENTS = "tailrace:slo_error_budget_remaining:events"
"""How many more events may be bad, if no further ones come."""

BURN_RATE = "tailrace:slo_burn_rate:ratio"
"""How many times too fast the budget burns, over the last hour."""

UNMEASURED = "tailrace:slo_unmeasured:rate5m"
"""Events a second of processes that have no bucket of an objective's bound."""

INTERVAL_S = 30
"""How often rates over short windows are recorded, in seconds."""


def bad(window: str) -> str:
    """Returns the name of bad events a second over a window."""
    return f"tailrace:slo_errors:rate{window}"


def every(window: str) -> str:
    """Returns the name of all events a second over a window."""
    return f"tailrace:slo_events:rate{window}"


def ratio(window: str) -> str:
    """Returns the name of the share of bad events over a window."""
    return f"tailrace:slo_error_ratio:rate{window}"
