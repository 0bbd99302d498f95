"""The Grafana dashboard of objectives, of whatever pipelines the rules are of."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.dashboard import Dashboard, Row, query_variable
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.cli.slo import recorded
from tailrace.cli.slo.alerts import ALERT, DASHBOARD_UID
from tailrace.runtime import telemetry_names as names

DASHBOARD_FILE = "tailrace-slo.json"

_CHOSEN = 'pipeline=~"$pipeline",objective=~"$objective"'
_LEGEND = "{{pipeline}} {{objective}}"
_ROW = {"pipeline": "Pipeline", "objective": "Objective", "hop": "Hop"}
_BY = ("pipeline", "objective", "hop")


def slo_dashboard() -> Dashboard:
    """Returns the dashboard: which objective is in danger, since when, and through which hop."""
    return Dashboard(
        uid=DASHBOARD_UID,
        title="Tailrace: objectives",
        description="Which promise is in danger, how fast its error budget burns, and where.",
        rows=(
            Row("Promised and kept", (_alerts(), _least_left(), _fastest(), _table())),
            Row("Error budgets", (_left(), _left_events())),
            Row("Burn rates", tuple(_burning(window) for window in ("5m", "1h", "6h", "3d"))),
            Row("Events", (_all_events(), _bad_events())),
            Row("Where", (_hops(), _reasons())),
        ),
        variables=(
            query_variable("pipeline", "Pipeline", recorded.OBJECTIVE),
            query_variable(
                "objective", "Objective", f'{recorded.OBJECTIVE}{{pipeline=~"$pipeline"}}'
            ),
        ),
        time_from="now-6h",
    )


def _selected(name: str) -> str:
    return promql.selector(name, _CHOSEN)


def _alerts() -> Panel:
    firing = f'ALERTS{{alertname="{ALERT}",alertstate="firing",{_CHOSEN}}}'
    return panel_kinds.tile(
        "Alerts that fire",
        "Pages and tickets of the chosen objectives.",
        promql.or_zero(f"count({firing})"),
        unit="short",
        bad_from=(1, 2),
    )


def _least_left() -> Panel:
    return panel_kinds.tile(
        "Least budget left",
        "Of all chosen objectives, the smallest share of an error budget that is left. Below 0, "
        "the objective is broken.",
        f"min({_selected(recorded.BUDGET_REMAINING)})",
        unit="percentunit",
        bad_below=(0.25, 0.0),
    )


def _fastest() -> Panel:
    return panel_kinds.tile(
        "Fastest burn, 1 h",
        "At 1, a budget lasts exactly until the end of its window.",
        f"max({_selected(recorded.BURN_RATE)})",
        unit="short",
        bad_from=(1, 6),
    )


def _table() -> Panel:
    def column(title: str, name: str, unit: str) -> panel_kinds.Column:
        return panel_kinds.Column(title, f"max by ({', '.join(_BY)}) ({_selected(name)})", unit)

    kept = f"1 - {_selected(recorded.ERROR_RATIO_OF_WINDOW)}"
    return panel_kinds.table(
        "Objectives",
        "Kept and left are over the whole window of each objective; events left is how many more "
        "may be bad if no further ones come.",
        _ROW,
        (
            column("Burn rate, 1 h", recorded.BURN_RATE, "short"),
            panel_kinds.Column("Kept", f"max by ({', '.join(_BY)}) ({kept})", "percentunit"),
            column("Promised", recorded.OBJECTIVE, "percentunit"),
            column("Budget left", recorded.BUDGET_REMAINING, "percentunit"),
            column("Events left", recorded.BUDGET_REMAINING_EVENTS, "short"),
            column("Window, days", recorded.WINDOW_DAYS, "short"),
        ),
    )


def _left() -> Panel:
    return panel_kinds.lines(
        "Error budget left",
        "Share of the budget of the whole window. It falls while it burns, and rises again as bad "
        "events leave the window.",
        [Query(_selected(recorded.BUDGET_REMAINING), _LEGEND)],
        unit="percentunit",
        width=12,
        least=None,
    )


def _left_events() -> Panel:
    return panel_kinds.lines(
        "Events that may still be bad",
        "The same as a number of events.",
        [Query(_selected(recorded.BUDGET_REMAINING_EVENTS), _LEGEND)],
        unit="short",
        width=12,
        least=None,
    )


def _burning(window: str) -> Panel:
    ratio = _selected(recorded.ratio(window))
    budget = f"(1 - {_selected(recorded.OBJECTIVE)})"
    return panel_kinds.lines(
        f"Burn rate over {window}",
        "How many times too fast the budget burns. Alerts of a 30-day window fire at 14.4 (1 h and "
        "5 m) and 6 (6 h and 30 m), tickets at 3 (1 d and 2 h) and 1 (3 d and 6 h).",
        [Query(f"{ratio} / {budget}", _LEGEND)],
        unit="short",
        width=12,
    )


def _all_events() -> Panel:
    return panel_kinds.lines(
        "Events",
        "All that objectives are about: answers, passages of a hop, feature rows, deliveries.",
        [Query(_selected(recorded.every("5m")), _LEGEND)],
        unit="reqps",
        width=12,
    )


def _bad_events() -> Panel:
    return panel_kinds.lines(
        "Bad events",
        "Those of them that were too slow, failed, degraded, or not fresh.",
        [Query(_selected(recorded.bad("5m")), _LEGEND)],
        unit="reqps",
        width=12,
    )


def _hops() -> Panel:
    return panel_kinds.lines(
        "Mean time by hop",
        "Where the time goes, when a latency objective burns.",
        [Query(promql.mean(names.HOP_SECONDS, 'pipeline=~"$pipeline"', ["hop"]), "{{hop}}")],
        unit="s",
        width=12,
    )


def _reasons() -> Panel:
    where = 'pipeline=~"$pipeline"'
    failed = promql.rate(names.HOP_FAILURES_TOTAL, where, ["hop", "reason"])
    degraded = promql.rate(names.DEGRADED_TOTAL, where, ["reason"])
    return panel_kinds.lines(
        "Failures and degradations by reason",
        "Why, when availability or the share of degraded answers burns.",
        [Query(failed, "{{hop}}: {{reason}}"), Query(degraded, "degraded: {{reason}}")],
        unit="reqps",
        width=12,
    )
