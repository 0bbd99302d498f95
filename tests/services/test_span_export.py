"""Spans leave the process: by OTLP/HTTP to a real receiver, whatever that does, and into a file."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.runtime import telemetry_names as metrics
from tailrace.runtime.config import ProcessSettings, SettingsError, load_settings
from tailrace.runtime.errors import Code
from tailrace.runtime.start_error import StartError
from tailrace.runtime.tracing.configure import configure_tracing
from tailrace.runtime.tracing.otlp_file import OtlpFileExporter
from tailrace.runtime.tracing.otlp_http import OtlpHttpExporter
from tailrace.runtime.tracing.resource import resource_attributes
from tailrace.runtime.tracing.span import Span, SpanKind
from tailrace.runtime.tracing.span_exporter import SpanExporter
from tailrace.runtime.tracing.span_queue import SpanQueue
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.runtime.tracing.tracing import process_tracing
from tests.support.otlp_receiver import (
    Mood,
    OtlpReceiver,
    ReceivedSpan,
    closed_port,
    otlp_receiver,
    read_request,
    request_of_json,
)
from tests.support.waiting import wait_for

RESOURCE = resource_attributes("ingest", "test")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@contextmanager
def queue_to(exporter: SpanExporter, max_spans: int = 1000) -> Iterator[SpanQueue]:
    queue = SpanQueue(exporter, max_spans=max_spans, interval_s=0.01, pause_s=0.01)
    try:
        yield queue
    finally:
        queue.close()


def span(name: str = "serve ingest", **changes: Any) -> Span:
    now_ns = time.monotonic_ns()
    given: dict[str, Any] = {
        "name": name,
        "context": new_trace(sampled=True),
        "kind": SpanKind.INTERNAL,
        "start_ns": now_ns - 2_000_000,
        "end_ns": now_ns,
        "attributes": {},
    }
    return Span(**{**given, **changes})


def outcomes() -> dict[str, float]:
    names = ("sent", "failed", "dropped")
    found = {
        name: REGISTRY.get_sample_value(metrics.SPANS_TOTAL, {"outcome": name}) for name in names
    }
    return {name: value or 0.0 for name, value in found.items()}


@contextmanager
def counted() -> Iterator[Callable[[], dict[str, int]]]:
    """Yields what tells how many spans have had which outcome in the body so far."""
    before = outcomes()

    def since() -> dict[str, int]:
        now = outcomes()
        return {name: int(now[name] - before[name]) for name in now if now[name] != before[name]}

    yield since


def words(lines: list[MutableMapping[str, Any]]) -> list[str]:
    return [str(line["event"]) for line in lines]


FULL = span(
    "hop features",
    context=TraceContext("ab" * 16, "cd" * 8, True, "ef" * 8, "vendor=1,other=2"),
    kind=SpanKind.CLIENT,
    code=Code.UNAVAILABLE,
    message="the store is away",
    links=[TraceContext("12" * 16, "34" * 8, True)],
    attributes={
        "text": "ä",
        "yes": True,
        "number": -(2**62),
        "share": 0.25,
        "texts": ["a", "b"],
        "numbers": [1, 2],
        "none": [],
    },
)


def assert_full(found: ReceivedSpan) -> None:
    assert (found.name, found.kind) == ("hop features", "CLIENT")
    assert (found.trace_id, found.span_id, found.parent_id) == ("ab" * 16, "cd" * 8, "ef" * 8)
    assert found.tracestate == "vendor=1,other=2"
    assert found.links == (("12" * 16, "34" * 8),)
    assert found.flags == (1, 1)
    assert (found.status, found.message) == ("ERROR", "the store is away")
    assert found.attributes == {**FULL.attributes, "error.type": "UNAVAILABLE"}
    assert found.resource == RESOURCE
    assert found.service == "tailrace.ingest"
    assert found.resource["process.pid"] == os.getpid()


def test_a_span_arrives_with_all_that_is_told_of_it(receiver: OtlpReceiver) -> None:
    with queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue:
        queue.put(FULL)
        (found,) = receiver.wait_for("hop features")
    assert_full(found)


def test_a_line_of_the_file_is_an_export_request_in_json(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    with queue_to(OtlpFileExporter(path, RESOURCE)) as queue:
        queue.put(FULL)
    (line,) = path.read_text().splitlines()
    (found,) = read_request(request_of_json(line))
    assert_full(found)
    raw = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    # As the form wants it, which protobuf's own reader does not insist on.
    assert (raw["traceId"], raw["kind"]) == ("ab" * 16, 3)
    assert raw["startTimeUnixNano"] == str(found.start_ns)


def test_both_ways_tell_the_same(receiver: OtlpReceiver, tmp_path: Path) -> None:
    told = [FULL, span(), span(attributes={"odd": float("inf")}), span(code=Code.CANCELLED)]
    told.append(span(code=Code.NOT_FOUND, kind=SpanKind.SERVER, message="no such thing"))
    told.append(span(context=new_trace(), links=[TraceContext("ab" * 16, "cd" * 8, False)]))
    path = tmp_path / "spans.jsonl"
    OtlpFileExporter(path, RESOURCE).export(told, len(told), 7)
    OtlpHttpExporter(receiver.url, RESOURCE).export(told, len(told), 7)
    assert list(read_request(request_of_json(path.read_text()))) == receiver.spans()


def test_instants_are_told_by_the_wall_clock(receiver: OtlpReceiver) -> None:
    with queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue:
        before_ns = time.time_ns()
        queue.put(span(start_ns=time.monotonic_ns() - 5_000_000, end_ns=time.monotonic_ns()))
        (found,) = receiver.wait_for("serve ingest")
        after_ns = time.time_ns()
    # A step of the clock in between would show, and a wrong clock by years.
    assert before_ns - 1_000_000_000 < found.start_ns < found.end_ns < after_ns + 1_000_000_000
    assert 5_000_000 <= found.end_ns - found.start_ns < 1_000_000_000


def test_who_cancels_has_met_no_error(receiver: OtlpReceiver) -> None:
    with queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue:
        queue.put(span(code=Code.CANCELLED, message="the caller left"))
        (found,) = receiver.wait_for("serve ingest")
    assert (found.status, found.message) == ("UNSET", "")


@pytest.mark.parametrize(
    ("kind", "code", "status", "told"),
    [
        (SpanKind.SERVER, Code.INVALID_ARGUMENT, "UNSET", {"error.message": "too long"}),
        (SpanKind.INTERNAL, Code.NOT_FOUND, "UNSET", {"error.message": "too long"}),
        (SpanKind.CLIENT, Code.INVALID_ARGUMENT, "ERROR", {}),
        (SpanKind.SERVER, Code.RESOURCE_EXHAUSTED, "ERROR", {}),
    ],
)
def test_what_a_caller_did_wrong_is_no_error_of_who_serves_it(
    receiver: OtlpReceiver, kind: SpanKind, code: Code, status: str, told: dict[str, str]
) -> None:
    spans = [span(kind=kind, code=code, message="too long")]
    OtlpHttpExporter(receiver.url, RESOURCE).export(spans, 1, 0)
    (found,) = receiver.spans()
    assert (found.status, found.message) == (status, "too long" if status == "ERROR" else "")
    assert found.attributes == {"error.type": code.name, **told}


def test_a_password_of_the_receiver_is_sent_and_not_told(receiver: OtlpReceiver) -> None:
    exporter = OtlpHttpExporter(receiver.url.replace("http://", "http://me:secret@"), RESOURCE)
    exporter.export([span()], 1, 0)
    assert exporter.target == f"{receiver.url}/v1/traces"
    assert receiver.headers["authorization"] == "Basic bWU6c2VjcmV0"


def test_what_does_not_fit_is_dropped_and_counted(receiver: OtlpReceiver) -> None:
    receiver.mood = Mood.HANGS
    with counted() as since, capture_logs() as lines:
        queue = SpanQueue(
            OtlpHttpExporter(receiver.url, RESOURCE), max_spans=10, interval_s=0.01, pause_s=0.01
        )
        queue.put(span())
        receiver.wait_for_requests(1, Mood.HANGS)
        for _ in range(50):
            queue.put(span())
        assert since() == {"dropped": 40}
        queue.close(timeout_s=0.05)
        assert since() == {"dropped": 50}
        queue.put(span())
        assert since() == {"dropped": 51}
    assert words(lines) == ["spans are dropped", "spans are not sent: the process ends"]
    assert lines[0]["waiting"] == lines[1]["spans"] == 10


def test_a_receiver_that_is_away_for_a_moment_loses_nothing(receiver: OtlpReceiver) -> None:
    receiver.mood = Mood.UNAVAILABLE
    with (
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue,
    ):
        queue.put(span())
        receiver.wait_for_requests(1, Mood.UNAVAILABLE)
        receiver.mood = Mood.TAKES
        receiver.wait_for("serve ingest")
        wait_for(lambda: bool(since()))
        assert since() == {"sent": 1}
    assert lines == []


@pytest.mark.parametrize("mood", [Mood.FORBIDDEN, Mood.MOVED])
def test_that_spans_are_lost_is_told_once_and_that_they_are_not_any_more(
    receiver: OtlpReceiver, mood: Mood, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.mood = mood
    with (
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue,
    ):
        for asked in (1, 2, 3):
            queue.put(span())
            receiver.wait_for_requests(asked, mood)
        receiver.mood = Mood.TAKES
        queue.put(span("last"))
        receiver.wait_for("last")
        wait_for(lambda: since().get("sent") == 1)
        assert since() == {"failed": 3, "sent": 1}
    assert words(lines) == ["spans are lost", "spans are sent again"]
    assert lines[0]["problem"].startswith("HTTP 403" if mood is Mood.FORBIDDEN else "HTTP 301")
    assert lines[1]["lost"] == 3
    # What its libraries say is in the line.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mood", [Mood.TOO_MANY, Mood.UNAVAILABLE])
def test_a_receiver_that_stays_away_fails_a_batch_in_bounded_time(
    receiver: OtlpReceiver, mood: Mood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    receiver.mood = mood
    with (
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue,
    ):
        queue.put(span())
        wait_for(lambda: since() == {"failed": 1})
    assert words(lines) == ["spans are lost"]
    # No more than one a second and batch.
    assert receiver.requests[mood] == 1


def test_nobody_listening_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with (
        closed_port() as port,
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpHttpExporter(f"http://127.0.0.1:{port}", RESOURCE)) as queue,
    ):
        queue.put(span())
        wait_for(lambda: since() == {"failed": 1})
    assert "refused" in lines[0]["problem"]
    assert lines[0]["to"] == f"http://127.0.0.1:{port}/v1/traces"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mood", [Mood.DRIPS, Mood.POURS])
def test_an_answer_without_an_end_is_not_read_to_its_end(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, mood: Mood
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    receiver.mood = mood
    with counted() as since, queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue:
        queue.put(span("first"))
        wait_for(lambda: since() == {"sent": 1})
        receiver.mood = Mood.TAKES
        queue.put(span("second"))
        receiver.wait_for("first", "second")


def test_batches_share_a_connection(receiver: OtlpReceiver) -> None:
    exporter = OtlpHttpExporter(receiver.url, RESOURCE)
    for mood in (Mood.TAKES, Mood.FORBIDDEN, Mood.REJECTS_ONE, Mood.TAKES):
        receiver.mood = mood
        exporter.export([span()], 1, 0)
    assert receiver.requests.total() == 4
    assert receiver.connections == 1


def test_what_a_receiver_takes_only_in_part_is_counted_so(receiver: OtlpReceiver) -> None:
    receiver.mood = Mood.REJECTS_ONE
    with (
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue,
    ):
        queue.put(span())
        wait_for(lambda: since() == {"failed": 1})
    assert lines[0]["problem"] == "one too many"


def test_a_span_that_cannot_be_written_does_not_take_others_along(
    receiver: OtlpReceiver, tmp_path: Path
) -> None:
    path = tmp_path / "spans.jsonl"
    spans = [
        span("before"),
        span("bad", attributes={"half": "\ud800", "big": 2**70}),
        span("after"),
    ]
    with capture_logs():
        over_http = OtlpHttpExporter(receiver.url, RESOURCE).export(spans, 3, 0)
        bad: Any = {"odd": object()}
        into_file = OtlpFileExporter(path, RESOURCE).export(
            [spans[0], span("bad", attributes=bad), spans[2]], 3, 0
        )
    assert over_http.failed == into_file.failed == 1
    assert "'bad'" in over_http.problem
    assert "'bad'" in into_file.problem
    assert [each.name for each in receiver.spans()] == ["before", "after"]
    names = [each.name for each in read_request(request_of_json(path.read_text()))]
    assert names == ["before", "after"]


def test_the_standard_variables_of_the_exporter_hold(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with queue_to(OtlpHttpExporter(receiver.url, RESOURCE)) as queue:
        queue.put(span())
        receiver.wait_for("serve ingest")
    assert receiver.headers["authorization"] == "Bearer abc"
    assert receiver.headers["content-encoding"] == "gzip"


def test_all_that_was_put_is_sent_before_the_end(receiver: OtlpReceiver) -> None:
    with counted() as since:
        with queue_to(OtlpHttpExporter(receiver.url, RESOURCE), max_spans=3000) as queue:
            for _ in range(2000):
                queue.put(span())
        assert since() == {"sent": 2000}
    assert len(receiver.spans()) == 2000
    assert receiver.requests[Mood.TAKES] >= 4


def test_a_disk_that_was_full_costs_the_lines_of_then(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    exporter = OtlpFileExporter(path, RESOURCE)
    assert exporter.export([span("before")], 1, 0).failed == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        failed = [exporter.export([span("lost")], 1, 0) for _ in range(2)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [each.failed for each in failed] == [1, 1]
    assert failed[0].problem.startswith("100 bytes of")
    assert failed[1].problem == "File too large"
    assert exporter.export([span("after")], 1, 0).failed == 0
    before, torn, after = path.read_text().splitlines()
    assert len(torn) == 100
    found = [next(read_request(request_of_json(line))).name for line in (before, after)]
    assert found == ["before", "after"]


def test_processes_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    exporters = [OtlpFileExporter(path, resource_attributes(name, "test")) for name in "ab"]
    rounds, per_line = 40, 100

    def write(exporter: OtlpFileExporter) -> None:
        for _ in range(rounds):
            exporter.export([span() for _ in range(per_line)], per_line, 0)

    threads = [threading.Thread(target=write, args=(each,)) for each in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    found = [each for line in lines for each in read_request(request_of_json(line))]
    services = [each.service for each in found]
    assert services.count("tailrace.a") == services.count("tailrace.b") == rounds * per_line


def test_a_full_disk_is_told_and_counted() -> None:
    with (
        counted() as since,
        capture_logs() as lines,
        queue_to(OtlpFileExporter(Path("/dev/full"), RESOURCE)) as queue,
    ):
        queue.put(span())
        wait_for(lambda: since() == {"failed": 1})
    assert lines[0]["problem"] == "No space left on device"


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://a:99999", "http://a/?b=c"],
)
def test_an_endpoint_that_is_no_url_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_TRACES_ENDPOINT", endpoint)
    with pytest.raises(SettingsError, match="TAILRACE_TRACES_ENDPOINT: .*URL"):
        load_settings(ProcessSettings)


def test_an_endpoint_beside_a_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="do not go together"):
        load_settings(ProcessSettings, traces_endpoint="http://a", traces_file=Path("b"))


def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings(ProcessSettings, traces_file=tmp_path / "no" / "spans.jsonl")
    with pytest.raises(StartError, match=r"ingest: .*spans\.jsonl: No such file.*TRACES_FILE"):
        configure_tracing(settings, "ingest")


def test_a_process_traces_as_its_settings_say(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    settings = load_settings(ProcessSettings, traces_file=path, traces_sample_rate=1.0)
    configured = configure_tracing(settings, "ingest")
    tracing = process_tracing()
    assert tracing.tells
    assert tracing.begin({}).sampled
    tracing.tell(span("told"))
    configured.close()
    assert not process_tracing().tells
    (found,) = read_request(request_of_json(path.read_text()))
    assert (found.name, found.service) == ("told", "tailrace.ingest")


def test_without_a_place_for_spans_nothing_is_traced() -> None:
    configured = configure_tracing(load_settings(ProcessSettings, traces_sample_rate=1.0), "ingest")
    assert not process_tracing().tells
    assert not process_tracing().begin({}).sampled
    configured.close()
