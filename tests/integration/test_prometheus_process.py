"""The Prometheus that other tests scrape and query with."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from tailrace.runtime.histogram import Histogram
from tests.support.prometheus_process import PrometheusRefused, StartPrometheus

RULES = """
groups:
  - name: test
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Up
        expr: up == 1
"""


def test_it_scrapes_evaluates_rules_and_answers(
    start_prometheus: StartPrometheus, tmp_path: Path
) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("probe_seconds", "A probe.", bounds=(0.08, 1.0), registry=registry)
    histogram.labels().observe(0.05, 3, trace_id="ab" * 16)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    try:
        prometheus = start_prometheus(
            targets={"probe": [f"127.0.0.1:{server.server_port}"]}, rule_files=[rules]
        )
        prometheus.wait_for_targets()
        prometheus.wait_for("job:up:sum == 1")
        prometheus.wait_for('ALERTS{alertname="Up"}')
        buckets = prometheus.values("probe_seconds_bucket", "le")
        now = time.time()

        assert buckets == {"0.08": 3, "1.0": 3, "+Inf": 3}
        assert prometheus.alerts("firing")[0]["labels"]["job"] == "probe"
        assert prometheus.query_range("up", now - 5, now, 1)
        assert [
            exemplar["labels"]
            for series in prometheus.exemplars("probe_seconds_bucket", now - 60, now + 60)
            for exemplar in series["exemplars"]
        ] == [{"trace_id": "ab" * 16}]
        with pytest.raises(PrometheusRefused, match="parse error"):
            prometheus.query("up{")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
