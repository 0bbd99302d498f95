"""A pipeline's objectives as a spec for Sloth.

Source of the format: `prometheus/v1`, https://sloth.dev/specs/default/ and the Go package
github.com/slok/sloth/pkg/prometheus/api/v1. Sloth makes rules of its own from it: of the same
indicators, for a window of 30 days, or of 28 if it is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.cli.slo.alerts import ALERT, Links, dashboard_url
from tailrace.cli.slo.objective import Objective

VERSION = "prometheus/v1"
_WINDOW = "{{.window}}"


def sloth_spec(objectives: Sequence[Objective], links: Links) -> dict[str, Any]:
    """Returns the spec of one pipeline, which has objectives."""
    return {
        "version": VERSION,
        "service": f"tailrace-{objectives[0].pipeline}",
        "labels": {"pipeline": objectives[0].pipeline},
        "slos": [_slo(objective, links) for objective in objectives],
    }


def _slo(objective: Objective, links: Links) -> dict[str, Any]:
    subject = f"{objective.pipeline}: {objective.name}"
    hop = f" in {objective.hop}" if objective.hop else ""
    labels = {key: text for key, text in objective.labels.items() if key != "pipeline"}
    return {
        "name": objective.name,
        "objective": float(objective.percent),
        "description": objective.sentence,
        "labels": labels,
        "sli": {
            "events": {
                "error_query": objective.bad_rate(_WINDOW),
                "total_query": objective.all_rate(_WINDOW),
            }
        },
        "alerting": {
            "name": ALERT,
            "annotations": {
                "summary": f"{subject} burns its error budget too fast{hop}",
                "runbook_url": links.runbook,
                "dashboard_url": dashboard_url(objective, links),
            },
            "page_alert": {"labels": {"severity": "page"}},
            "ticket_alert": {"labels": {"severity": "ticket"}},
        },
    }
