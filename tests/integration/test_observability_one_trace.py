"""One trace id joins all that real processes tell of a prediction, and of a submission."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from tailrace.client import Client, SubmittedPrediction
from tailrace.client.values import Fields
from tailrace.runtime import telemetry_names
from tailrace.runtime.placement import HOPS
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import read_traceparent
from tailrace.v1 import prediction_service_pb2
from tests.support.mesh_lines import Line, Told, wait_for_lines
from tests.support.observed_mesh import ObservedMesh
from tests.support.otlp_receiver import ReceivedSpan
from tests.support.push_endpoint import Push
from tests.support.scraped_metrics import scrape
from tests.support.trace_tree import Edge, TraceTree, wait_for_tree
from tests.support.traced_calls import CallerTrace, caller_trace, predict_all

pytestmark = pytest.mark.timeout(180)

PARTS = ("start_ns", "duration_ns", "queue_ns", "network_ns", "work_ns", "budget_ns")
# Processes tell monotonic instants by the wall clock, each as it reads that when a batch leaves.
CLOCKS_NS = 2_000_000

CHAIN: list[Edge] = [
    ("predict", "convoy"),
    ("convoy", "hop ingest"),
    ("hop ingest", "serve ingest"),
    ("convoy", "hop features"),
    ("hop features", "serve features"),
    ("serve features", "redis read"),
    ("convoy", "hop inference"),
    ("hop inference", "serve inference"),
    ("serve inference", "model echo_sum"),
    ("model echo_sum", "InferRequest"),
    ("InferRequest", "echo_sum"),
    ("echo_sum", "compute"),
    ("convoy", "hop postprocess"),
    ("hop postprocess", "serve postprocess"),
]
OF_SERVICES = {
    "serve ingest": "tailrace.ingest",
    "serve features": "tailrace.features",
    "redis read": "tailrace.features",
    "serve inference": "tailrace.inference",
    "model echo_sum": "tailrace.inference",
    "serve postprocess": "tailrace.postprocess",
    "InferRequest": "triton",
    "echo_sum": "triton",
    "compute": "triton",
}
TRITONS = {edge for edge in CHAIN if OF_SERVICES.get(edge[1]) == "triton"}
Answer = TypeVar("Answer")
OF_CHAIN = ("predict", "convoy", *(f"hop {hop}" for hop in HOPS))
HOP_LINES: set[Told] = {(hop, "hop done") for hop in HOPS}


@dataclass(frozen=True)
class Predicted:
    """What is known of the prediction.

    Attributes:
        caller: the caller's span.
        answer: as the caller got it.
        tree: its spans.
        lines: its log lines.
    """

    caller: CallerTrace
    answer: prediction_service_pb2.PredictResponse
    tree: TraceTree
    lines: Mapping[Told, Line]


@dataclass(frozen=True)
class Submitted:
    """What is known of the submission.

    Attributes:
        caller: the caller's span.
        prediction_id: the submission's.
        tree: its spans.
        lines: its log lines.
        push: what the webhook's receiver got.
    """

    caller: CallerTrace
    prediction_id: str
    tree: TraceTree
    lines: Mapping[Told, Line]
    push: Push


def _asked(
    observed: ObservedMesh, edges: Counter[Edge], ask: Callable[[CallerTrace, Fields], Answer]
) -> tuple[CallerTrace, Answer, TraceTree]:
    """Asks once more where Triton's spans are lost: its exporter does not send each batch."""
    for last in (False, False, True):
        caller = caller_trace(sampled=True)
        answer = ask(caller, {"x0": 1.0, "account": observed.account()})
        try:
            return caller, answer, wait_for_tree(caller.trace_id, edges, observed.spans)
        except AssertionError:
            lost = edges - TraceTree(caller.trace_id, observed.spans()).edges()
            if last or set(lost) != TRITONS:
                raise
    raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def predicted(observed: ObservedMesh) -> Predicted:
    def ask(caller: CallerTrace, fields: Fields) -> prediction_service_pb2.PredictResponse:
        (answer,) = predict_all(observed.mesh, "echo", [(caller, fields)])
        return answer

    edges = Counter([("", "predict"), *CHAIN])
    caller, answer, tree = _asked(observed, edges, ask)
    told = {("gateway", "prediction made")} | HOP_LINES
    return Predicted(caller, answer, tree, wait_for_lines(observed.mesh, caller.trace_id, told))


