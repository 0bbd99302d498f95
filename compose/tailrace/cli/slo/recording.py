"""Recording rules of an objective.

All of an objective have its labels (pipeline, objective, kind and, of a hop's, hop), so that they
can be compared with each other and shown side by side. Where nothing happens there is nothing to
say: shares are recorded where there were events, and nowhere is 0 divided by 0.
"""

from __future__ import annotations

from typing import Any

from tailrace.cli.slo import recorded
from tailrace.cli.slo.burn import HOUR_S, windows
from tailrace.cli.slo.objective import Objective, number

Rule = dict[str, Any]

_SHORT = "5m"


def short_rules(objective: Objective) -> list[Rule]:
    """Returns rules to be evaluated often: all that pages look at."""
    rules = [
        _record(objective, recorded.OBJECTIVE, f"vector({number(objective.percent / 100)})"),
        _record(objective, recorded.WINDOW_DAYS, f"vector({objective.window_days})"),
    ]
    for window in windows(objective.window_days):
        if window.seconds <= 6 * HOUR_S:
            rules += _rates(objective, window.text)
    if objective.unmeasured:
        unmeasured = objective.unmeasured.replace("{window}", _SHORT)
        rules.append(_record(objective, recorded.UNMEASURED, unmeasured))
    burning = f"{_of(objective, recorded.ratio('1h'))} / {number(objective.budget)}"
    return [*rules, _record(objective, recorded.BURN_RATE, burning)]


def long_rules(objective: Objective) -> list[Rule]:
    """Returns rules that read days of samples, and need not be evaluated as often.

    Over the whole window they add up the rates of five minutes that were recorded, which is by
    far cheaper than to read the metrics of all processes again.
    """
    rules = []
    for window in windows(objective.window_days):
        if window.seconds > 6 * HOUR_S:
            rules += _rates(objective, window.text)
    days = f"{objective.window_days}d"
    bad = f"sum_over_time({_of(objective, recorded.bad(_SHORT))}[{days}])"
    every = f"sum_over_time({_of(objective, recorded.every(_SHORT))}[{days}])"
    of_window = _of(objective, recorded.ERROR_RATIO_OF_WINDOW)
    budget = number(objective.budget)
    allowed = f"{every} * {recorded.INTERVAL_S} * {budget}"
    return [
        *rules,
        _record(objective, recorded.ERROR_RATIO_OF_WINDOW, f"{bad} / ({every} > 0)"),
        _record(objective, recorded.BUDGET_REMAINING, f"1 - {of_window} / {budget}"),
        _record(
            objective,
            recorded.BUDGET_REMAINING_EVENTS,
            f"{allowed} * {_of(objective, recorded.BUDGET_REMAINING)}",
        ),
    ]


def _rates(objective: Objective, window: str) -> list[Rule]:
    bad, every = (_of(objective, name(window)) for name in (recorded.bad, recorded.every))
    return [
        _record(objective, recorded.bad(window), objective.bad_rate(window)),
        _record(objective, recorded.every(window), objective.all_rate(window)),
        _record(objective, recorded.ratio(window), f"{bad} / ({every} > 0)"),
    ]


def _of(objective: Objective, name: str) -> str:
    return f"{name}{{{objective.where}}}"


def _record(objective: Objective, name: str, expression: str) -> Rule:
    return {"record": name, "expr": expression, "labels": objective.labels}
