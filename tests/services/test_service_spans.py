"""The spans of the services: each call of a hop, what it reads, the model that it calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from structlog.testing import capture_logs

from tailrace.ingest.app import build as build_ingest
from tailrace.runtime import telemetry_names as fields
from tailrace.runtime.config import IngestSettings, ServerSettings
from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.serve_span import METHODS
from tailrace.runtime.tracing.span import SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.v1 import (
    feature_service_pb2,
    inference_service_pb2,
    inference_service_pb2_grpc,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    postprocess_service_pb2,
)
from tests.support.feature_world import MakeWorld, view
from tests.support.hop_server import hop_batch, serve_hop
from tests.support.inference_service import (
    feature_batch,
    inference_settings,
    serve_inference,
    write_pipeline,
)
from tests.support.otlp_receiver import otlp_receiver
from tests.support.redis_fixtures import StartRedis
from tests.support.told_spans import ToldSpans, told_spans
from tests.support.triton_fixtures import StartTriton
from tests.support.wire_batches import batch_to_proto
from tests.support.written_pipeline import write_pipeline as write_ingest_pipeline

FIELDS = {"x": {"type": "double", "required": True, "minimum": 0}}


@contextlib.asynccontextmanager
async def ingest(folder: Path) -> AsyncIterator[Any]:
    """Serves ingest, and yields a stub."""
    pipelines = write_ingest_pipeline(folder, FIELDS, [], ["x"])
    settings = IngestSettings(pipelines_dir=pipelines, drain_grace_ms=100)
    async with serve_hop(settings, build_ingest(settings)) as channel:
        yield ingest_service_pb2_grpc.IngestServiceStub(channel)


def request_of(*values: float, **batch: Any) -> ingest_service_pb2.PreprocessRequest:
    request = ingest_service_pb2.PreprocessRequest(batch=hop_batch(len(values), **batch))
    for value in values:
        request.requests.add().fields["x"].double_value = value
    return request


async def test_a_call_in_the_sample_has_a_span_below_its_callers(tmp_path: Path) -> None:
    caller = new_trace(sampled=True)
    with told_spans() as told:
        async with ingest(tmp_path) as stub:
            await stub.Preprocess(request_of(1, -1, 2), metadata=caller.headers())
    (span,) = told.spans
    assert (span.name, span.kind, span.code) == ("serve ingest", SpanKind.SERVER, Code.OK)
    assert (span.context.trace_id, span.context.parent_id) == (caller.trace_id, caller.span_id)
    queue_ns, work_ns = (span.attributes.get(each) for each in (names.QUEUE_NS, names.WORK_NS))
    assert isinstance(queue_ns, int) and isinstance(work_ns, int)
    assert 0 < queue_ns + work_ns <= span.end_ns - span.start_ns
    assert {**span.attributes, names.QUEUE_NS: 0, names.WORK_NS: 0} == {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: "tailrace.v1.IngestService/Preprocess",
        names.RPC_STATUS: "OK",
        names.HOP: "ingest",
        names.PIPELINE: "under-test",
        names.PIPELINE_VERSION: "",
        names.ROWS: 3,
        names.FAILED_ROWS: 1,
        names.QUEUE_NS: 0,
        names.WORK_NS: 0,
    }


@pytest.mark.parametrize(
    "metadata",
    [(), new_trace(sampled=False).headers(), (("traceparent", "00-nonsense"),)],
    ids=["no trace", "not in the sample", "nonsense"],
)
async def test_other_calls_have_none(tmp_path: Path, metadata: tuple[tuple[str, str], ...]) -> None:
    with told_spans() as told:
        async with ingest(tmp_path) as stub:
            await stub.Preprocess(request_of(1), metadata=metadata)
    assert told.spans == []


async def test_a_call_that_fails_has_a_span_that_says_so(tmp_path: Path) -> None:
    request = request_of(1, version="7-nowhere")
    with told_spans() as told:
        async with ingest(tmp_path) as stub:
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Preprocess(request, metadata=new_trace(sampled=True).headers())
            request.batch.rows.count = 2
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Preprocess(request, metadata=new_trace(sampled=True).headers())
    assert [span.code for span in told.spans] == [Code.UNAVAILABLE, Code.INVALID_ARGUMENT]
    assert [span.attributes[names.RPC_STATUS] for span in told.spans] == [
        "UNAVAILABLE",
        "INVALID_ARGUMENT",
    ]
    assert all(span.message for span in told.spans)


async def test_lines_about_rows_name_the_requests_own_trace(tmp_path: Path) -> None:
    rows = [new_trace(), new_trace(sampled=True)]
    request = request_of(-1, -2, -3)
    request.batch.rows.traceparents.extend([each.traceparent for each in rows] + [""])
    with capture_logs() as lines:
        async with ingest(tmp_path) as stub:
            await stub.Preprocess(request)
    failed = [line for line in lines if line["event"] == "hop failed"]
    assert [(line.get(fields.TRACE_ID), line.get(fields.SPAN_ID)) for line in failed] == [
        *((each.trace_id, each.span_id) for each in rows),
        (None, None),
    ]


class _Call:
    """The part of a call's context that is read."""

    def __init__(self, trace: TraceContext) -> None:
        self.invocation_metadata = trace.headers

    def time_remaining(self) -> float | None:
        return None


