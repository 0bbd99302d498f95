"""A hop that takes 50 ms more: everything that an on-call engineer looks at names it.

Between the features service and its Redis, answers are held back for 50 ms; nothing of the mesh is
changed. A Prometheus of the test's own scrapes the processes and evaluates the rules that
`tailrace slo render` makes, with their own windows and thresholds: windows hold what there is,
which is the traffic of this test. Only the interval of evaluation is shorter.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from tailrace.cli.grafana.committed import DASHBOARDS_DIR
from tailrace.cli.main import app
from tailrace.client.values import Fields
from tailrace.runtime import telemetry_names
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.placement import HOPS
from tailrace.runtime.tracing import span_names as names
from tailrace.v1 import prediction_service_pb2
from tests.support import promised_pipeline
from tests.support.mesh_lines import Line, lines_of
from tests.support.observed_mesh import ObservedMesh
from tests.support.otlp_receiver import ReceivedSpan
from tests.support.panel_queries import panels_of, with_values
from tests.support.prometheus_process import PrometheusProcess, StartPrometheus
from tests.support.promised_pipeline import NAME, WHOLE_MS
from tests.support.trace_tree import TraceTree
from tests.support.traced_calls import CallerTrace, caller_trace, predict_all
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]

INTERVAL = "1s"
INJECTED_S = 0.05
# That a request waits in ingest, so that another hop is the worst one at first.
INGEST_MS = 12.0
HEALTHY, SLOW = 60, 40


@dataclass(frozen=True)
class Phase:
    """Requests under one condition, and what Prometheus said at their end.

    Attributes:
        began: seconds since 1970; a while before the first one.
        ended: seconds since 1970; all of them are scraped.
        answers: by the trace of their callers, none of which is in the sample.
        alerts: of burn rates, pending and firing.
        report: what `tailrace slo report` said, by objective.
        status: its exit status.
    """

    began: float
    ended: float
    answers: Mapping[str, prediction_service_pb2.PredictResponse]
    alerts: list[dict[str, Any]]
    report: Mapping[str, dict[str, Any]]
    status: int

    @property
    def window(self) -> str:
        """Its length, as in queries."""
        return window_of(self.began, self.ended)


@dataclass(frozen=True)
class Incident:
    """What happened.

    Attributes:
        prometheus: has seen all of it.
        before: all is well.
        after: features are slow.
        sampled: the trace of one more request, while features were slow.
        spans: all that were told in the end.
        lines: lines of the gateway.
    """

    prometheus: PrometheusProcess
    before: Phase
    after: Phase
    sampled: CallerTrace
    spans: list[ReceivedSpan]
    lines: Mapping[str, Line]


@pytest.fixture(scope="module")
def incident(
    observed: ObservedMesh,
    start_module_prometheus: StartPrometheus,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Incident]:
    folder = tmp_path_factory.mktemp("rules")
    rules = promised_pipeline.render_rules(observed.mesh.files, folder, INTERVAL)
    prometheus = start_module_prometheus(
        targets=observed.scrape_configs, rule_files=[rules], interval=INTERVAL
    )
    prometheus.wait_for_targets()
    # Counters that Prometheus has not seen begin do not grow in its eyes.
    ask(observed, 5)
    prometheus.wait_for(f'{telemetry_names.PREDICTIONS_TOTAL}{{pipeline="{NAME}"}}')
    before = phase(observed, prometheus, HEALTHY)
    observed.feature_redis.delay_s = INJECTED_S
    try:
        after = phase(observed, prometheus, SLOW, await_alerts=True)
        sampled = caller_trace(sampled=True)
        predict_all(observed.mesh, NAME, [(sampled, request(observed))])
    finally:
        observed.feature_redis.delay_s = 0.0

    def told() -> bool:
        tree = TraceTree(sampled.trace_id, observed.spans())
        return {"predict", "redis read"} <= {span.name for span in tree.spans}

    wait_for(told)
    lines = {
        line["trace"]["id"]: line
        for line in lines_of(observed.mesh, "gateway")
        if line["message"] == "prediction made"
    }
    yield Incident(prometheus, before, after, sampled, observed.spans(), lines)


def window_of(began: float, ended: float) -> str:
    """Returns a window that has the last scrape before a phase, from which counters grow.

    Scrapes are a second apart; of what was before, those of two seconds tell the same.
    """
    return f"{math.ceil(ended - began) + 1}s"


def request(observed: ObservedMesh) -> Fields:
    """Returns one that is answered live, by a lookup in the store."""
    return {"x0": 1.0, "account": observed.account(), "delay_ms": INGEST_MS}


def ask(observed: ObservedMesh, count: int) -> dict[str, prediction_service_pb2.PredictResponse]:
    """Returns answers by trace, of callers that keep their traces out of the sample."""
    asked = [(caller_trace(sampled=False), request(observed)) for _ in range(count)]
    answers = predict_all(observed.mesh, NAME, asked)
    return {trace.trace_id: answer for (trace, _), answer in zip(asked, answers, strict=True)}


def phase(
    observed: ObservedMesh,
    prometheus: PrometheusProcess,
    count: int,
    *,
    await_alerts: bool = False,
) -> Phase:
    """Asks, and returns what there is to see once all is scraped."""
    prometheus.wait_for_scrapes(1)
    began = time.time()
    answers = ask(observed, count)
    prometheus.wait_for_scrapes()
    if await_alerts:
        for objective in ("latency-p99", "features-latency-p99"):
            prometheus.wait_for(
                f'ALERTS{{alertstate="firing",severity="page",objective="{objective}"}}'
            )
    ended = time.time()
    alerts = [each for each in prometheus.alerts() if "objective" in each["labels"]]
    status, report = reported(observed, prometheus, window_of(began, ended))
    return Phase(began, ended, answers, alerts, report, status)


def reported(
    observed: ObservedMesh, prometheus: PrometheusProcess, window: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Returns the exit status of `tailrace slo report`, and what it says by objective."""
    command = ["slo", "report", "--prometheus", prometheus.url, "--format", "json"]
    command += ["--pipelines", str(observed.mesh.files), "--pipeline", NAME, "--window", window]
    result = CliRunner().invoke(app, command)
    return result.exit_code, {each["objective"]: each for each in json.loads(result.stdout)}


