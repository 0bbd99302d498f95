"""A setting that has another model called than the one that a pipeline names."""

from typing import Any

import grpc

from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.requests import predict_request


def test_the_substitute_answers_and_is_named(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    settings = {"inference": {"TAILRACE_MODEL_SUBSTITUTES": '{"slow": "echo_sum"}'}}
    mesh = start_mesh(redis_server, triton_server, settings)
    with grpc.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(predict_request("slow", {"model_ms": 1.0}), timeout=5)
    assert answer.model.name == "echo_sum"
    assert abs(answer.prediction["score"].double_value) == 1111.0
