"""Every way into the gateway tells one span for each request, over real calls."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.hop_port import HopRequest
from tailrace.gateway.open_inference import add_open_inference
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.gateway.served_chains import remote_ports
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import MappingServer
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from tailrace.v1.prediction_service_pb2 import PredictBatchRequest, PredictStreamRequest
from tests.support.requests import predict_request
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.submission_gateway import BOUNDS, PIPELINE, submission_gateway
from tests.support.told_spans import told_spans
from tests.support.written_pipeline import written_pipeline

TRACE_ID, CALLER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = (("traceparent", f"00-{TRACE_ID}-{CALLER_ID}-01"),)
REQUESTS = [predict_request(PIPELINE, {"x": 1.0}, request_id=name) for name in ("a", "b", "c")]


async def _predict(stub: Any) -> None:
    for request in REQUESTS:
        await stub.Predict(request, timeout=10, metadata=HEADERS)


async def _predict_batch(stub: Any) -> None:
    await stub.PredictBatch(PredictBatchRequest(requests=REQUESTS), timeout=10, metadata=HEADERS)


async def _predict_stream(stub: Any) -> None:
    call = stub.PredictStream(timeout=10, metadata=HEADERS)
    await call.write(PredictStreamRequest(requests=REQUESTS[:2]))
    await call.write(PredictStreamRequest(requests=REQUESTS[2:]))
    await call.done_writing()
    assert sum([len(reply.results) async for reply in call]) == len(REQUESTS)


@pytest.mark.parametrize("ask", [_predict, _predict_batch, _predict_stream])
async def test_each_request_is_told_once_below_the_callers_span(ask: Any, tmp_path: Path) -> None:
    with told_spans(sample_rate=0.0) as told:
        async with submission_gateway(GatewaySettings(), tmp_path) as gateway:
            await ask(gateway.predictions)
    told.check()
    requests = told.named(names.PREDICT)
    assert sorted(str(span.attributes[names.REQUEST_ID]) for span in requests) == ["a", "b", "c"]
    assert {(span.context.trace_id, span.context.parent_id) for span in requests} == {
        (TRACE_ID, CALLER_ID)
    }
    convoys = told.named(names.CONVOY)
    assert sum(int(str(convoy.attributes[names.ROWS])) for convoy in convoys) == 3
    assert told.hops() == ["ingest", "inference", "postprocess"] * len(convoys)


async def test_each_row_of_the_open_inference_protocol_is_a_request(tmp_path: Path) -> None:
    with told_spans(sample_rate=0.0) as told:
        chain = SimulatedChain(lambda hop, rows: (0.0, None)).chain(written_pipeline(tmp_path))
        registry: Any = OnePipeline(ConvoyFormer(chain, BOUNDS))
        async with _server() as (server, channel):
            add_open_inference(
                Predictor(registry, GatewaySettings()), MappingServer(server).in_its_place()
            )
            await server.start()
            request = service_pb2.ModelInferRequest(model_name=PIPELINE, id="r")
            request.inputs.add(name="x", datatype="FP64", shape=[3])
            request.raw_input_contents.append(np.arange(3.0).tobytes())
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.ModelInfer(request, timeout=10, metadata=HEADERS)
    told.check()
    requests = told.named(names.PREDICT)
    ids = [str(span.attributes[names.REQUEST_ID]) for span in requests]
    assert sorted(ids) == ["r-0", "r-1", "r-2"]
    assert {span.context.parent_id for span in requests} == {CALLER_ID}


async def test_a_hops_service_is_handed_the_place_of_the_hops_span(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    class Ingest(ingest_service_pb2_grpc.IngestServiceServicer):
        async def Preprocess(self, request: Any, context: Any) -> Any:
            seen.append(dict(context.invocation_metadata()))
            return ingest_service_pb2.PreprocessResponse()

    now_ns = time.monotonic_ns()
    asked = predict_request(PIPELINE, {"x": 1.0})
    row = ConvoyRow(
        pipeline=PIPELINE,
        request_id="a",
        fields=asked.fields,
        deadline_ns=now_ns + 10**10,
        granted_ns=10**10,
        received_ns=now_ns,
        data=asked.SerializeToString(),
    )
    request = HopRequest(Convoy(written_pipeline(tmp_path), [row]), [0])
    async with _server() as (server, channel):
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(Ingest(), server)
        await server.start()
        port = remote_ports({"ingest": channel})["ingest"]
        assert isinstance(port, RemoteHop)
        place = TraceContext(TRACE_ID, CALLER_ID, True, tracestate="a=1")
        await port.call(request, 10.0, place)
        await port.call(request, 10.0, None)
    assert seen[0]["traceparent"] == place.traceparent
    assert seen[0]["tracestate"] == "a=1"
    assert "traceparent" not in seen[1] and "tracestate" not in seen[1]


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[grpc.aio.Server, grpc.aio.Channel]]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, channel
    finally:
        await server.stop(None)
