"""What `tailrace slo render` makes: files by name, the same each time."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path

from tailrace.cli.grafana.dashboard import json_text
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.pipeline_check import check_path
from tailrace.cli.slo.alerts import Links
from tailrace.cli.slo.dashboard import DASHBOARD_FILE, slo_dashboard
from tailrace.cli.slo.objective import Objective, objectives
from tailrace.cli.slo.rule_file import rule_groups, yaml_text
from tailrace.cli.slo.sloth_spec import sloth_spec


class Format(enum.StrEnum):
    """For whom."""

    PROMETHEUS = "prometheus"
    SLOTH = "sloth"
    GRAFANA = "grafana"
    ALL = "all"


_RULES_PREFIX = "tailrace-slo-"
_SLOTH_SUFFIX = ".sloth.yml"

SINGLE_FORMATS = (Format.PROMETHEUS, Format.SLOTH, Format.GRAFANA)


class SloFailed(LaunchError):
    """Objectives cannot be rendered or reported."""


def read_objectives(path: Path) -> dict[str, list[Objective]]:
    """Returns the objectives by pipeline, in order of their names; pipelines without are left out.

    Args:
        path: a folder of pipelines, one with a folder `pipelines` in it, or a pipeline file.

    Raises:
        SloFailed: a file is broken, or none has objectives.
    """
    report = check_path(path)
    if report.errors:
        raise SloFailed("\n".join(str(error) for error in report.errors))
    found = {
        pipeline.name: objectives(pipeline.name, pipeline.spec.slo)
        for pipeline in sorted(report.pipelines, key=lambda pipeline: pipeline.name)
    }
    with_any = {name: of_pipeline for name, of_pipeline in found.items() if of_pipeline}
    if not with_any:
        names = ", ".join(found) or "none"
        raise SloFailed(f"{path}: no pipeline has objectives (`slo`); pipelines here: {names}")
    return with_any


def render(by_pipeline: dict[str, list[Objective]], form: Format, links: Links) -> dict[Path, str]:
    """Returns the text of each file.

    Args:
        by_pipeline: objectives by pipeline.
        form: one of the formats, or all, each in a folder of its name.
        links: where alerts point to.
    """
    if form is Format.ALL:
        return {
            Path(single) / path: text
            for single in SINGLE_FORMATS
            for path, text in render(by_pipeline, single, links).items()
        }
    if form is Format.GRAFANA:
        return {Path(DASHBOARD_FILE): json_text(slo_dashboard())}
    files = {}
    for pipeline, of_pipeline in by_pipeline.items():
        if form is Format.PROMETHEUS:
            content = {"groups": rule_groups(of_pipeline, links)}
            files[Path(f"{_RULES_PREFIX}{pipeline}.yml")] = yaml_text(content)
        else:
            files[Path(f"{pipeline}{_SLOTH_SUFFIX}")] = yaml_text(sloth_spec(of_pipeline, links))
    return files


def pattern_of(path: Path) -> str:
    """Returns what the files of other pipelines are called; empty where there is one file only."""
    if path.name.endswith(_SLOTH_SUFFIX):
        return f"*{_SLOTH_SUFFIX}"
    return f"{_RULES_PREFIX}*.yml" if path.name.startswith(_RULES_PREFIX) else ""


def render_one(by_pipeline: dict[str, list[Objective]], form: Format, links: Links) -> str:
    """Returns one text for all pipelines: Prometheus takes no second document in a file."""
    if form is Format.PROMETHEUS:
        groups = [group for each in by_pipeline.values() for group in rule_groups(each, links)]
        return yaml_text({"groups": groups})
    return _joined(list(render(by_pipeline, form, links).values()))


def _joined(texts: Sequence[str]) -> str:
    return "---\n".join(texts)