class _CallWithin:
    """The same for a call within the process."""

    def __init__(self, trace: TraceContext | None) -> None:
        self.trace = trace

    def time_remaining(self) -> float | None:
        return None


class _Registry:
    async def find_for_hop(self, name: str, version: str) -> str:
        return "compiled"


def _runner() -> Any:
    registry: Any = _Registry()
    return HopRunner("ingest", registry, ServerSettings())


async def test_a_call_that_is_cancelled_ends_its_span() -> None:
    entered = asyncio.Event()

    async def work(batch: Any, compiled: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    with told_spans() as told, capture_logs():
        call = asyncio.create_task(_runner().run(hop_batch(2), _Call(new_trace(True)), work))
        await entered.wait()
        assert told.spans == []
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert [(span.name, span.code) for span in told.spans] == [("serve ingest", Code.CANCELLED)]


async def test_what_nobody_foresaw_ends_the_span_without_its_words() -> None:
    def work(batch: Any, compiled: Any) -> None:
        raise RuntimeError("secret")

    with told_spans() as told, pytest.raises(RuntimeError):
        await _runner().run(hop_batch(1), _Call(new_trace(True)), work)
    assert (told.spans[0].code, told.spans[0].message) == (Code.INTERNAL, "RuntimeError")


async def test_the_work_of_a_call_within_the_process_is_below_its_callers_span() -> None:
    seen: list[TraceContext | None] = []

    def work(batch: Any, compiled: Any) -> None:
        seen.append(batch.trace)

    caller = new_trace(sampled=True)
    with told_spans() as told:
        batch = feature_batch("any", [[1, 2, 3, 4]])
        for context in (_CallWithin(caller), _CallWithin(None), _CallWithin(new_trace())):
            await _runner().run(batch, context, work)
    assert seen == [caller, None, None]
    assert told.spans == []


def test_methods_are_called_what_grpc_calls_them() -> None:
    modules = {
        "ingest": ingest_service_pb2,
        "features": feature_service_pb2,
        "inference": inference_service_pb2,
        "postprocess": postprocess_service_pb2,
    }
    for hop, module in modules.items():
        (service,) = module.DESCRIPTOR.services_by_name.values()
        (method,) = service.methods
        assert METHODS[hop] == f"{service.full_name}/{method.name}"


async def test_a_lookup_tells_what_it_reads(make_world: MakeWorld) -> None:
    with told_spans() as told:
        world = make_world(view("a", {"x": "float64"}), view("b", {"y": "float64"}))
        for name, feature in (("a", "x"), ("b", "y")):
            await world.load(name, {"id": ["k"], feature: [1.5]})
        keys = {name: ["k", "l"] for name in world.key_columns}
        batch, caller = world.batch(keys), new_trace(sampled=True)
        await world.handler.handle(batch, world.plan)
        assert told.spans == []
        batch.trace = caller
        await world.handler.handle(batch, world.plan)
    span = told.one("redis read")
    assert (span.kind, span.code) == (SpanKind.CLIENT, Code.OK)
    assert (span.context.trace_id, span.context.parent_id) == (caller.trace_id, caller.span_id)
    assert span.attributes[names.VIEWS] == ["a", "b"]
    # Two rows of each view, and the two pointers.
    assert span.attributes[names.KEYS] == 6
    assert span.attributes[names.CACHE_HITS] == span.attributes[names.COMMANDS] == 0
    assert span.attributes[names.SERVER_ADDRESS]


async def test_a_lookup_tells_what_its_cache_has(make_world: MakeWorld) -> None:
    with told_spans() as told:
        world = make_world(view("a", {"x": "float64"}), cache_bytes=1_000_000)
        await world.load("a", {"id": ["k"], "x": [1.5]})
        for _ in range(4):
            batch = world.batch({name: ["k"] for name in world.key_columns})
            batch.trace = new_trace(sampled=True)
            await world.handler.handle(batch, world.plan)
    hits = [span.attributes[names.CACHE_HITS] for span in told.named("redis read")]
    # At first nothing is known, not even the view's generation.
    assert (hits[0], hits[-1]) == (0, 2)


async def test_a_lookup_that_fails_tells_why(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    with told_spans() as told:
        world = make_world(view("a", {"x": "float64"}), server=server)
        server.stop()
        batch = world.batch({name: ["k"] for name in world.key_columns})
        batch.trace = new_trace(sampled=True)
        with pytest.raises(TailraceError):
            await world.handler.handle(batch, world.plan)
    assert told.one("redis read").code is Code.UNAVAILABLE


async def _infer(channel: Any, trace: TraceContext) -> None:
    stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
    batch = feature_batch("sum", np.ones((3, 4), np.float32))
    request = inference_service_pb2.InferRequest(batch=batch_to_proto(batch))
    await stub.Infer(request, timeout=10, metadata=trace.headers())


async def test_spans_of_triton_are_below_the_models(
    start_triton: StartTriton, tmp_path: Path
) -> None:
    write_pipeline(tmp_path / "pipelines", "sum", {"version": "1"})
    callers = [new_trace(sampled=True), new_trace(sampled=False), new_trace(sampled=True)]
    with otlp_receiver() as receiver, told_spans() as told:
        triton = start_triton(models=("echo_sum",), traces_endpoint=receiver.url)
        settings = inference_settings(tmp_path / "pipelines", triton_url=triton.grpc_target)
        async with serve_inference(settings) as running:
            await running.until_serving()
            for caller in callers:
                await _infer(running.channel, caller)
        # Three of each call, in one batch; what is not in the sample would be among them.
        found = await asyncio.to_thread(receiver.wait_for_count, 6)
        triton.stop()
        found = receiver.spans()
    assert told.edges() == {("", "serve inference"): 2, ("serve inference", "model echo_sum"): 2}
    models = told.named("model echo_sum")
    assert [span.context.trace_id for span in models] == [callers[0].trace_id, callers[2].trace_id]
    assert models[0].attributes == {
        names.MODEL: "echo_sum",
        names.MODEL_VERSION: "1",
        names.ROWS: 3,
        names.QUEUE_NS: 0,
    }
    assert models[0].kind is SpanKind.CLIENT
    assert {each.service for each in found} == {"triton"}
    _check_triton(told, found)


def _check_triton(told: ToldSpans, found: list[Any]) -> None:
    for model in told.named("model echo_sum"):
        own = [each for each in found if each.trace_id == model.context.trace_id]
        by_id = {each.span_id: each for each in own}
        assert sorted(each.name for each in own) == ["InferRequest", "compute", "echo_sum"]
        (request,) = [each for each in own if each.name == "InferRequest"]
        assert request.parent_id == model.context.span_id
        for each in own:
            if each is not request:
                assert each.parent_id in by_id
    assert len(found) == 6
