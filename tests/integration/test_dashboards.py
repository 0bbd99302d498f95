"""Every dashboard's queries, asked of a real Prometheus that scrapes a whole mesh under load."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping

import pytest
import yaml

from tailrace.cli.grafana import promql
from tailrace.cli.grafana.committed import DASHBOARDS_DIR
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.metric_catalogue import known_series
from tests.support.observed_mesh import ObservedMesh
from tests.support.panel_queries import panels_of, queries, with_values
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

# That of objectives asks for what rules record over minutes; tests of the rules fill those.
RECORDED = "tailrace-slo.json"
RULES_DIR = DASHBOARDS_DIR.parents[1] / "prometheus" / "rules"
_NO_GPU = "there is no GPU here"
_NO_EXPORTER = "there is no redis_exporter here, which is a program in Go"
# Queries without data in this mesh, and why. They have to be valid all the same, and to name
# metrics of those servers only.
WITHOUT_DATA: Mapping[str, str] = {
    "triton.json: GPU utilisation: A": _NO_GPU,
    "triton.json: GPU memory: A": _NO_GPU,
    "triton.json: GPU memory: B": _NO_GPU,
    "features.json: Redis: commands: A": _NO_EXPORTER,
    "features.json: Redis: memory: A": _NO_EXPORTER,
    "features.json: Redis: memory: B": _NO_EXPORTER,
    "features.json: Redis: mean time of a command: A": _NO_EXPORTER,
    "features.json: Redis: clients and evicted keys: A": _NO_EXPORTER,
    "features.json: Redis: clients and evicted keys: B": _NO_EXPORTER,
    "submissions.json: Given back, by reason: A": "it takes a chain that is away",
}
# Of servers that are not here. Sources: redis_exporter's and Triton's own lists of metrics.
FOREIGN = {
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
    "redis_commands_processed_total",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_commands_duration_seconds_total",
    "redis_commands_total",
    "redis_connected_clients",
    "redis_evicted_keys_total",
}
# What is no metric: labels, strings, windows, and words of PromQL.
NO_METRIC = re.compile(
    r'\{[^}]*\}|"[^"]*"|\[[^]]*\]|\boffset\s+\w+|\b(?:by|on|group_left|group_right)\s*\([^)]*\)'
    r"|\b[a-z_]+\s*\(|\b(?:sum|max|count|or|and|unless)\b|\b[0-9.e-]+\b"
)


def metrics_in(query: str) -> set[str]:
    """Returns the metrics that a query names."""
    return set(re.findall(r"[a-zA-Z_:][\w:]+", NO_METRIC.sub(" ", query)))


def recorded() -> set[str]:
    """Returns what the committed rules record."""
    groups = [
        group
        for file in RULES_DIR.glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
    ]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_every_query_of_every_panel_returns_data(observed: ObservedMesh) -> None:
    asked = [each for each in queries() if not each.place.startswith(RECORDED)]
    assert WITHOUT_DATA.keys() <= {each.place for each in asked}
    # Valid they have to be all the same; Prometheus refuses others.
    assert all(
        observed.prometheus.query(each.promql) is not None
        for each in queries()
        if each not in asked
    )
    without = asked

    def all_answer() -> bool:
        nonlocal without
        without = [each for each in without if not observed.prometheus.query(each.promql)]
        return {each.place for each in without} <= WITHOUT_DATA.keys()

    try:
        wait_for(all_answer, timeout_s=15)
    finally:
        for each in without:
            if each.place not in WITHOUT_DATA:
                print(f"{each.place}\n    {each.promql}")
    # An excuse that is no longer one has to go.
    assert {each.place for each in without} == WITHOUT_DATA.keys()


def test_no_query_names_an_unknown_metric(observed: ObservedMesh) -> None:
    scraped = set(observed.prometheus.get("label/__name__/values"))
    known = scraped | known_series() | FOREIGN | recorded() | {"ALERTS"}
    named = {each.place: metrics_in(each.promql) for each in queries()}
    assert {place: found - known for place, found in named.items() if found - known} == {}
    everything = set[str]().union(*named.values())
    # Neither is the list of foreign ones longer than it has to be, nor are names overlooked.
    assert everything & FOREIGN == FOREIGN - scraped
    assert all(named.values())


@pytest.mark.parametrize(
    ("histogram", "bounds"),
    [
        (names.PREDICTION_SECONDS, names.LATENCY_BUCKETS_S),
        (names.HOP_SECONDS, names.LATENCY_BUCKETS_S),
        (names.COURIER_DELIVERY_SECONDS, names.DELIVERY_BUCKETS_S),
    ],
)
def test_sums_over_pipelines_are_of_the_buckets_that_all_have(
    observed: ObservedMesh, histogram: str, bounds: tuple[float, ...]
) -> None:
    summed = with_values(promql.buckets(histogram))
    found = observed.prometheus.values(summed, "le")
    assert sorted(map(float, found)) == [*bounds, float("inf")]
    # One pipeline, and one hop, is shown with its objectives' bounds, too.
    assert "le=~" not in promql.buckets(histogram, 'pipeline="echo", hop="features"')


def test_exemplars_lead_to_spans_that_were_told(observed: ObservedMesh) -> None:
    shown = [each for each in queries() if each.exemplars]
    assert len(shown) >= 6
    told = "".join(file.read_text() for file in observed.span_files)
    now = time.time()
    for each in shown:
        series = observed.prometheus.exemplars(each.promql, now - 300, now)
        traces = {one["labels"]["trace_id"] for found in series for one in found["exemplars"]}
        assert traces, each.place
        assert all(trace in told for trace in traces), each.place


@pytest.mark.alone
def test_slow_store_is_named_at_first_sight(observed: ObservedMesh) -> None:
    panels = {
        panel["title"]: panel
        for panel in panels_of(json.loads((DASHBOARDS_DIR / "mesh-overview.json").read_text()))
    }
    # Only what happens from here on counts; of names that no cache has.
    observed.predict(f"before-{number}" for number in range(20))
    observed.wait_for_scrapes()
    began = time.time()
    observed.feature_redis.delay_s = 0.05
    observed.predict(f"slow-{number}" for number in range(40))
    observed.wait_for_scrapes()
    observed.feature_redis.delay_s = 0.0
    ended = time.time()
    window = f"{math.ceil(ended - began)}s"
    values = {"$window": window, "$compare": window}

    def first(title: str, letter: str) -> tuple[str, float]:
        (query,) = [
            target["expr"] for target in panels[title]["targets"] if target["refId"] == letter
        ]
        found = observed.prometheus.values(with_values(query, values), "hop", time=ended)
        return max(found.items(), key=lambda each: each[1])

    for title in ("Spends the most", "Has grown the most"):
        hop, seconds = first(title, "A")
        assert (hop, seconds > 0.04) == ("features", True), title
    # Mean, p95 and how much both have grown by.
    for letter in ("A", "B", "H", "I"):
        assert first("Worst hop first", letter)[0] == "features", letter
    # Not its network, nor its queue.
    assert first("Worst hop first", "F")[0] == "features"
