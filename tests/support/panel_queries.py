"""The queries of the committed dashboards, with values in place of Grafana's variables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tailrace.cli.grafana.committed import DASHBOARDS_DIR, files

# What Grafana puts in place of variables: all of what has been seen, so that rates span everything.
VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "5m",
    "$pipeline": "echo",
    "$service": ".*",
    "$hop": ".*",
    "$objective": ".*",
    "$view": ".*",
    "$model": ".*",
    "$window": "5m",
    "$compare": "1s",
}


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel.

    Attributes:
        place: dashboard, panel and query.
        panel: the panel's title.
        promql: with values for variables.
        exemplars: whether the panel shows exemplars of it.
    """

    place: str
    panel: str
    promql: str
    exemplars: bool


def queries() -> Iterator[PanelQuery]:
    """Returns the queries of all committed dashboards."""
    for file in sorted(files(DASHBOARDS_DIR)):
        for panel in panels_of(json.loads(file.read_text())):
            for target in panel["targets"]:
                place = f"{file.name}: {panel['title']}: {target['refId']}"
                query = with_values(target["expr"])
                yield PanelQuery(place, panel["title"], query, target.get("exemplar", False))


def panels_of(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Returns the panels, those of collapsed rows included."""
    for panel in dashboard["panels"]:
        yield from panels_of(panel) if panel["type"] == "row" else [panel]


def with_values(query: str, values: Mapping[str, str] = VARIABLES) -> str:
    """Returns a query without variables."""
    for name, value in {**VARIABLES, **values}.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query
