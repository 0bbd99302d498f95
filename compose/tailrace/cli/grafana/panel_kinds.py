"""The kinds of panels that the dashboards have."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tailrace.cli.grafana.panel import Override, Panel, Query

_TOOLTIP = {"mode": "multi", "sort": "desc"}
_LEGEND = {
    "showLegend": True,
    "displayMode": "table",
    "placement": "bottom",
    "calcs": ["mean", "max", "lastNotNull"],
    "sortBy": "Last *",
    "sortDesc": True,
}
_GREEN = "green"


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
) -> Panel:
    """Returns a graph over time.

    Args:
        title: what is shown.
        description: how to read it.
        queries: its series.
        unit: Grafana's name of the values' unit.
        width: columns of 24.
        height: rows of 30 pixels.
        stacked: whether the series add up.
        least: lower end of the axis; as far as the values go, if none.
        most: upper end of the axis; as far as the values go, if none.
    """
    custom: dict[str, Any] = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 60 if stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    return Panel(
        kind="timeseries",
        title=title,
        description=description,
        queries=queries,
        unit=unit,
        width=width,
        height=height,
        options={"tooltip": _TOOLTIP, "legend": _LEGEND},
        custom=custom,
        defaults={
            end: value for end, value in (("min", least), ("max", most)) if value is not None
        },
    )


def tile(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str,
    legend: str = "",
    width: int = 4,
    bad_from: tuple[float, float] | None = None,
    bad_below: tuple[float, float] | None = None,
) -> Panel:
    """Returns one large figure, the newest, with its course behind it.

    Args:
        title: what is shown.
        description: how to read it.
        expression: PromQL; each series is a figure.
        unit: Grafana's name of the unit.
        legend: shown beside the figure, if there is one.
        width: columns of 24.
        bad_from: from where on it is orange, and from where on red; never, if none.
        bad_below: where what is small is bad: below what it is orange, and below what red.
    """
    steps: list[dict[str, Any]] = [{"color": _GREEN, "value": None}]
    if bad_from is not None:
        orange, red = bad_from
        steps += [{"color": "orange", "value": orange}, {"color": "red", "value": red}]
    if bad_below is not None:
        orange, red = bad_below
        steps = [
            {"color": "red", "value": None},
            {"color": "orange", "value": red},
            {"color": _GREEN, "value": orange},
        ]
    return Panel(
        kind="stat",
        title=title,
        description=description,
        queries=(Query(expression, legend),),
        unit=unit,
        width=width,
        height=4,
        options={
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "inverted",
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
            "showPercentChange": False,
            "textMode": "value_and_name" if legend else "auto",
            "wideLayout": True,
        },
        defaults={"thresholds": {"mode": "absolute", "steps": steps}},
    )


def named_tile(title: str, description: str, expression: str, *, unit: str, legend: str) -> Panel:
    """Returns the names and values of the newest series, without their course."""
    panel = tile(title, description, expression, unit=unit, legend=legend, width=6)
    query = replace(panel.queries[0], newest_only=True)
    return replace(panel, queries=(query,), options=dict(panel.options) | {"graphMode": "none"})


def heatmap(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str,
    width: int = 12,
    exemplars: bool = False,
) -> Panel:
    """Returns how observations spread over the buckets of a histogram, over time.

    Args:
        title: what is shown.
        description: how to read it.
        expression: PromQL that gives cumulative counts by `le`.
        unit: Grafana's name of the unit of the buckets' bounds.
        width: columns of 24.
        exemplars: whether traces of single requests are shown as dots.
    """
    return Panel(
        kind="heatmap",
        title=title,
        description=description,
        queries=(Query(expression, "{{le}}", exemplars=exemplars, shape="heatmap"),),
        unit="short",
        width=width,
        height=8,
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "scale": "exponential",
                "exponent": 0.5,
                "fill": "dark-orange",
                "reverse": False,
                "steps": 64,
            },
            "exemplars": {"color": "rgba(31, 120, 193, 0.8)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
            "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
        },
        custom={"scaleDistribution": {"type": "linear"}},
    )


@dataclass(frozen=True)
class Column:
    """A column of figures of a table.

    Attributes:
        title: its head.
        expression: PromQL whose labels say which row a value belongs to.
        unit: Grafana's name of the unit.
        bar: whether a bar shows how large it is.
        rising_is_bad: whether the colour says so from zero on.
    """

    title: str
    expression: str
    unit: str
    bar: bool = False
    rising_is_bad: bool = False

    def properties(self) -> Mapping[str, Any]:
        """Returns how the column is shown."""
        shown: dict[str, Any] = {"unit": self.unit}
        if self.bar:
            shown["custom.cellOptions"] = {"type": "gauge", "mode": "gradient"}
        if self.rising_is_bad:
            steps = [{"color": _GREEN, "value": None}, {"color": "red", "value": 0.1}]
            shown["custom.cellOptions"] = {"type": "color-text"}
            shown["thresholds"] = {"mode": "absolute", "steps": steps}
        return shown


def table(
    title: str,
    description: str,
    labels: Mapping[str, str],
    columns: Sequence[Column],
    *,
    width: int = 24,
    height: int = 8,
) -> Panel:
    """Returns the newest values, one row for each set of labels, the first column's largest first.

    Args:
        title: what is shown.
        description: how to read it.
        labels: labels that name a row, with the heads of their columns.
        columns: figures, joined by these labels.
        width: columns of 24.
        height: rows of 30 pixels.
    """
    letters = string.ascii_uppercase[: len(columns)]
    values = [f"Value #{letter}" if len(columns) > 1 else "Value" for letter in letters]
    heads = dict(labels) | dict(zip(values, (column.title for column in columns), strict=True))
    return Panel(
        kind="table",
        title=title,
        description=description,
        queries=tuple(
            Query(column.expression, shape="table", newest_only=True) for column in columns
        ),
        unit="short",
        width=width,
        height=height,
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            "sortBy": [{"displayName": columns[0].title, "desc": True}],
        },
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
        overrides=tuple(Override(column.title, column.properties()) for column in columns),
        transformations=(
            ("merge", {}),
            (
                "organize",
                {
                    "excludeByName": {"Time": True},
                    "indexByName": {head: place for place, head in enumerate(heads)},
                    "renameByName": heads,
                },
            ),
        ),
    )


def scatter(
    title: str,
    description: str,
    across: tuple[str, str, str],
    upward: tuple[str, str, str],
    *,
    width: int = 12,
) -> Panel:
    """Returns one expression over another: each point is one instant.

    Args:
        title: what is shown.
        description: how to read it.
        across: name, PromQL and unit of the horizontal axis.
        upward: name, PromQL and unit of the vertical axis.
        width: columns of 24.
    """

    def named(name: str) -> dict[str, Any]:
        return {"matcher": {"id": "byName", "options": name}}

    return Panel(
        kind="xychart",
        title=title,
        description=description,
        queries=(Query(across[1], across[0]), Query(upward[1], upward[0])),
        unit="short",
        width=width,
        height=8,
        options={
            "mapping": "manual",
            "series": [{"name": {"fixed": title}, "x": named(across[0]), "y": named(upward[0])}],
            "legend": {
                "showLegend": True,
                "displayMode": "list",
                "placement": "bottom",
                "calcs": [],
            },
            "tooltip": {"mode": "single", "sort": "none"},
        },
        custom={"show": "points", "pointSize": {"fixed": 5}},
        overrides=(
            Override(across[0], {"unit": across[2], "custom.axisLabel": across[0]}),
            Override(upward[0], {"unit": upward[2], "custom.axisLabel": upward[0]}),
        ),
        transformations=(("joinByField", {"byField": "Time", "mode": "inner"}),),
    )
