"""A pipeline with objectives, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.pipeline_files import PIPELINE, write_folder, write_yaml

SLO: dict[str, Any] = {
    "window_days": 30,
    "latency": [
        {"percentile": 99, "within_ms": 80},
        {"percentile": 99, "within_ms": 40, "hop": "features"},
        {"percentile": 99, "within_ms": 1000, "hop": "inference"},
    ],
    "availability_percent": 99.5,
    "degraded_max_percent": 5,
    "fresh_min_percent": 90,
    "delivery": [{"percentile": 95, "within_ms": 1000}],
}


def write_objectives(folder: Path, slo: dict[str, Any] | None = None) -> Path:
    """Writes the small pipeline `tip` with objectives and its views, and returns their folder."""
    write_folder(folder)
    content = PIPELINE | {"slo": SLO if slo is None else slo}
    write_yaml(folder / "pipelines" / "tip.yaml", content)
    return folder
