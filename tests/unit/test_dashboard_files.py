"""The committed dashboards: as they are built, told apart, laid out, and explained."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailrace.cli.grafana import panel_kinds
from tailrace.cli.grafana.committed import DASHBOARDS_DIR, dashboards, files
from tailrace.cli.grafana.dashboard import Dashboard, Row, json_text
from tailrace.cli.grafana.panel import Query

PROVISIONING = DASHBOARDS_DIR.parent / "provisioning"
# Grafana's units that the dashboards use. Source: its `valueFormats/categories.ts`.
UNITS = {"s", "bytes", "short", "percentunit", "reqps", "ops", "cps"}

FILES = sorted(DASHBOARDS_DIR.glob("*.json"))


def dashboard_of(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def test_files_are_what_is_built() -> None:
    built = files(DASHBOARDS_DIR)
    assert {path.name for path in built} <= {path.name for path in FILES}
    assert {path: path.read_text() for path in built} == dict(built)


def test_dashboards_are_told_apart() -> None:
    for key in ("uid", "title"):
        values = [dashboard_of(file)[key] for file in FILES]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("file", files(DASHBOARDS_DIR), ids=lambda file: file.stem)
def test_every_panel_says_what_it_shows_and_how_to_read_it(file: Path) -> None:
    dashboard = dashboard_of(file)
    titles = [panel["title"] for panel in panels_of(dashboard)]
    assert len(set(titles)) == len(titles)
    for panel in panels_of(dashboard):
        assert len(panel["description"]) > 25 and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
        if panel["type"] == "timeseries":
            assert all(t["legendFormat"] != "__auto" for t in panel["targets"]), panel["title"]
            assert panel["options"]["legend"]["showLegend"]
        if panel["type"] == "heatmap":
            (target,) = panel["targets"]
            assert (target["format"], "sum by (le)" in target["expr"]) == ("heatmap", True)


@pytest.mark.parametrize("file", files(DASHBOARDS_DIR), ids=lambda file: file.stem)
def test_queries_use_variables_that_there_are_and_no_other(file: Path) -> None:
    dashboard = dashboard_of(file)
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {"datasource"}
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            used |= set(re.findall(r"\$(\w+)", target["expr"]))
    assert used - {"__rate_interval", "__range"} == there


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_lie_beside_each_other(file: Path) -> None:
    panels = dashboard_of(file)["panels"]
    ids = [panel["id"] for panel in (*panels, *panels_of({"panels": panels}))]
    assert len(set(ids)) == len({id(panel) for panel in (*panels, *panels_of({"panels": panels}))})
    cells = set[tuple[int, int]]()
    for panel in panels:
        place = panel["gridPos"]
        own = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells |= own


def test_panels_wrap_below_the_tallest_of_their_line() -> None:
    def panel(title: str, width: int, height: int) -> Any:
        return panel_kinds.lines(
            title, "It is.", [Query("up", "x")], unit="s", width=width, height=height
        )

    rows = (
        Row("one", (panel("a", 12, 4), panel("b", 12, 9), panel("c", 8, 5))),
        Row("two", (panel("d", 8, 5),), collapsed=True),
        Row("three", (panel("e", 24, 5),)),
    )
    built = Dashboard(uid="u", title="t", description="d", rows=rows).to_json()["panels"]
    places = [(p["title"], p["gridPos"]["x"], p["gridPos"]["y"]) for p in built]
    assert places == [
        ("one", 0, 0),
        ("a", 0, 1),
        ("b", 12, 1),
        ("c", 0, 10),
        ("two", 0, 15),
        ("three", 0, 16),
        ("e", 0, 17),
    ]
    assert [p["title"] for p in built[4]["panels"]] == ["d"]


def test_data_sources_lead_to_each_other() -> None:
    loaded = yaml.safe_load((PROVISIONING / "datasources" / "tailrace.yaml").read_text())
    sources = {source["uid"]: source for source in loaded["datasources"]}
    assert {source["type"] for source in sources.values()} == {
        "prometheus",
        "jaeger",
        "elasticsearch",
    }
    named = set(re.findall(r"'datasourceUid': '(\w+)'", str(loaded)))
    assert named == set(sources)
    # Grafana would put an environment variable for a single dollar sign.
    text = (PROVISIONING / "datasources" / "tailrace.yaml").read_text()
    assert not re.search(r"(?<!\$)\$[{_a-z]", re.sub(r"#.*", "", text))
    exemplars = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars[0]["name"] == "trace_id"


def test_grafana_reads_the_folders_that_its_container_mounts() -> None:
    compose = yaml.safe_load((DASHBOARDS_DIR.parents[1] / "compose.yaml").read_text())
    mounts = dict(each.split(":")[:2] for each in compose["services"]["grafana"]["volumes"])
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "tailrace.yaml").read_text())
    (path,) = [each["options"]["path"] for each in provider["providers"]]
    assert mounts["./grafana/dashboards"] == path
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"


def test_files_are_the_same_each_time() -> None:
    first = {stem: json_text(each) for stem, each in dashboards().items()}
    assert first == {stem: json_text(each) for stem, each in dashboards().items()}


@pytest.mark.parametrize("name", ["mesh-overview", "pipeline"])
def test_how_long_requests_take_is_told_of_those_that_somebody_waits_for(name: str) -> None:
    expressions = [
        target["expr"]
        for panel in panels_of(dashboard_of(DASHBOARDS_DIR / f"{name}.json"))
        for target in panel["targets"]
    ]
    selected = [
        braces
        for expression in expressions
        for braces in re.findall(r"tailrace_prediction(?:s_total|_\w+)\{([^}]*)\}", expression)
    ]

    # Dispatchers count their runs of submissions under the same names.
    assert selected
    assert {braces for braces in selected if 'service="gateway"' not in braces} == set()


def test_an_overspent_budget_is_in_sight() -> None:
    panels = {
        panel["title"]: panel["fieldConfig"]["defaults"]
        for panel in panels_of(dashboard_of(DASHBOARDS_DIR / "tailrace-slo.json"))
    }

    for title in ("Error budget left", "Events that may still be bad"):
        assert "min" not in panels[title]
    steps = panels["Least budget left"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in steps] == [
        ("red", None),
        ("orange", 0.0),
        ("green", 0.25),
    ]
