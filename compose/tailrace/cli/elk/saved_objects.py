"""Kibana's saved objects: a data view, saved searches, visualisations and a dashboard.

Visualisations are of the kind that is made of aggregations (`visState`), which has kept its form
since Kibana 4, and reads as the aggregations that Elasticsearch is asked for. Queries are in
Lucene's syntax for the same reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.cli.elk.index_template import PATTERN
from tailrace.runtime.log_fields import FIELDS

DATA_VIEW = "tailrace-logs"
DASHBOARD = "tailrace-logs"
# Of Kibana 8.9 and later; newer ones bring older objects up to date when they are imported.
_CORE_VERSION = "8.8.0"
_TYPE_VERSIONS = {
    "index-pattern": "8.0.0",
    "search": "8.0.0",
    "visualization": "8.5.0",
    "dashboard": "8.9.0",
}
_COLUMNS_ACROSS = 48


def saved_object(
    kind: str,
    name: str,
    attributes: Mapping[str, Any],
    references: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Returns one saved object, as Kibana exports it.

    Args:
        kind: such as `dashboard`.
        name: its id.
        attributes: as of its kind.
        references: to other objects.
    """
    return {
        "id": name,
        "type": kind,
        "attributes": dict(attributes),
        "references": [dict(each) for each in references],
        "coreMigrationVersion": _CORE_VERSION,
        "typeMigrationVersion": _TYPE_VERSIONS[kind],
        "managed": False,
    }


def data_view() -> dict[str, Any]:
    """Returns the data view of all log lines; nanoseconds are shown as milliseconds."""
    milliseconds = {
        "id": "duration",
        "params": {
            "inputFormat": "nanoseconds",
            "outputFormat": "asMilliseconds",
            "outputPrecision": 2,
            "showSuffix": True,
            "useShortSuffix": True,
        },
    }
    durations = [name for name in FIELDS if name.endswith("_ns") or name == "event.duration"]
    return saved_object(
        "index-pattern",
        DATA_VIEW,
        {
            "title": PATTERN,
            "name": "Tailrace logs",
            "timeFieldName": "@timestamp",
            "fieldFormatMap": _text(dict.fromkeys(durations, milliseconds)),
        },
    )


def search(
    name: str, title: str, query: str, columns: Sequence[str], order: tuple[str, str]
) -> dict[str, Any]:
    """Returns a saved search.

    Args:
        name: its id.
        title: for people.
        query: in Lucene's syntax.
        columns: fields to show.
        order: field and direction, `asc` or `desc`.
    """
    attributes = {
        "title": title,
        "columns": list(columns),
        "sort": [list(order)],
        **_searched(query),
    }
    return saved_object("search", name, attributes, [_of_data_view()])


