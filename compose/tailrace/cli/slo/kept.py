"""How an objective was kept over a window, as a Prometheus server has it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tailrace.cli.grafana.promql import CALLERS
from tailrace.cli.slo import recorded
from tailrace.cli.slo.burn import DAY_S, Window, windows
from tailrace.cli.slo.objective import Objective
from tailrace.cli.slo.prometheus_api import PrometheusApi
from tailrace.runtime import telemetry_names as names

# How finely the beginning of the data is looked for.
_STEPS = 200
# Label that tells the parts of one query apart.
_NAME = "counted"


class Source(enum.StrEnum):
    """What a report reads."""

    AUTO = "auto"
    RULES = "rules"
    METRICS = "metrics"


@dataclass(frozen=True)
class Kept:
    """An objective over a window.

    Attributes:
        objective: which.
        window: over which.
        source: what was read; never `auto`.
        events: how many there were; None if nothing is known of any.
        bad: how many of them were bad.
        since: when the first of the data are from, in seconds since 1970.
        burn_rates: how many times too fast the budget burns, by window; None without events.
        worst_hop: name of the hop that spends most, and its share of all hops' time; None if it
            is not known.
    """

    objective: Objective
    window: Window
    source: Source
    events: float | None
    bad: float
    since: float | None
    burn_rates: dict[str, float | None]
    worst_hop: tuple[str, float] | None

    @property
    def good_share(self) -> float | None:
        """Share of good events; None without events."""
        return 1 - self.bad / self.events if self.events else None

    @property
    def budget_left(self) -> float | None:
        """Share of the error budget that is left, below 0 if it is overspent; None without events.

        The budget is for the events of the window, so few events make a small one.
        """
        good = self.good_share
        return None if good is None else 1 - (1 - good) / float(self.objective.budget)

    @property
    def budget_left_events(self) -> float | None:
        """How many more events may be bad, if no further ones come; None without events."""
        if not self.events:
            return None
        return self.events * float(self.objective.budget) - self.bad

    @property
    def budget_left_minutes(self) -> float | None:
        """How long a whole outage at the window's mean traffic would spend it, in minutes."""
        left = self.budget_left
        if left is None:
            return None
        return left * float(self.objective.budget) * self.window.seconds / 60

    @property
    def broken(self) -> bool:
        """Whether more events were bad than may be."""
        left = self.budget_left_events
        # Counts are extrapolated, and a budget spent to the last event is not overspent.
        return left is not None and left < -1e-6 * max(self.bad, 1)


def read_kept(
    api: PrometheusApi, objective: Objective, window: Window, source: Source, at: float
) -> Kept:
    """Returns how an objective was kept.

    Args:
        api: the server.
        objective: which.
        window: over which, until `at`.
        source: `rules` reads what the rendered rules record, `metrics` what the processes say;
            `auto` reads the former where it goes back as far.
        at: seconds since 1970.

    Raises:
        SloFailed: the server does not answer.
    """
    interval_s = None if source is Source.METRICS else api.rule_interval_s(recorded.every("5m"))
    recorded_since = metrics_since = None
    if interval_s is not None:
        recorded_since = _since(api, _of(objective, recorded.every("5m")), window, at)
    if source is not Source.RULES:
        metrics_since = _since(api, objective.all_rate("5m"), window, at)
    step_s = window.seconds / _STEPS
    if source is Source.AUTO:
        # What is recorded is averaged over 5 minutes; of a day, the metrics are read fast enough.
        recorded_far = recorded_since is not None and (
            metrics_since is None or recorded_since <= metrics_since + 2 * step_s
        )
        far = recorded_far and (window.seconds > DAY_S or metrics_since is None)
        source = Source.RULES if far else Source.METRICS
    if source is Source.RULES:
        since, scale = recorded_since, interval_s or 0.0
        series = (_of(objective, name) for name in (recorded.every("5m"), recorded.bad("5m")))
        every, all_bad = (f"sum_over_time({each}[{window.text}])" for each in series)
    else:
        since, scale = metrics_since, float(window.seconds)
        every, all_bad = objective.all_rate(window.text), objective.bad_rate(window.text)
    # In one query, so that both are of the same scrapes.
    asked = f"{_named(every, 'all')} or {_named(all_bad, 'bad')}"
    found = {name: count * scale for name, count in api.values(asked, _NAME, at).items()}
    events, bad = found.get("all"), found.get("bad")
    return Kept(
        objective=objective,
        window=window,
        source=source,
        events=events,
        bad=bad or 0.0,
        since=since,
        burn_rates=_burn_rates(api, objective, source, at),
        worst_hop=_worst_hop(api, objective, window, at),
    )


def _of(objective: Objective, name: str) -> str:
    return f"{name}{{{objective.where}}}"


def _since(api: PrometheusApi, promql: str, window: Window, at: float) -> float | None:
    step_s = max(window.seconds / _STEPS, 1)
    # The last point is `at` itself, so data that began just now are found, too.
    found = api.first_instant(promql, at - _STEPS * step_s, at, step_s)
    if found is None or step_s <= 1:
        return found
    finer = api.first_instant(promql, found - step_s, found, max(step_s / _STEPS, 1))
    return found if finer is None else finer


def _named(expression: str, name: str) -> str:
    return f'label_replace({expression}, "{_NAME}", "{name}", "", "")'


def _burn_rates(
    api: PrometheusApi, objective: Objective, source: Source, at: float
) -> dict[str, float | None]:
    rates = {}
    for window in windows(objective.window_days):
        bad, every = (
            (_of(objective, recorded.bad(window.text)), _of(objective, recorded.every(window.text)))
            if source is Source.RULES
            else (objective.bad_rate(window.text), objective.all_rate(window.text))
        )
        share = api.value(f"({bad}) / (({every}) > 0)", at)
        rates[window.text] = None if share is None else share / float(objective.budget)
    return rates


def _worst_hop(
    api: PrometheusApi, objective: Objective, window: Window, at: float
) -> tuple[str, float] | None:
    if objective.hop:
        return objective.hop, 1.0
    where = f'{CALLERS},pipeline="{objective.pipeline}"'
    metric = {
        "latency": f"{names.HOP_SECONDS}_sum",
        "availability": names.HOP_FAILURES_TOTAL,
    }.get(objective.kind)
    if metric is None:
        return None
    by_hop = api.values(f"sum by (hop) (rate({metric}{{{where}}}[{window.text}]))", "hop", at)
    total = sum(by_hop.values())
    if not total > 0:
        return None
    worst = max(by_hop, key=lambda hop: (by_hop[hop], hop))
    return worst, by_hop[worst] / total
