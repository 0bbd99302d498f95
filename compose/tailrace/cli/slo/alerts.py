"""Alerts of an objective: a page or a ticket for each pair of windows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from urllib.parse import urlencode

from tailrace.cli.grafana.promql import CALLERS
from tailrace.cli.slo import recorded
from tailrace.cli.slo.burn import Pair, pairs
from tailrace.cli.slo.objective import Objective, number
from tailrace.cli.slo.recording import Rule
from tailrace.runtime import telemetry_names as names

ALERT = "TailraceBudgetBurn"
DASHBOARD_UID = "tailrace-slo"

_DIGITS = Decimal("0.00001")


@dataclass(frozen=True)
class Links:
    """Where alerts point to.

    Attributes:
        grafana: what the dashboard's path is below; empty leaves the path alone.
        runbook: the page that says what to do.
    """

    grafana: str = ""
    runbook: str = "docs/runbook.md#tailracebudgetburn"


def alert_rules(objective: Objective, links: Links) -> list[Rule]:
    """Returns the alerts, the most urgent first. The value of each is the burn rate."""
    return [_alert(objective, pair, links) for pair in pairs(objective.window_days)]


def _alert(objective: Objective, pair: Pair, links: Links) -> Rule:
    rate = number(pair.burn_rate(objective).quantize(_DIGITS, ROUND_HALF_EVEN))
    long, short = pair.long, pair.short
    bad = f"{recorded.bad(long.text)}{{{objective.where}}} * {long.seconds}"
    # Half a bad event less, as rates are floats.
    enough = f"{bad} > {number(Decimal(objective.min_bad_events) - Decimal('0.5'))}"
    expression = (
        f"{_burning(objective, long.text)} > {rate}\n"
        f"and {_burning(objective, short.text)} > {rate}\n"
        f"and {enough}"
    )
    return {
        "alert": ALERT,
        "expr": expression,
        "labels": {
            "severity": pair.severity,
            **objective.labels,
            "long_window": long.text,
            "short_window": short.text,
        },
        "annotations": _annotations(objective, pair, rate, links),
    }


def _burning(objective: Objective, window: str) -> str:
    return f"{recorded.ratio(window)}{{{objective.where}}} / {number(objective.budget)}"


def _annotations(objective: Objective, pair: Pair, rate: str, links: Links) -> dict[str, str]:
    subject = f"{objective.pipeline}: {objective.name}"
    hop = f" in {objective.hop}" if objective.hop else ""
    left = _asked(f"{recorded.BUDGET_REMAINING}{{{objective.where}}}", "value | humanizePercentage")
    annotations = {
        "summary": f'{subject} burns its error budget {{{{ $value | printf "%.1f" }}}} times '
        f"too fast{hop}",
        "description": f"Promised: {objective.sentence}, over {objective.window_days} days. "
        f"Over the last {pair.long.text}, and still over the last {pair.short.text}, its budget "
        f"has burned more than {rate} times as fast as it may. Of the budget is left: {left}.",
        "burn_rate": '{{ $value | printf "%.2f" }}',
        "runbook_url": links.runbook,
        "dashboard_url": dashboard_url(objective, links),
    }
    where = _where(objective)
    return annotations | ({"where": where} if where else {})


def dashboard_url(objective: Objective, links: Links) -> str:
    """Returns where the dashboard shows an objective."""
    variables = {"var-pipeline": objective.pipeline, "var-objective": objective.name}
    return f"{links.grafana.rstrip('/')}/d/{DASHBOARD_UID}?{urlencode(variables)}"


def _where(objective: Objective) -> str:
    """Returns a template that names what the trouble comes from, where the objective does not."""
    where = f'pipeline="{objective.pipeline}"'
    callers = f"{CALLERS},{where}"
    if objective.kind == "availability":
        failures = f"sum by (hop, reason) (rate({names.HOP_FAILURES_TOTAL}{{{callers}}}[5m])) > 0"
        return _top(failures, "{{ .Labels.hop }}: {{ .Labels.reason }}", "most rows failed in ")
    if objective.kind == "degraded":
        reasons = f"sum by (reason) (rate({names.DEGRADED_TOTAL}{{{callers}}}[5m])) > 0"
        return _top(reasons, "{{ .Labels.reason }}", "most often: ")
    if objective.kind == "fresh":
        rows = f'{names.FEATURE_ROWS_TOTAL}{{{where},state!="fresh"}}'
        views = f"sum by (view, state) (rate({rows}[5m])) > 0"
        return _top(views, "{{ .Labels.view }}: {{ .Labels.state }}", "most rows: ")
    if objective.kind == "latency" and not objective.hop:
        spent = f"sum by (hop) (rate({names.HOP_SECONDS}_sum{{{callers}}}[5m]))"
        passed = f"sum by (hop) (rate({names.HOP_SECONDS}_count{{{callers}}}[5m]))"
        mean = f"{spent} / ({passed} > 0)"
        return _top(mean, "{{ .Labels.hop }} ({{ .Value | humanizeDuration }})", "slowest hop: ")
    return ""


def _top(expression: str, shown: str, before: str) -> str:
    query = f"topk(1, {expression})".replace('"', "'")
    return f'{{{{ range query "{query}" }}}}{before}{shown}{{{{ end }}}}'


def _asked(expression: str, shown: str) -> str:
    query = expression.replace('"', "'")
    return (
        f'{{{{ with query "{query}" }}}}{{{{ . | first | {shown} }}}}{{{{ else }}}}'
        "not recorded yet{{ end }}"
    )