def hops_by(incident: Incident, at: Phase, title: str, letter: str = "A") -> list[str]:
    """Returns hops as a panel of the overview has them over a phase, the greatest value first."""
    (query,) = [
        target["expr"]
        for panel in panels_of(json.loads((DASHBOARDS_DIR / "mesh-overview.json").read_text()))
        if panel["title"] == title
        for target in panel["targets"]
        if target["refId"] == letter
    ]
    # Compared with the end of the time when all was well.
    ago = max(1.0, at.ended - incident.before.ended)
    values = {
        "$pipeline": NAME,
        "$window": at.window,
        "$compare": f"{ago:.0f}s",
    }
    found = incident.prometheus.values(with_values(query, values), "hop", time=at.ended)
    return sorted(found, key=lambda hop: -found[hop])


def mean_s(incident: Incident, at: Phase, metric: str) -> dict[str, float]:
    """Returns the mean of a histogram over a phase, by hop: from what was last scraped before it.

    `increase` extrapolates counts and sums by different factors where one would begin at 0.
    """
    since = f"offset {round((at.ended - at.began) * 1000)}ms"
    series = f'{{pipeline="{NAME}"}}'
    grown = (
        f"sum by (hop) ({metric}_{kind}{series} - {metric}_{kind}{series} {since})"
        for kind in ("sum", "count")
    )
    return incident.prometheus.values(" / ".join(grown), "hop", time=at.ended)


def late(at: Phase) -> set[str]:
    """Returns traces of answers that took longer than the objective, by their own ledger."""
    bound_ns = WHOLE_MS * NS_PER_MS
    return {trace for trace, answer in at.answers.items() if answer.ledger.total_ns > bound_ns}


def told_as_slow(incident: Incident, at: Phase) -> set[str]:
    """Returns traces of a phase of which a request was told afterwards."""
    return {
        span.trace_id
        for span in incident.spans
        if span.name == names.PREDICT
        and span.trace_id in at.answers
        and span.attributes[names.SAMPLED_BY] == names.BY_SLOWNESS
    }


def longest_hop(spans: list[ReceivedSpan]) -> str:
    """Returns the name of the longest span of a hop call."""
    hops = [span for span in spans if span.name.startswith("hop ")]
    return max(hops, key=lambda span: span.end_ns - span.start_ns).name


def test_the_overview_names_the_hop_first(incident: Incident) -> None:
    assert hops_by(incident, incident.before, "Worst hop first")[0] == "ingest"
    assert hops_by(incident, incident.after, "Worst hop first")[0] == "features"
    # By p95, and by what has grown, in seconds and in percent.
    for letter in ("B", "H", "I"):
        assert hops_by(incident, incident.after, "Worst hop first", letter)[:1] == ["features"], (
            letter
        )
    assert hops_by(incident, incident.before, "Spends the most") == ["ingest"]
    assert hops_by(incident, incident.after, "Spends the most") == ["features"]
    assert hops_by(incident, incident.after, "Has grown the most") == ["features"]


