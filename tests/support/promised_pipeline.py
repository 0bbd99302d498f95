"""A pipeline of the test mesh that promises something, and Prometheus rules for it."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from tailrace.cli.main import app

NAME = "promised"
# What a hop takes here is a few milliseconds, plus what a test adds; the rest is for busy machines.
FEATURES_MS, WHOLE_MS, OTHERS_MS = 30, 50, 100
SLO = {
    "window_days": 30,
    "latency": [
        {"percentile": 99, "within_ms": WHOLE_MS},
        *(
            {"percentile": 99, "within_ms": within, "hop": hop}
            for hop, within in (
                ("ingest", OTHERS_MS),
                ("features", FEATURES_MS),
                ("inference", OTHERS_MS),
                ("postprocess", OTHERS_MS),
            )
        ),
    ],
    "availability_percent": 99.5,
    "degraded_max_percent": 5,
    "fresh_min_percent": 90,
}


def write_promised(pipelines: Path) -> None:
    """Writes it into a folder, made of the pipeline `echo` there."""
    content = yaml.safe_load((pipelines / "echo.yaml").read_text())
    content |= {"pipeline": NAME, "description": "As echo, with objectives.", "slo": SLO}
    (pipelines / f"{NAME}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def render_rules(files: Path, folder: Path, interval: str) -> Path:
    """Returns the file that `tailrace slo render` makes, to be evaluated more often.

    Windows and thresholds are as rendered.

    Args:
        files: folder with the pipeline files.
        folder: for the rules.
        interval: in place of the rules' own of 30 s and 2 min.
    """
    arguments = ["slo", "render", "--pipelines", str(files), "--out", str(folder)]
    rendered = CliRunner().invoke(app, arguments)
    assert rendered.exit_code == 0, rendered.stderr
    file = folder / f"tailrace-slo-{NAME}.yml"
    content = yaml.load(file.read_text(), yaml.CSafeLoader)
    for group in content["groups"]:
        group["interval"] = interval
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file
