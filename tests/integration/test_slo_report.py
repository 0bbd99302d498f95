"""`tailrace slo report`, of a real Prometheus that scrapes real histograms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server
from typer.testing import CliRunner, Result

from tailrace.cli.main import app
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.histogram import Histogram
from tests.support.objectives import write_objectives
from tests.support.prometheus_process import PrometheusProcess, StartPrometheus


@dataclass
class World:
    """A pipeline `tip`, and a Prometheus that has scraped what became of its requests.

    There were 200 answers, 196 of them in time, with 2 degraded; 5 requests failed, 1 of them by
    its caller's fault. Half of the 200 passages of features took 50 ms longer than usual.
    """

    folder: Path
    prometheus: PrometheusProcess

    def report(self, *arguments: str) -> Result:
        command = ["slo", "report", "--prometheus", self.prometheus.url]
        command += ["--pipelines", str(self.folder), *arguments]
        return CliRunner(env={"COLUMNS": "300"}).invoke(app, command)

    def documents(self, *arguments: str) -> dict[str, dict[str, object]]:
        result = self.report("--format", "json", "--window", "10m", *arguments)
        assert result.stderr == ""
        return {each["objective"]: each for each in json.loads(result.stdout)}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, start_module_prometheus: StartPrometheus
) -> Iterator[World]:
    folder = write_objectives(tmp_path_factory.mktemp("slo") / "tip")
    rules = folder / "rules"
    rendered = CliRunner().invoke(
        app, ["slo", "render", "--pipelines", str(folder), "--out", str(rules)]
    )
    assert rendered.exit_code == 0, rendered.stderr
    file = rules / "tailrace-slo-tip.yml"
    # Minutes pass faster here.
    file.write_text(
        file.read_text()
        .replace("interval: 30s", "interval: 200ms")
        .replace("interval: 2m", "interval: 200ms")
    )
    registry = CollectorRegistry()
    durations = Histogram(
        names.PREDICTION_SECONDS, "d", ["pipeline", "outcome"], bounds=(1.0,), registry=registry
    )
    hops = Histogram(names.HOP_SECONDS, "h", ["pipeline", "hop"], bounds=(1.0,), registry=registry)
    outcomes = Counter(names.PREDICTIONS_TOTAL, "o", ["pipeline", "outcome"], registry=registry)
    degraded = Counter(names.DEGRADED_TOTAL, "q", ["pipeline", "reason"], registry=registry)
    answers = durations.labels("tip", "ok", more_bounds=[0.08])
    features = hops.labels("tip", "features", more_bounds=[0.04])
    inference = hops.labels("tip", "inference")
    for outcome in ("OK", "INTERNAL", "NOT_FOUND"):
        outcomes.labels("tip", outcome)
    stale = degraded.labels("tip", "stale")

    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        target = f"127.0.0.1:{server.server_port}"
        labelled = {"targets": [target], "labels": {"service": "gateway"}}
        prometheus = start_module_prometheus(
            targets=[{"job_name": "tailrace", "static_configs": [labelled]}], rule_files=[file]
        )
        # Counters that Prometheus has not seen at 0 do not grow in its eyes.
        prometheus.wait_for(f"count_over_time({names.PREDICTIONS_TOTAL}[1m]) >= 3")
        answers.observe(0.02, 196)
        answers.observe(0.5, 4)
        features.observe(0.003, 100)
        features.observe(0.053, 100)
        inference.observe(0.004, 200)
        outcomes.labels("tip", "OK").inc(200)
        outcomes.labels("tip", "INTERNAL").inc(4)
        outcomes.labels("tip", "NOT_FOUND").inc(1)
        stale.inc(2)
        prometheus.wait_for('ALERTS{alertname="TailraceBudgetBurn",alertstate="firing"}')
        prometheus.wait_for("tailrace:slo_error_budget_remaining:events")
        yield World(folder, prometheus)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def approx(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def test_numbers_are_those_computed_by_hand(world: World) -> None:
    found = world.documents()

    # Kept, and of the budget left: 1 - bad share / allowed share.
    assert found["latency-p99"]["kept"] == approx(196 / 200)
    assert found["latency-p99"]["budget_left"] == approx(1 - 0.02 / 0.01)
    assert found["features-latency-p99"]["kept"] == approx(0.5)
    assert found["features-latency-p99"]["budget_left"] == approx(1 - 0.5 / 0.01)
    assert found["inference-latency-p99"]["kept"] == approx(1)
    assert found["inference-latency-p99"]["budget_left"] == approx(1)
    assert found["availability"]["kept"] == approx(200 / 204)
    assert found["availability"]["budget_left"] == approx(1 - (4 / 204) / 0.005)
    assert found["degraded"]["kept"] == approx(198 / 200)
    assert found["degraded"]["budget_left"] == approx(1 - 0.01 / 0.05)
    # A whole outage of 0.8 * 5 % of ten minutes would spend it.
    assert found["degraded"]["budget_left_minutes"] == approx(0.8 * 0.05 * 10)
    # Counts are extrapolated beyond the scrapes, which here are few: by no more than as much again.
    events, bad = (float(str(found["latency-p99"][name])) for name in ("events", "bad_events"))
    assert 199 < events < 400
    assert bad / events == approx(0.02)
    burn_rates = found["features-latency-p99"]["burn_rates"]
    assert isinstance(burn_rates, dict)
    assert burn_rates["5m"] == burn_rates["1h"] == approx(50)


def test_broken_objectives_are_told_by_the_exit_status(world: World) -> None:
    result = world.report("--window", "10m")

    assert result.exit_code == 1
    rows = {line.split()[2]: line for line in result.stdout.splitlines() if " tip " in line}
    assert {name for name, row in rows.items() if row.startswith("broken")} == {
        "latency-p99",
        "features-latency-p99",
        "availability",
    }
    assert "no data" in rows["fresh"]
    assert rows["features-latency-p99"].split()[-1] == "features"
    assert "over 10m, from the processes' own metrics" in result.stdout
    assert "the data begin at" in result.stdout


def test_no_figure_is_cut_off_where_the_output_is_narrow(world: World) -> None:
    command = ["slo", "report", "--prometheus", world.prometheus.url, "--window", "10m"]
    command += ["--pipelines", str(world.folder)]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, command)

    assert "…" not in result.stdout
    assert "features-latency-p99" in result.stdout


def test_the_worst_hop_is_named(world: World) -> None:
    found = world.documents()

    # 0.3 + 5.3 s in features, 0.8 s in inference.
    assert found["latency-p99"]["worst_hop"] == {"hop": "features", "share": approx(5.6 / 6.4)}
    assert found["features-latency-p99"]["worst_hop"] == {"hop": "features", "share": 1.0}


def test_rules_and_metrics_tell_the_same(world: World) -> None:
    metrics = world.documents("--source", "metrics")
    rules = world.documents("--source", "rules")

    assert metrics["latency-p99"]["source"] == "metrics"
    assert rules["latency-p99"]["source"] == "rules"
    for name in ("latency-p99", "features-latency-p99", "availability", "degraded"):
        # A scrape may come between the recording of bad events and that of all.
        kept = float(str(metrics[name]["kept"]))
        assert rules[name]["kept"] == pytest.approx(kept, rel=1e-3)


def test_the_alert_names_the_hop(world: World) -> None:
    pages = [
        alert
        for alert in world.prometheus.alerts("firing")
        if alert["labels"]["severity"] == "page" and alert["labels"].get("hop")
    ]

    assert {alert["labels"]["hop"] for alert in pages} == {"features"}
    assert {alert["labels"]["objective"] for alert in pages} == {"features-latency-p99"}
    assert {alert["annotations"]["burn_rate"] for alert in pages} == {"50.00"}


def test_no_rule_is_in_trouble(world: World) -> None:
    rules = world.prometheus.rules()

    assert len(rules) > 100
    assert {rule["health"] for rule in rules} == {"ok"}


def test_a_pipeline_without_data_is_trouble(world: World, tmp_path: Path) -> None:
    folder = write_objectives(tmp_path / "other")
    file = folder / "pipelines" / "tip.yaml"
    file.write_text(file.read_text().replace("pipeline: tip", "pipeline: quiet"))

    result = world.report("--pipelines", str(folder))

    assert result.exit_code == 2
    assert f"{world.prometheus.url} has no data of quiet over 30d" in result.stderr


def test_a_pipeline_that_is_not_there_is_trouble(world: World) -> None:
    result = world.report("--pipeline", "top")

    assert result.exit_code == 2
    assert "no pipeline 'top' has objectives; those that have: tip" in result.stderr


def test_a_server_that_is_no_prometheus_is_trouble(world: World) -> None:
    target = world.prometheus.targets()[0]["scrapeUrl"]

    result = world.report("--prometheus", target)

    assert result.exit_code == 2
    assert "is no Prometheus" in result.stderr
