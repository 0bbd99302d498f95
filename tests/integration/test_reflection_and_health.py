"""What grpcurl and grpc-health-probe need: reflection and health, as they ask for them."""

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVICES = {
    "ingest": {"tailrace.v1.IngestService"},
    "features": {"tailrace.v1.FeatureService", "tailrace.v1.FeatureRegistryService"},
    "inference": {"tailrace.v1.InferenceService"},
    "postprocess": {"tailrace.v1.PostprocessService"},
    "gateway": {
        "tailrace.v1.PredictionService",
        "tailrace.v1.CallbackService",
        "inference.GRPCInferenceService",
    },
}


def _reflect(target: Any, **request: Any) -> Any:
    with grpc.insecure_channel(target) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(**request)])
        return next(iter(stub.ServerReflectionInfo(requests, timeout=5)))


@pytest.mark.parametrize("name", SERVICES)
def test_every_process_lists_its_services(mesh: Any, name: Any) -> None:
    answer = _reflect(mesh.processes[name].target, list_services="")
    listed = {service.name for service in answer.list_services_response.service}
    common = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert listed == SERVICES[name] | common


def test_a_method_can_be_described_down_to_its_fields(mesh: Any) -> None:
    answer = _reflect(mesh.target, file_containing_symbol="tailrace.v1.PredictionService")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    services = {service.name: service for file in files for service in file.service}
    methods = {method.name for method in services["PredictionService"].method}
    assert {"Predict", "PredictBatch"} <= methods


def test_a_method_is_found_by_its_own_name(mesh: Any) -> None:
    of_service = _reflect(mesh.target, file_containing_symbol="tailrace.v1.PredictionService")
    of_method = _reflect(
        mesh.target, file_containing_symbol="tailrace.v1.PredictionService.Predict"
    )
    assert of_method.file_descriptor_response == of_service.file_descriptor_response
    for unknown in ("tailrace.v1.PredictionService.Predicted", "tailrace.v1.Nothing", "Nothing"):
        answer = _reflect(mesh.target, file_containing_symbol=unknown)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("name", SERVICES)
def test_health_is_told_for_the_process_and_for_each_service(mesh: Any, name: Any) -> None:
    for service in ("", *SERVICES[name]):
        assert mesh.health(name, service) == "SERVING"


def test_reflection_can_be_switched_off(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    quiet = start_mesh(redis_server, triton_server, {"all": {"TAILRACE_REFLECTION": "false"}})
    with pytest.raises(grpc.RpcError) as caught:
        _reflect(quiet.target, list_services="")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert quiet.health("gateway") == "SERVING"
