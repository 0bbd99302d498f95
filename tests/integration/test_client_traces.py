"""The trace in which a caller calls goes on in the mesh, with nothing to switch on."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from tailrace.client import (
    AsyncClient,
    AsyncEventClient,
    Client,
    Event,
    EventClient,
    PredictionError,
    Submission,
)
from tests.support.heard_calls import HeardCalls, heard_calls
from tests.support.noted_spans import NotedSpans

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
METHODS = {
    "Predict",
    "PredictBatch",
    "PredictStream",
    "SubmitPrediction",
    "SubmitPredictions",
    "GetPrediction",
    "WatchPredictions",
    "CancelPrediction",
    "ListPipelines",
    "ListCallbacks",
    "IngestEvents",
}
EVENT = Event(id="1", fields={"user": "7"}, event_time=datetime(2026, 1, 1, tzinfo=UTC))


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """The body runs below a span of the caller's."""
    place = SpanContext(
        trace_id=int(TRACE_ID, 16),
        span_id=int(SPAN_ID, 16),
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "x")]),
    )
    with trace.use_span(NonRecordingSpan(place)):
        yield


async def ask_everything(target: str, *, in_trace: bool, call_spans: bool = False) -> None:
    """Calls every kind of method; all of them fail."""
    async with (
        AsyncClient(target, timeout=20, call_spans=call_spans) as client,
        AsyncEventClient(target, timeout=20, call_spans=call_spans) as events,
    ):
        with traced() if in_trace else contextlib.nullcontext():
            stream = client.predict_stream("p", [{}])
            watch = client.watch_submissions()
            calls = [
                client.predict("p", {}),
                client.predict_batch("p", [{}]),
                client.submit("p", {}),
                client.submit_many([Submission(pipeline="p", fields={})]),
                client.get_submission("1"),
                client.cancel_submission("1"),
                client.list_pipelines(),
                client.callbacks.list_all(),
                events.send("clicks", [EVENT]),
            ]
            for call in calls:
                with contextlib.suppress(PredictionError):
                    await call
        # What is opened later belongs to the trace in which it was asked for.
        with pytest.raises(PredictionError):
            await anext(stream)
        with pytest.raises(PredictionError):
            await anext(watch)


def ask_everything_blocking(target: str, *, in_trace: bool, call_spans: bool = False) -> None:
    """Calls every kind of method; all of them fail."""
    with (
        Client(target, timeout=20, call_spans=call_spans) as client,
        EventClient(target, timeout=20, call_spans=call_spans) as events,
    ):
        with traced() if in_trace else contextlib.nullcontext():
            stream = client.predict_stream("p", [{}])
            watch = client.watch_submissions()
            for call in (
                lambda: client.predict("p", {}),
                lambda: client.predict_batch("p", [{}]),
                lambda: client.submit("p", {}),
                lambda: client.submit_many([Submission(pipeline="p", fields={})]),
                lambda: client.get_submission("1"),
                lambda: client.cancel_submission("1"),
                lambda: client.list_pipelines(),
                lambda: client.callbacks.list_all(),
                lambda: events.send("clicks", [EVENT]),
            ):
                with contextlib.suppress(PredictionError):
                    call()
        with pytest.raises(PredictionError):
            next(stream)
        with pytest.raises(PredictionError):
            next(watch)


async def ask(heard: HeardCalls, kind: str, *, in_trace: bool, call_spans: bool = False) -> None:
    if kind == "async":
        await ask_everything(heard.target, in_trace=in_trace, call_spans=call_spans)
    else:
        await asyncio.to_thread(
            ask_everything_blocking, heard.target, in_trace=in_trace, call_spans=call_spans
        )


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_every_call_passes_on_the_place_of_the_current_span(kind: str) -> None:
    async with heard_calls() as heard:
        await ask(heard, kind, in_trace=True)

    assert set(heard.headers) == METHODS
    for headers in heard.headers.values():
        assert (headers["traceparent"], headers["tracestate"]) == ([TRACEPARENT], ["vendor=x"])


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_call_outside_any_trace_has_no_headers_of_one(kind: str) -> None:
    async with heard_calls() as heard:
        await ask(heard, kind, in_trace=False)

    assert set(heard.headers) == METHODS
    assert not any("traceparent" in headers for headers in heard.headers.values())


@pytest.mark.parametrize("by", ["instrumentor", "call_spans"])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_caller_with_spans_of_its_calls_sends_their_places_once(
    kind: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = NotedSpans()
    library: Any = GrpcAioInstrumentorClient if kind == "async" else GrpcInstrumentorClient
    instrumentor = library()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
    if by == "instrumentor":
        instrumentor.instrument()
    try:
        async with heard_calls() as heard:
            await ask(heard, kind, in_trace=True, call_spans=by == "call_spans")
    finally:
        if by == "instrumentor":
            instrumentor.uninstrument()

    sent = {span.name.rsplit("/", 1)[1]: span for span in spans.ended}
    assert set(heard.headers) == set(sent) == METHODS
    for method, headers in heard.headers.items():
        (traceparent,) = headers["traceparent"]
        assert traceparent.split("-")[2] == f"{sent[method].context.span_id:016x}"
        if (kind, by, method) == ("sync", "instrumentor", "WatchPredictions"):
            continue  # the library begins this span where the watch is read, which here is later
        assert traceparent.split("-")[1] == TRACE_ID
        assert headers["tracestate"] == ["vendor=x"]
        assert sent[method].parent.span_id == int(SPAN_ID, 16)


async def test_a_traceparent_of_the_clients_metadata_stands() -> None:
    mine = f"00-{'a' * 32}-{'b' * 16}-00"
    async with heard_calls() as heard:
        async with AsyncClient(heard.target, metadata=[("traceparent", mine)], timeout=20) as one:
            with traced(), pytest.raises(PredictionError):
                await one.predict("p", {})

    assert heard.headers["Predict"]["traceparent"] == [mine]
    assert "tracestate" not in heard.headers["Predict"]


def test_the_client_imports_nothing_of_opentelemetry() -> None:
    program = (
        "import sys, tailrace.client\n"
        "from tailrace.client.trace_headers import with_trace_headers\n"
        "assert with_trace_headers([('tenant', 'a')]) == (('tenant', 'a'),)\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
