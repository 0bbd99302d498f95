"""The committed Prometheus rules: sound, as rendered, and firing when they are to."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tailrace.cli.main import app
from tests.support.prometheus_process import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "compose" / "prometheus" / "rules"
TESTS = ROOT / "compose" / "prometheus" / "tests"


@functools.cache
def load(file: Path) -> dict[str, Any]:
    """What a file holds; libyaml reads thousands of lines in a moment."""
    return dict(yaml.load(file.read_text(), yaml.CSafeLoader))


CASES = [
    pytest.param(file, case, id=case["name"])
    for file in sorted(TESTS.glob("*.test.yml"))
    for case in load(file)["tests"]
]


def of_objectives_in(case: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """Rules without those of objectives that a case does not name: all would take minutes."""
    named = set(re.findall(r"[\w.-]+", json.dumps(case)))
    groups = []
    for group in rules["groups"]:
        kept = [
            rule
            for rule in group["rules"]
            if (objective := rule.get("labels", {}).get("objective")) is None or objective in named
        ]
        groups.append(group | {"rules": kept})
    return {"groups": groups}


@pytest.mark.parametrize(("file", "case"), CASES)
def test_rules_fire_when_they_are_to(file: Path, case: dict[str, Any], tmp_path: Path) -> None:
    names = []
    for named in load(file)["rule_files"]:
        names.append(Path(named).name)
        rules = of_objectives_in(case, load((file.parent / named).resolve()))
        (tmp_path / names[-1]).write_text(json.dumps(rules))
    written = tmp_path / "case.yml"
    written.write_text(json.dumps(load(file) | {"rule_files": names, "tests": [case]}))

    result = promtool("test", "rules", written)

    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_takes_the_committed_rules() -> None:
    result = promtool("check", "rules", *sorted(RULES.glob("*.yml")))

    assert (result.returncode, result.stderr) == (0, "")


def test_the_committed_rules_are_those_of_the_example() -> None:
    arguments = ["slo", "render", "--check", "--out", str(RULES)]
    result = CliRunner().invoke(app, [*arguments, "--pipelines", str(ROOT / "examples/flights")])

    assert (result.exit_code, result.stderr) == (0, "")


def test_every_alert_has_a_case() -> None:
    alerts = {
        rule["alert"]
        for file in RULES.glob("*.yml")
        for group in load(file)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    text = "".join(file.read_text() for file in TESTS.glob("*.test.yml"))

    assert {alert for alert in alerts if alert not in text} == set()
