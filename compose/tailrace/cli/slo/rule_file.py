"""A pipeline's objectives as a file of Prometheus rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from tailrace.cli.slo.alerts import Links, alert_rules
from tailrace.cli.slo.objective import Objective
from tailrace.cli.slo.recorded import INTERVAL_S
from tailrace.cli.slo.recording import long_rules, short_rules

HEADER = (
    "# Rendered by `tailrace slo render` from a pipeline file: change that, and render again.\n"
)

# Below the 5 minutes after which Prometheus takes a series for stale.
_LONG_INTERVAL = "2m"


def rule_groups(objectives: Sequence[Objective], links: Links) -> list[dict[str, Any]]:
    """Returns groups of rules for the objectives of one pipeline; none for none."""
    if not objectives:
        return []
    name = f"tailrace-slo-{objectives[0].pipeline}"
    interval = f"{INTERVAL_S}s"
    return [
        {"name": name, "interval": interval, "rules": _all(short_rules, objectives)},
        {"name": f"{name}-long", "interval": _LONG_INTERVAL, "rules": _all(long_rules, objectives)},
        {
            "name": f"{name}-alerts",
            "interval": interval,
            "rules": [rule for each in objectives for rule in alert_rules(each, links)],
        },
    ]


def yaml_text(content: Any) -> str:
    """Returns a file: rendered the same each time, long texts in lines of their own."""
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)


def _all(rules: Any, objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    return [rule for each in objectives for rule in rules(each)]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        # Rules share their labels; who reads the file wants to see them.
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
