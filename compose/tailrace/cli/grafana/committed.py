"""The dashboards whose files are committed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tailrace.cli.grafana.dashboard import Dashboard, json_text
from tailrace.cli.grafana.features import features
from tailrace.cli.grafana.mesh_overview import mesh_overview
from tailrace.cli.grafana.pipeline_drill_down import pipeline_drill_down
from tailrace.cli.grafana.submissions import submissions
from tailrace.cli.grafana.triton import triton
from tailrace.cli.slo.dashboard import slo_dashboard

DASHBOARDS_DIR = Path(__file__).parents[3] / "grafana" / "dashboards"
"""Where they are in a checkout; Grafana's container mounts this folder."""


def dashboards() -> Mapping[str, Dashboard]:
    """Returns the dashboards by the stem of their files."""
    return {
        "mesh-overview": mesh_overview(),
        "pipeline": pipeline_drill_down(),
        "submissions": submissions(),
        "features": features(),
        "triton": triton(),
        # As `tailrace slo render` gives it to meshes that are watched elsewhere.
        "tailrace-slo": slo_dashboard(),
    }


def files(folder: Path) -> Mapping[Path, str]:
    """Returns what the files in a folder have to be."""
    return {folder / f"{stem}.json": json_text(each) for stem, each in dashboards().items()}