def visualization(
    name: str, title: str, kind: str, query: str, aggregations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns a visualisation.

    Args:
        name: its id.
        title: for people.
        kind: of the chart, such as `heatmap`.
        query: in Lucene's syntax.
        aggregations: `metric` and `bucket`s, in order.
    """
    numbered = [
        {"id": str(number), "enabled": True, **each}
        for number, each in enumerate(aggregations, start=1)
    ]
    state = {"title": title, "type": kind, "params": _chart(kind, numbered), "aggs": numbered}
    attributes = {"title": title, "visState": _text(state), "uiStateJSON": "{}", **_searched(query)}
    return saved_object("visualization", name, attributes, [_of_data_view()])


def metric(kind: str, field: str = "", label: str = "", **params: Any) -> dict[str, Any]:
    """Returns a metric aggregation, such as `percentiles` of a field."""
    named = {"field": field} if field else {}
    shown = {"customLabel": label} if label else {}
    return {"type": kind, "schema": "metric", "params": {**named, **params, **shown}}


def bucket(kind: str, schema: str, field: str, label: str = "", **params: Any) -> dict[str, Any]:
    """Returns a bucket aggregation; the schema says where in the chart, such as `segment`."""
    shown = {"customLabel": label} if label else {}
    return {"type": kind, "schema": schema, "params": {"field": field, **params, **shown}}


def over_time() -> dict[str, Any]:
    """Returns buckets of time along the chart."""
    return bucket(
        "date_histogram",
        "segment",
        "@timestamp",
        interval="auto",
        min_doc_count=1,
        drop_partials=False,
    )


def top(field: str, label: str, schema: str = "group", size: int = 10) -> dict[str, Any]:
    """Returns buckets of the most frequent values of a field; `1` is the metric they go by."""
    return bucket("terms", schema, field, label, size=size, order="desc", orderBy="_count")


def dashboard(
    name: str, title: str, panels: Sequence[tuple[dict[str, Any], int, int]]
) -> dict[str, Any]:
    """Returns a dashboard.

    Args:
        name: its id.
        title: for people.
        panels: object, columns (of 48) and rows of each; they flow from left to right.
    """
    laid_out, references = [], []
    x = y = tallest = 0
    for number, (shown, width, height) in enumerate(panels):
        if x + width > _COLUMNS_ACROSS:
            x, y, tallest = 0, y + tallest, 0
        laid_out.append(
            {
                "type": shown["type"],
                "panelIndex": str(number),
                "panelRefName": f"panel_{number}",
                "gridData": {"x": x, "y": y, "w": width, "h": height, "i": str(number)},
                "embeddableConfig": {},
            }
        )
        references.append(
            {"name": f"{number}:panel_{number}", "type": shown["type"], "id": shown["id"]}
        )
        x, tallest = x + width, max(tallest, height)
    attributes = {
        "title": title,
        "panelsJSON": _text(laid_out),
        "optionsJSON": _text({"useMargins": True, "hidePanelTitles": False}),
        "timeRestore": True,
        "timeFrom": "now-1h",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 10_000},
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": _lucene(""), "filter": []})},
    }
    return saved_object("dashboard", name, attributes, references)


def _chart(kind: str, aggregations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if kind == "table":
        return {"perPage": 10, "showPartialRows": False, "showTotal": False}
    if kind == "heatmap":
        return {
            "type": "heatmap", "addTooltip": True, "addLegend": True, "legendPosition": "right",
            "enableHover": False, "times": [], "colorsNumber": 8, "colorSchema": "Blues",
            "setColorRange": False, "colorsRange": [], "invertColors": False,
            "percentageMode": False,
            "valueAxes": [
                {"show": False, "id": "ValueAxis-1", "type": "value",
                 "scale": {"type": "linear", "defaultYExtents": False},
                 "labels": {"show": False, "rotate": 0, "overwriteColor": False, "color": "black"}}
            ],
        }  # fmt: skip
    metrics = [each for each in aggregations if each["schema"] == "metric"]
    chart = "line" if kind == "line" else "histogram"
    return {
        "type": kind, "addTooltip": True, "addLegend": True, "legendPosition": "right",
        "times": [], "addTimeMarker": False, "grid": {"categoryLines": False},
        "categoryAxes": [
            {"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": True,
             "scale": {"type": "linear"}, "labels": {"show": True, "truncate": 100}, "title": {}}
        ],
        "valueAxes": [
            {"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left",
             "show": True, "scale": {"type": "linear", "mode": "normal"},
             "labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100},
             "title": {"text": ""}}
        ],
        "seriesParams": [
            {"show": True, "type": chart, "mode": "normal" if kind == "line" else "stacked",
             "data": {"id": each["id"], "label": each["params"].get("customLabel", "Count")},
             "valueAxis": "ValueAxis-1", "drawLinesBetweenPoints": True, "showCircles": True}
            for each in metrics
        ],
    }  # fmt: skip


def _searched(query: str) -> dict[str, Any]:
    source = {
        "query": _lucene(query),
        "filter": [],
        "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index",
    }
    return {"description": "", "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)}}


def _lucene(query: str) -> dict[str, str]:
    return {"language": "lucene", "query": query}


def _of_data_view() -> dict[str, str]:
    return {
        "name": "kibanaSavedObjectMeta.searchSourceJSON.index",
        "type": "index-pattern",
        "id": DATA_VIEW,
    }


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
