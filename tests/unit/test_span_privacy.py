"""Spans say no more of a request than log lines may, and keep no text of any length."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
import structlog

from tailrace.gateway.arrival import RefusedRow
from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.convoy_spans import ConvoySpans
from tailrace.gateway.request_spans import RequestSpans
from tailrace.gateway.submission_spans import SubmissionSpans
from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.errors import Code, InvalidField
from tailrace.runtime.logs import configure_logs
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.method_spans import MethodSpans
from tailrace.runtime.tracing.span import Span, SpanKind
from tailrace.runtime.tracing.timed_span import timed_span
from tailrace.runtime.tracing.trace_context import new_trace
from tailrace.runtime.tracing.tracing import MAX_MESSAGE, Tracing
from tests.support.told_spans import ToldSpans
from tests.support.written_pipeline import written_pipeline

SECRET = "JFK"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return written_pipeline(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture
def redacts_origin() -> Iterator[None]:
    settings = ProcessSettings(log_redacted_fields=("origin",))
    logs = configure_logs(settings, "test", stream=io.StringIO())
    yield
    logs.close()
    configure_logs(ProcessSettings(), "test", stream=io.StringIO()).close()
    structlog.reset_defaults()


def _tell_everywhere(tracing: Tracing, error: InvalidField, pipeline: Pipeline) -> None:
    """Has all that tells spans tell one that failed so."""
    now_ns = time.monotonic_ns()
    RequestSpans(tracing).take(
        RefusedRow("flights", "r", now_ns, 0, error, new_trace(sampled=True)), error
    )
    SubmissionSpans(tracing).take(new_trace(sampled=True), "r", "flights", error, now_ns)
    row = ConvoyRow("flights", "r", {}, now_ns, 1, now_ns, new_trace(sampled=True), error=error)
    convoy = Convoy(pipeline, [row])
    ConvoySpans(tracing, pipeline).departs(convoy)
    convoy.book.open("ingest", now_ns, 0).fail(error)
    convoy.ended_ns = now_ns
    ConvoySpans(tracing, pipeline).ended(convoy)
    method = MethodSpans("tailrace.v1.S/M", tracing)
    method.end(new_trace(sampled=True), now_ns / 1e9, error.code, error)
    with (
        pytest.raises(InvalidField),
        timed_span(tracing, "serve ingest", new_trace(sampled=True), SpanKind.SERVER, {}),
    ):
        raise error


@pytest.mark.parametrize("field", ["fields.origin", "requests[3].request.fields.origin[0]"])
def test_no_span_shows_a_redacted_field(
    redacts_origin: None, pipeline: Pipeline, field: str
) -> None:
    told = ToldSpans()
    _tell_everywhere(Tracing(told), InvalidField(f"found {SECRET}", field=field), pipeline)
    assert {span.name for span in told.spans} == {
        names.PREDICT,
        names.SUBMIT,
        names.CONVOY,
        "hop ingest",
        "tailrace.v1.S/M",
        "serve ingest",
    }
    assert {span.message for span in told.spans} == {"[redacted]"}
    assert SECRET not in repr(told.spans)


def test_of_other_fields_spans_say_what_was_wrong(redacts_origin: None, pipeline: Pipeline) -> None:
    told = ToldSpans()
    _tell_everywhere(Tracing(told), InvalidField("too long", field="fields.dest"), pipeline)
    assert {span.message for span in told.spans} == {"too long"}


def test_a_long_message_is_cut() -> None:
    told = ToldSpans()
    Tracing(told).tell(
        Span("x", new_trace(), SpanKind.SERVER, 0, 1, {}, Code.INTERNAL, "m" * 5_000_000)
    )
    assert told.spans[0].message == "m" * MAX_MESSAGE