@pytest.fixture(scope="module")
def submitted(observed: ObservedMesh) -> Submitted:
    def ask(caller: CallerTrace, fields: Fields) -> SubmittedPrediction:
        with Client(observed.mesh.target, metadata=caller.headers) as client:
            return client.submit("echo", fields, callback="well")

    edges = Counter([("", "submit"), ("submit", "predict"), *CHAIN, ("submit", "push")])
    caller, submission, tree = _asked(observed, edges, ask)
    told = HOP_LINES | {
        ("gateway", "submission acknowledged"),
        ("dispatcher", "prediction made"),
        ("courier", "result delivered"),
    }
    lines = wait_for_lines(observed.mesh, caller.trace_id, told)
    (push,) = observed.endpoint.pushed(submission.id)
    return Submitted(caller, submission.id, tree, lines, push)


def check_resources(observed: ObservedMesh, tree: TraceTree, services: Mapping[str, str]) -> None:
    """Asserts which process has told which span."""
    assert tree.services() == services
    instances: defaultdict[str, set[str]] = defaultdict(set)
    for span in tree.spans:
        if span.service == "triton":
            continue
        process = observed.mesh.processes[span.service.removeprefix("tailrace.")]
        assert span.resource[names.PROCESS_PID] == process.process.pid
        for name in (names.SERVICE_VERSION, names.ENVIRONMENT, names.HOST_NAME):
            assert span.resource[name]
        instances[span.service].add(span.resource[names.SERVICE_INSTANCE])
    # One for each process, and no two alike.
    assert all(len(own) == 1 for own in instances.values())
    assert len(set[str]().union(*instances.values())) == len(instances)


def check_nested(tree: TraceTree, apart: frozenset[str] = frozenset()) -> None:
    """Asserts that spans lie within those above them, but for those that come later."""
    for span in tree.spans:
        assert span.status in ("UNSET", "OK"), span
        parent = tree.parent(span)
        if parent is None:
            continue
        assert span.start_ns >= parent.start_ns - CLOCKS_NS, (span, parent)
        # Triton ends its request once it has answered: later than its caller, perhaps.
        if span.name not in apart and span.name != "InferRequest":
            assert span.end_ns <= parent.end_ns + CLOCKS_NS, (span, parent)
            assert span.end_ns - span.start_ns <= parent.end_ns - parent.start_ns + CLOCKS_NS


def check_ledger(tree: TraceTree, line: Line) -> None:
    """Asserts that spans and the line of the request tell the same ledger, and that it adds up."""
    request, told = tree.one("predict"), line["tailrace"]
    critical_ns = 0
    for hop in HOPS:
        of_span = tree.one(f"hop {hop}").attributes
        of_line = {part: told[f"hop.{hop}.{part}"] for part in PARTS}
        assert of_line == {
            part: request.attributes[names.ledger_attribute(hop, part)] for part in PARTS
        }
        assert of_line["duration_ns"] == of_span[names.DURATION_NS] == duration_ns(tree, hop)
        assert of_line["queue_ns"] == of_span[names.QUEUE_NS]
        assert of_line["network_ns"] == of_span[names.NETWORK_NS]
        assert of_line["work_ns"] == of_span[names.WORK_NS]
        assert of_line["budget_ns"] == of_span[names.BUDGET_NS]
        assert told[f"hop.{hop}.critical"] == of_span[names.CRITICAL]
        parts = [of_line[part] for part in ("queue_ns", "network_ns", "work_ns")]
        assert sum(parts) == of_line["duration_ns"]
        served = tree.one(f"serve {hop}").attributes
        assert (served[names.QUEUE_NS], served[names.WORK_NS]) == (parts[0], parts[2])
        critical_ns += of_line["duration_ns"] if told[f"hop.{hop}.critical"] else 0
    whole = told["ledger.convoy_wait_ns"] + critical_ns + told["ledger.unattributed_ns"]
    assert whole == told["ledger.total_ns"]
    assert told["ledger.convoy_wait_ns"] == request.attributes[names.CONVOY_WAIT_NS]
    assert told["ledger.unattributed_ns"] == request.attributes[names.UNATTRIBUTED_NS]
    # The span goes on until the outcome is counted and told.
    assert told["ledger.total_ns"] <= request.end_ns - request.start_ns


def duration_ns(tree: TraceTree, hop: str) -> int:
    """Returns how long the span of a hop call is."""
    span = tree.one(f"hop {hop}")
    return span.end_ns - span.start_ns


def place(span: ReceivedSpan) -> tuple[str, str]:
    """Returns trace id and span id."""
    return span.trace_id, span.span_id


def line_place(line: Line) -> tuple[str, str]:
    """Returns trace id and span id of a line."""
    return line["trace"]["id"], line["span"]["id"]