def test_histograms_grow_by_what_was_injected_in_that_hop_only(incident: Incident) -> None:
    metric = telemetry_names.HOP_SECONDS
    before, after = (mean_s(incident, at, metric) for at in (incident.before, incident.after))
    grown = {hop: after[hop] - before[hop] for hop in HOPS}
    assert grown["features"] > 0.8 * INJECTED_S
    assert {hop for hop in HOPS if grown[hop] > 0.4 * INJECTED_S} == {"features"}
    # It is the hop's work: neither its queue nor the network to it.
    assert (
        mean_s(incident, incident.after, telemetry_names.HOP_WORK_SECONDS)["features"] > INJECTED_S
    )


def test_the_trace_leads_to_the_read(incident: Incident) -> None:
    tree = TraceTree(incident.sampled.trace_id, incident.spans)
    assert longest_hop(tree.spans) == "hop features"
    read = tree.one(names.FEATURE_READ)
    assert tree.parent_name(read) == "serve features"
    serve = tree.parent(read)
    assert serve is not None
    assert tree.parent_name(serve) == "hop features"
    assert read.end_ns - read.start_ns > INJECTED_S * 1e9


def test_the_burn_rate_alert_names_the_hop(incident: Incident) -> None:
    assert incident.before.alerts == []
    firing = [alert for alert in incident.after.alerts if alert["state"] == "firing"]
    pages = {
        alert["labels"]["objective"]: alert
        for alert in firing
        if alert["labels"]["severity"] == "page"
    }
    assert set(pages) == {"latency-p99", "features-latency-p99"}
    assert {alert["labels"]["hop"] for alert in firing if "hop" in alert["labels"]} == {"features"}
    assert pages["features-latency-p99"]["labels"]["hop"] == "features"
    assert pages["latency-p99"]["annotations"]["where"].startswith("slowest hop: features (")


def test_the_report_names_the_hop(incident: Incident) -> None:
    before, after = incident.before.report, incident.after.report
    assert before["latency-p99"]["worst_hop"]["hop"] == "ingest"
    assert after["latency-p99"]["worst_hop"]["hop"] == "features"
    # Whatever else the machine does: a few events may be bad anywhere.
    assert min(share_kept(before).values()) > 0.8
    kept = share_kept(after)
    burnt = {name for name, share in kept.items() if share < 0.5}
    assert burnt == {"latency-p99", "features-latency-p99"}
    assert all(after[name]["broken"] for name in burnt)
    assert incident.after.status == 1
    assert after["features-latency-p99"]["hop"] == "features"
    assert after["features-latency-p99"]["burn_rates"]["5m"] > 14.4


def share_kept(report: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Returns the share of good events of each objective that had any."""
    return {name: float(each["kept"]) for name, each in report.items() if each["kept"] is not None}


def test_slow_requests_outside_the_sample_are_told_afterwards(incident: Incident) -> None:
    # Those that were late, and no others; before that, hardly any.
    anything = {span.trace_id for span in incident.spans} & incident.before.answers.keys()
    assert anything <= late(incident.before)
    assert len(late(incident.before)) < HEALTHY // 6
    assert late(incident.after) == incident.after.answers.keys()
    told = told_as_slow(incident, incident.after)
    assert len(told) > SLOW // 2
    for trace_id in told:
        tree = TraceTree(trace_id, incident.spans)
        assert longest_hop(tree.spans) == "hop features"
        # Services did not know; what they have worked is in the ledger.
        assert set(tree.services().values()) == {"tailrace.gateway"}


def test_the_line_of_each_request_names_the_hop(incident: Incident) -> None:
    for at, worst in ((incident.before, "ingest"), (incident.after, "features")):
        named = [worst_of_line(incident.lines[trace_id]) for trace_id in at.answers]
        # Some may have met a pause elsewhere.
        assert named.count(worst) > 0.5 * len(named), named


def worst_of_line(line: Line) -> str:
    """Returns the hop that took longest, of those that the answer waited for."""
    told = line["tailrace"]
    critical = [hop for hop in HOPS if told[f"hop.{hop}.critical"]]
    return max(critical, key=lambda hop: int(told[f"hop.{hop}.duration_ns"]))


def test_exemplars_of_slow_requests_are_traces_that_were_told(incident: Incident) -> None:
    query = f'{telemetry_names.PREDICTION_SECONDS}_bucket{{pipeline="{NAME}",outcome="ok"}}'
    at = incident.after
    series = incident.prometheus.exemplars(query, at.began, at.ended)
    slow = {
        one["labels"]["trace_id"]
        for found in series
        for one in found["exemplars"]
        if float(one["value"]) > INJECTED_S
    }
    assert slow
    assert slow <= told_as_slow(incident, at) | {incident.sampled.trace_id}
