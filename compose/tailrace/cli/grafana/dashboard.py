"""A dashboard: rows of panels in a grid, variables, and links to the others.

Source: the type `Dashboard` of the npm package `@grafana/schema`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tailrace.cli.grafana.panel import DATASOURCE, Json, Panel

_COLUMNS = 24
_TAG = "tailrace"
# Of the classic dashboard model; Grafana brings older ones up to its own when it loads them.
_SCHEMA_VERSION = 41
_ON_LOAD, _ON_TIME_RANGE = 1, 2


@dataclass(frozen=True)
class Row:
    """Panels under one heading.

    Attributes:
        title: the heading.
        panels: from left to right, wrapped at 24 columns.
        collapsed: whether it is closed at first; its queries are asked once it is opened.
    """

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        uid: in its address; the same for ever.
        title: starts with `Tailrace: `.
        description: what it is for.
        rows: from top to bottom.
        variables: as `query_variable` and `choice_variable` return them.
        time_from: start of the time that is shown at first.
        refresh: how often it asks again.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Json] = ()
    time_from: str = "now-1h"
    refresh: str = "30s"

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, in order."""
        return (panel for row in self.rows for panel in row.panels)

    def to_json(self) -> Json:
        """Returns the dashboard as Grafana's classic JSON model."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [_TAG],
            "schemaVersion": _SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "time": {"from": self.time_from, "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_datasource_variable(), *self.variables]},
            "annotations": {"list": []},
            "links": [_links()],
            "panels": _placed(self.rows),
        }


def json_text(dashboard: Dashboard) -> str:
    """Returns the file of a dashboard."""
    return json.dumps(dashboard.to_json(), indent=2, ensure_ascii=False) + "\n"


def query_variable(
    name: str, label: str, metric: str, *, of: str = "", several: bool = True
) -> Json:
    """Returns a variable whose values are those of a label.

    Args:
        name: of the variable.
        label: shown before it.
        metric: whose label it is; may have matchers.
        of: the label; called as the variable, if empty.
        several: whether several values, and all at once, can be chosen. Queries then match with
            `=~`; with `=` otherwise.
    """
    query = f"label_values({metric}, {of or name})"
    variable: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": dict(DATASOURCE),
        "query": {"query": query, "refId": f"Variable-{name}"},
        "refresh": _ON_TIME_RANGE,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    }
    if several:
        variable["allValue"] = ".*"
        variable["current"] = {"text": "All", "value": "$__all"}
    return variable


def choice_variable(name: str, label: str, values: Sequence[str]) -> Json:
    """Returns a variable with fixed values, the first of which is chosen at first."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "current": {"text": values[0], "value": values[0]},
        "multi": False,
        "includeAll": False,
    }


def _datasource_variable() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "refresh": _ON_LOAD,
        "current": {"text": "Prometheus", "value": "prometheus"},
        "multi": False,
        "includeAll": False,
    }


def _links() -> Json:
    return {
        "type": "dashboards",
        "title": "Tailrace",
        "tooltip": "The other dashboards of this mesh",
        "icon": "external link",
        "tags": [_TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "url": "",
    }


def _placed(rows: Sequence[Row]) -> list[Json]:
    placed: list[Json] = []
    y, number = 0, 1
    for row in rows:
        heading: Json = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        panels, end = _flow(row.panels, number + 1, y + 1)
        number += 1 + len(panels)
        placed.append(heading)
        if row.collapsed:
            heading["panels"] = panels
            y += 1
        else:
            placed += panels
            y = end
    return placed


def _flow(panels: Sequence[Panel], number: int, y: int) -> tuple[list[Json], int]:
    """Returns panels at their places, and the row below them."""
    placed: list[Json] = []
    x, below = 0, y
    for place, panel in enumerate(panels):
        if x + panel.width > _COLUMNS:
            x, y = 0, below
        placed.append(panel.to_json(number + place, x, y))
        x += panel.width
        below = max(below, y + panel.height)
    return placed, below
