"""One panel and its queries, as Grafana's dashboard JSON has them.

Source: the types `Panel` and `FieldConfigSource` of the npm package `@grafana/schema`, against
which `make check-grafana` checks what comes out.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Shape = Literal["series", "table", "heatmap"]

DATASOURCE: Mapping[str, str] = {"type": "prometheus", "uid": "${datasource}"}
_FORMATS: Mapping[Shape, str] = {"series": "time_series", "table": "table", "heatmap": "heatmap"}


@dataclass(frozen=True)
class Query:
    """One PromQL query of a panel.

    Attributes:
        expression: PromQL, with variables.
        legend: name of each series, with labels as `{{label}}`.
        exemplars: whether traces of single requests are shown beside the series.
        shape: `series` over time, `table` for the newest values, or `heatmap` for buckets.
        newest_only: whether only the newest value is asked for, as tables and tiles need.
    """

    expression: str
    legend: str = ""
    exemplars: bool = False
    shape: Shape = "series"
    newest_only: bool = False

    def to_json(self, letter: str) -> Json:
        """Returns the query as Grafana's Prometheus data source reads it."""
        return {
            "refId": letter,
            "datasource": dict(DATASOURCE),
            "editorMode": "code",
            "expr": self.expression,
            "legendFormat": self.legend or "__auto",
            "format": _FORMATS[self.shape],
            "exemplar": self.exemplars,
            "instant": self.newest_only,
            "range": not self.newest_only,
        }


@dataclass(frozen=True)
class Override:
    """What differs for the field of one name.

    Attributes:
        name: of the field, as it is shown.
        properties: by id, such as `unit`.
    """

    name: str
    properties: Mapping[str, Any]

    def to_json(self) -> Json:
        """Returns the override as dashboards have it."""
        return {
            "matcher": {"id": "byName", "options": self.name},
            "properties": [{"id": key, "value": value} for key, value in self.properties.items()],
        }


@dataclass(frozen=True)
class Panel:
    """One panel; `panel_kinds` makes them.

    Attributes:
        kind: Grafana's name of the visualisation.
        title: what is shown.
        description: how to read it.
        queries: at most 26.
        unit: Grafana's name of the unit of the values, such as `s`, `reqps`, `percentunit`.
        width: columns of 24.
        height: rows of 30 pixels.
        options: of the visualisation.
        custom: of its fields.
        defaults: more of the fields' configuration, such as `thresholds`.
        overrides: for fields of their own.
        transformations: of the data before it is shown, by id and options.
    """

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int
    height: int
    options: Mapping[str, Any]
    custom: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[Override] = ()
    transformations: Sequence[tuple[str, Mapping[str, Any]]] = ()

    def to_json(self, number: int, x: int, y: int) -> Json:
        """Returns the panel at its place.

        Args:
            number: id of the panel within its dashboard.
            x: column of its left edge.
            y: row of its upper edge.
        """
        letters = string.ascii_uppercase
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": dict(DATASOURCE),
            "targets": [
                query.to_json(letter) for query, letter in zip(self.queries, letters, strict=False)
            ],
            "options": dict(self.options),
            "fieldConfig": {
                "defaults": {"unit": self.unit, "custom": dict(self.custom), **self.defaults},
                "overrides": [override.to_json() for override in self.overrides],
            },
            "transformations": [
                {"id": name, "options": dict(options)} for name, options in self.transformations
            ],
        }