def test_a_prediction_is_one_tree_of_all_its_processes(
    observed: ObservedMesh, predicted: Predicted
) -> None:
    tree = predicted.tree
    assert tree.one("predict").parent_id == predicted.caller.span_id
    check_resources(observed, tree, dict.fromkeys(OF_CHAIN, "tailrace.gateway") | OF_SERVICES)
    kinds = [tree.one(name).kind for name in ("predict", "convoy", "hop features")]
    assert kinds == ["SERVER", "INTERNAL", "CLIENT"]
    check_nested(tree)


def test_answer_spans_and_log_line_of_a_prediction_tell_the_same_ledger(
    predicted: Predicted,
) -> None:
    line = predicted.lines["gateway", "prediction made"]
    check_ledger(predicted.tree, line)
    ledger = predicted.answer.ledger
    assert ledger.total_ns == line["tailrace"]["ledger.total_ns"]
    answered = sorted(entry.duration_ns for entry in ledger.entries)
    assert answered == sorted(duration_ns(predicted.tree, hop) for hop in HOPS)


def test_lines_of_a_prediction_name_its_span(predicted: Predicted) -> None:
    own = place(predicted.tree.one("predict"))
    assert own[0] == predicted.caller.trace_id
    # Services name the request's own span, and not the convoy's.
    assert {told: line_place(line) for told, line in predicted.lines.items()} == dict.fromkeys(
        predicted.lines, own
    )
    assert {line["labels"]["request_id"] for line in predicted.lines.values()} == {
        predicted.answer.request_id
    }


def test_an_exemplar_leads_from_the_histogram_to_the_prediction(
    observed: ObservedMesh, predicted: Predicted
) -> None:
    port = observed.mesh.processes["gateway"].metrics_port
    for metric in (telemetry_names.PREDICTION_SECONDS, telemetry_names.HOP_SECONDS):
        assert predicted.caller.trace_id in scrape(port).exemplars[metric]
    query = f'{telemetry_names.PREDICTION_SECONDS}_bucket{{pipeline="echo"}}'
    observed.prometheus.wait_for_scrapes()
    end_s = predicted.tree.one("predict").end_ns / 1e9
    kept = observed.prometheus.exemplars(query, end_s - 60, end_s + 60)
    traces = {one["labels"]["trace_id"] for found in kept for one in found["exemplars"]}
    assert predicted.caller.trace_id in traces


def test_a_submission_is_one_tree_from_submit_to_push(
    observed: ObservedMesh, submitted: Submitted
) -> None:
    tree = submitted.tree
    submit, run, push = (tree.one(name) for name in ("submit", "predict", "push"))
    assert submit.parent_id == submitted.caller.span_id
    ours = {"submit": "tailrace.gateway", "push": "tailrace.courier"}
    check_resources(
        observed, tree, ours | dict.fromkeys(OF_CHAIN, "tailrace.dispatcher") | OF_SERVICES
    )
    assert [span.kind for span in (submit, run, push)] == ["PRODUCER", "CONSUMER", "CLIENT"]
    for span in (submit, run, push):
        assert span.attributes[names.PREDICTION_ID] == submitted.prediction_id
    # A run may begin before its acknowledgement has been sent, and a push not before the run's end.
    check_nested(tree, apart=frozenset({"predict", "push"}))
    assert run.end_ns <= push.start_ns + CLOCKS_NS


def test_spans_and_log_line_of_a_submissions_run_tell_the_same_ledger(submitted: Submitted) -> None:
    check_ledger(submitted.tree, submitted.lines["dispatcher", "prediction made"])


def test_lines_of_a_submission_name_its_trace(submitted: Submitted) -> None:
    submit, run = (place(submitted.tree.one(name)) for name in ("submit", "predict"))
    expected: dict[Told, Any] = dict.fromkeys(HOP_LINES, run)
    expected["gateway", "submission acknowledged"] = submit
    expected["dispatcher", "prediction made"] = run
    expected["courier", "result delivered"] = submit
    assert {told: line_place(line) for told, line in submitted.lines.items()} == expected
    for told in set(submitted.lines) - HOP_LINES:
        assert submitted.lines[told]["labels"]["prediction_id"] == submitted.prediction_id, told


def test_a_webhook_names_the_push_in_the_trace_of_its_submission(submitted: Submitted) -> None:
    named = read_traceparent(submitted.push.headers["traceparent"])
    assert named is not None
    assert named.sampled
    assert (named.trace_id, named.span_id) == place(submitted.tree.one("push"))
    assert named.trace_id == submitted.caller.trace_id
