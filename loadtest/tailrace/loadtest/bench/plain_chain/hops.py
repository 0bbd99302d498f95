"""The four services of the plain chain: each one coroutine over one request."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
import numpy as np
import redis.asyncio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel, encode, entity_keys
from tailrace.v1 import prediction_service_pb2, tensor_pb2

FLOAT32 = tensor_pb2.DATA_TYPE_FLOAT32
Context = grpc.aio.ServicerContext[Any, Any]
Hop = Callable[[Any, Context], Awaitable[tensor_pb2.Tensor]]


def packed(values: Any) -> tensor_pb2.Tensor:
    """Returns float32 values as one message."""
    array = np.asarray(values, "<f4")
    return tensor_pb2.Tensor(dtype=FLOAT32, shape=array.shape, data=array.tobytes())


def ingest_hop(model: FlightModel) -> Hop:
    """Returns the ingest hop: request to floats."""

    async def ingest(
        request: prediction_service_pb2.PredictRequest, _: Context
    ) -> tensor_pb2.Tensor:
        return packed(encode(model, request))

    return ingest


def features_hop(model: FlightModel, redis_url: str) -> Hop:
    """Returns the features hop: one MGET per request."""
    # redis-py opens a connection per call under way, and by default refuses the 101st.
    client: Any = redis.asyncio.Redis.from_url(redis_url, max_connections=4096)
    missing = {
        view: np.full(len(names), np.nan, "<f4").tobytes() for view, names in model.views.items()
    }

    async def features(
        request: prediction_service_pb2.PredictRequest, _: Context
    ) -> tensor_pb2.Tensor:
        keys = entity_keys(request)
        rows = await client.mget([keys[view] for view in model.views])
        data = b"".join(
            row if row is not None else missing[view]
            for view, row in zip(model.views, rows, strict=True)
        )
        return tensor_pb2.Tensor(dtype=FLOAT32, shape=[len(data) // 4], data=data)

    return features


def inference_hop(model: FlightModel, triton_target: str) -> Hop:
    """Returns the inference hop: one Triton call per request."""
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.aio.insecure_channel(triton_target))

    async def infer(request: tensor_pb2.Tensor, _: Context) -> tensor_pb2.Tensor:
        call = service_pb2.ModelInferRequest(
            model_name=model.model, raw_input_contents=[request.data]
        )
        call.inputs.add(name="features", datatype="FP32", shape=[1, len(request.data) // 4])
        answer = await stub.ModelInfer(call)
        return tensor_pb2.Tensor(dtype=FLOAT32, shape=[1], data=answer.raw_output_contents[0])

    return infer


def postprocess_hop(model: FlightModel) -> Hop:
    """Returns the postprocess hop: Platt calibration."""
    a, b = model.platt

    async def postprocess(request: tensor_pb2.Tensor, _: Context) -> tensor_pb2.Tensor:
        return packed([calibrated(float(np.frombuffer(request.data, "<f4")[0]), a, b)])

    return postprocess


def calibrated(probability: float, a: float, b: float) -> float:
    """Returns sigmoid(a * logit(p) + b)."""
    bounded = min(max(probability, 1e-7), 1 - 1e-7)
    return 1 / (1 + math.exp(-(a * math.log(bounded / (1 - bounded)) + b)))


def gateway_hop(targets: dict[str, str]) -> Hop:
    """Returns the gateway: ingest, features, inference, postprocess, one after the other."""
    calls = {hop: hop_method(grpc.aio.insecure_channel(target)) for hop, target in targets.items()}

    async def predict(
        request: prediction_service_pb2.PredictRequest, _: Context
    ) -> tensor_pb2.Tensor:
        encoded = await calls["ingest"](request)
        features = await calls["features"](request)
        data = encoded.data + features.data
        row = tensor_pb2.Tensor(dtype=FLOAT32, shape=[len(data) // 4], data=data)
        answer: tensor_pb2.Tensor = await calls["postprocess"](await calls["inference"](row))
        return answer

    return predict


def hop_method(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
    """Returns the one method that every process of the plain chain has."""
    return channel.unary_unary(
        "/plain.Hop/Call",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=tensor_pb2.Tensor.FromString,
    )
