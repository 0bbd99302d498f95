"""The runbook: a heading for each alert; panels, searches, metrics and commands that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tailrace.cli.main import app
from tailrace.runtime.log_fields import FIELDS
from tailrace.runtime.metric_catalogue import known_series

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "compose" / "prometheus" / "rules"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
HEADINGS = re.findall(r"^#+ (.+)$", RUNBOOK, flags=re.MULTILINE)
COMMANDS = sorted(
    set(re.findall(r"(?:`|^    )tailrace ([a-z]+(?: [a-z]+)?)", RUNBOOK, re.MULTILINE))
)


def blocks(language: str) -> list[str]:
    """Returns the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", RUNBOOK, flags=re.MULTILINE | re.DOTALL)


def alerts() -> Iterator[tuple[str, str]]:
    """Returns name and runbook of each alert."""
    for file in RULES.glob("*.yml"):
        for group in yaml.load(file.read_text(), yaml.CSafeLoader)["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield rule["alert"], rule["annotations"]["runbook_url"]


def titles() -> Iterator[str]:
    """Returns titles of dashboards, their panels and choices, and of what Kibana has saved."""
    for file in (ROOT / "compose" / "grafana" / "dashboards").glob("*.json"):
        dashboard = json.loads(file.read_text())
        yield dashboard["title"]
        yield from (each["label"] for each in dashboard["templating"]["list"] if "label" in each)
        yield from panel_titles(dashboard)
    saved = ROOT / "compose" / "elk" / "kibana" / "saved_objects.ndjson"
    for line in saved.read_text().splitlines():
        yield json.loads(line).get("attributes", {}).get("title", "")


def panel_titles(holder: dict[str, Any]) -> Iterator[str]:
    """Returns the titles of panels, those in rows included."""
    for panel in holder.get("panels", ()):
        yield panel["title"]
        yield from panel_titles(panel)


def test_each_alert_leads_to_its_own_heading() -> None:
    found = dict(alerts())

    assert len(found) > 10
    assert found == {name: f"docs/runbook.md#{name.lower()}" for name in found}
    assert set(found) <= set(HEADINGS)
    # And none of an alert that is no longer there.
    assert {heading for heading in HEADINGS if heading.startswith("Tailrace")} == set(found)


def test_links_within_the_page_lead_to_headings() -> None:
    linked = re.findall(r"\]\(#([^)]+)\)", RUNBOOK)

    assert linked
    assert set(linked) <= {heading.lower().replace(" ", "-") for heading in HEADINGS}


def test_every_panel_and_search_is_there() -> None:
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    named = {" ".join(found.split()) for found in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", prose)}

    assert len(named) > 30
    assert named - {"italics"} - set(titles()) == set()


def test_every_log_search_names_known_fields() -> None:
    fields = {name for block in blocks("lucene") for name in re.findall(r"([a-z_.]+):", block)}

    assert len(fields) > 5
    assert fields - set(FIELDS) == set()


def test_every_query_names_known_metrics() -> None:
    metrics = {name for block in blocks("promql") for name in re.findall(r"tailrace_\w+", block)}

    assert len(metrics) >= 3
    assert metrics - known_series() == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_there(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])

    assert result.exit_code == 0, result.output
