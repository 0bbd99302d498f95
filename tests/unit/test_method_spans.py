"""Calls that are no requests for predictions are told as spans, and errors name their trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from tailrace.client import AsyncClient, NotFound, Overloaded
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import MappingServer, status_of
from tailrace.runtime.errors import Code, RemoteFailure, Unavailable
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.method_spans import TOLD_ELSEWHERE, MethodSpans
from tailrace.runtime.tracing.span import Span, SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.runtime.tracing.tracing import Tracing, process_tracing, set_process_tracing
from tailrace.v1 import (
    event_service_pb2,
    feature_service_pb2,
    inference_service_pb2,
    ingest_service_pb2,
    postprocess_service_pb2,
    prediction_service_pb2,
)
from tests.support.echo_methods import EchoMethods
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.small_gateway import small_gateway
from tests.support.written_pipeline import written_pipeline

SERVICE = "tailrace.v1.PredictionService"


class Told:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.news = asyncio.Event()

    def put(self, span: Span) -> None:
        self.spans.append(span)
        self.news.set()


@pytest.fixture
def told() -> Iterator[Told]:
    """What this process tells; nothing but what callers trace is in the sample."""
    before, sink = process_tracing(), Told()
    set_process_tracing(Tracing(sink, afterwards_per_s=100))
    yield sink
    set_process_tracing(before)


async def test_a_call_in_a_callers_trace_is_told_below_its_span(told: Told) -> None:
    caller = new_trace(sampled=True)
    async with (
        small_gateway() as gateway,
        AsyncClient(gateway.target, metadata=caller.headers(), timeout=20) as client,
    ):
        await client.list_pipelines()
        with pytest.raises(NotFound) as caught:
            await client.describe_pipeline("missing")
        await client.predict("any", {})

    listed, described = told.spans
    for span, method, code in (
        (listed, f"{SERVICE}/ListPipelines", Code.OK),
        (described, f"{SERVICE}/GetPipeline", Code.NOT_FOUND),
    ):
        assert (span.name, span.kind, span.code) == (method, SpanKind.SERVER, code)
        assert span.context.parent_id == caller.span_id
        assert span.attributes[names.RPC_METHOD] == method
        assert span.attributes[names.SAMPLED_BY] == names.BY_CALLER
        assert span.start_ns <= span.end_ns
    assert described.attributes[names.REASON] == "PIPELINE_NOT_FOUND"
    assert caught.value.trace_id == caller.trace_id
    assert f"trace {caller.trace_id}]" in str(caught.value)


async def test_a_call_outside_the_sample_is_told_if_it_fails_for_our_part(told: Told) -> None:
    spans = MethodSpans(f"{SERVICE}/ListPipelines", process_tracing())
    place = spans.begin(None)
    for code in (Code.OK, Code.NOT_FOUND, Code.CANCELLED, Code.RESOURCE_EXHAUSTED):
        spans.end(place, 1.0, code, None)
    assert told.spans == []

    spans.end(place, 1.0, Code.UNAVAILABLE, Unavailable("gone"))

    (span,) = told.spans
    assert (span.code, span.message, span.start_ns) == (Code.UNAVAILABLE, "gone", 1_000_000_000)
    assert span.attributes[names.SAMPLED_BY] == names.BY_FAILURE


async def test_a_call_whose_caller_leaves_is_told_as_cancelled(told: Told) -> None:
    class Registers:
        def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
            self.handlers = handlers

    class Context:
        def __init__(self, caller: TraceContext) -> None:
            self._headers = caller.headers()

        def invocation_metadata(self) -> Any:
            return self._headers

    server: Any = Registers()
    echo = EchoMethods()
    MappingServer(server).add_registered_method_handlers("test.Echo", echo.handlers())
    context = Context(new_trace(sampled=True))
    call = asyncio.ensure_future(server.handlers["UnaryUnary"].unary_unary(b"wait", context))
    await asyncio.wait_for(echo.entered.acquire(), 30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert [(span.name, span.code) for span in told.spans] == [
        ("test.Echo/UnaryUnary", Code.CANCELLED)
    ]


def test_what_is_told_elsewhere_names_methods_that_exist() -> None:
    modules: list[Any] = [
        event_service_pb2,
        feature_service_pb2,
        inference_service_pb2,
        ingest_service_pb2,
        postprocess_service_pb2,
        prediction_service_pb2,
    ]
    known = {
        f"{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {name for name in TOLD_ELSEWHERE if name.startswith("tailrace.")} <= known


async def test_an_error_of_a_prediction_names_its_trace(tmp_path: Path) -> None:
    def fails(hop: str, rows: int) -> tuple[float, Any]:
        return 0.0, Unavailable("all of them")

    former = ConvoyFormer(
        SimulatedChain(fails).chain(written_pipeline(tmp_path)),
        ConvoyBounds(8, 2, 5_000_000, 500_000_000, 100, 1_000_000),
    )
    registry: Any = OnePipeline(former)
    predictor = Predictor(registry, GatewaySettings())
    places = [new_trace() for _ in range(3)]
    request = prediction_service_pb2.PredictRequest(pipeline="under-test")

    outcomes: list[Any] = await asyncio.gather(
        *(predictor.predict([request], 20.0, dict(place.headers())) for place in places)
    )

    errors = [outcome for (outcome,) in outcomes]
    assert [error.trace_id for error in errors] == [place.trace_id for place in places]
    info = error_details_pb2.ErrorInfo()
    assert status_of(errors[0]).details[0].Unpack(info)
    assert info.metadata["trace_id"] == places[0].trace_id


def test_an_error_that_two_requests_share_names_the_trace_of_each() -> None:
    error = RemoteFailure(Code.UNAVAILABLE, "gone", retry_after_ms=5)

    first, second = error.of_trace("a" * 32), error.of_trace("b" * 32)

    assert (first.trace_id, second.trace_id) == ("a" * 32, "b" * 32)
    assert (second.code, second.message, second.retry_after_ms) == (Code.UNAVAILABLE, "gone", 5)
    assert str(second) == str(error)
    assert first.of_trace("a" * 32) is first


async def test_an_overload_that_a_client_sees_has_no_trace_where_none_is_told() -> None:
    async with small_gateway() as gateway, AsyncClient(gateway.target, timeout=20) as client:
        with pytest.raises(Overloaded) as caught:
            await client.predict("full", {})
    assert caught.value.trace_id == ""
    assert "trace" not in str(caught.value)
