"""The configurations of Prometheus, as its own tools read them, and the containers they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailrace.cli.local.scrape_targets import TARGETS_FILE
from tests.support.prometheus_process import promtool

COMPOSE = Path(__file__).parents[2] / "compose"
CONFIGS = [COMPOSE / "prometheus" / name for name in ("prometheus.yml", "local.yml")]


def scrape_config(file: Path, job: str) -> dict[str, Any]:
    """Returns the scrape configuration of a job."""
    loaded = yaml.safe_load(file.read_text())
    (found,) = [each for each in loaded["scrape_configs"] if each["job_name"] == job]
    return dict(found)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_promtool_takes_the_configuration_and_its_rules(file: Path) -> None:
    checked = promtool("check", "config", file)
    assert checked.returncode == 0, checked.stderr
    assert "rule files found" in checked.stdout


def test_names_are_those_of_containers() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    config = CONFIGS[0]
    (ours,) = scrape_config(config, "tailrace")["dns_sd_configs"]
    served = {
        name for name, each in services.items() if (each.get("command") or [""])[0] == "serve"
    }
    assert set(ours["names"]) == served
    assert str(ours["port"]) == str(services["gateway"]["environment"]["TAILRACE_METRICS_PORT"])
    assert "triton" in services
    assert {"redis-features", "redis-queue", "redis-exporter", "otel-collector"} <= set(services)


def test_each_redis_is_asked_through_the_exporter_and_keeps_its_name() -> None:
    found = promtool("check", "service-discovery", "--timeout=2s", CONFIGS[0], "redis")
    assert found.returncode == 0, found.stderr
    labels = [each["labels"] for each in json.loads(found.stdout)]
    asked = {each["instance"]: (each["__address__"], each["__param_target"]) for each in labels}
    assert asked == {
        f"{name}:6379": ("redis-exporter:9121", f"redis://{name}:6379")
        for name in ("redis-features", "redis-queue")
    }
    assert {(each["job"], each["service"]) for each in labels} == {
        ("redis", "redis-features"),
        ("redis", "redis-queue"),
    }


def test_local_configuration_reads_what_the_launcher_writes() -> None:
    (files,) = scrape_config(CONFIGS[1], "tailrace")["file_sd_configs"]
    (path,) = files["files"]
    root = COMPOSE.parent
    assert (COMPOSE / "prometheus" / path).resolve() == (
        root / ".tailrace" / "meshes" / "default" / TARGETS_FILE
    )
