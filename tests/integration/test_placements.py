"""One pipeline answers alike wherever its hops run, whatever runs its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from tailrace.runtime.placement import HOPS, parse_placement
from tailrace.v1 import ledger_pb2, prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.placements import PlacedMesh
from tests.support.requests import predict_request
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

GONE = "account-of-nobody"
VECTOR = np.array([1, 2, 3, 4], np.float32)
# What a caller may send, by what is to come of it.
ANSWERED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "all features": ("echo", {"x0": 1.0, "x1": 2.0, "account": "account-1"}),
    "a default of the request": ("echo", {"x0": 7.0, "account": "account-2"}),
    "features of nobody": ("echo", {"x0": 1.0, "x1": 2.0, "account": GONE}),
    "an integer for a double": ("echo", {"x0": 3, "account": "account-1"}),
    "a key that ingest makes": ("sequential", {"number": 1, "vector": VECTOR}),
    "a key that ingest makes of nobody": ("sequential", {"number": 99, "vector": VECTOR}),
    "another view": ("strict", {"x0": 5.0, "account": "account-2"}),
}
REFUSED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "a missing field": ("echo", {"x1": 1.0}),
    "a field out of bounds": ("echo", {"x0": 1.0, "x1": 1001.0}),
    "a field of another type": ("echo", {"x0": "one"}),
    "a field that nobody knows": ("echo", {"x0": 1.0, "x9": 1.0}),
    "text that is too long": ("echo", {"x0": 1.0, "account": "a" * 65}),
    "not a number": ("echo", {"x0": float("nan"), "account": "account-1"}),
    "a number that the model has no room for": ("echo", {"x0": 1e300, "account": "account-1"}),
    "a tensor of another shape": ("sequential", {"number": 1, "vector": VECTOR[:3]}),
    "another view of nobody": ("strict", {"x0": 5.0, "account": GONE}),
    "a pipeline that does not exist": ("nothing", {"x0": 1.0}),
}
REQUESTS = ANSWERED | REFUSED
Answer = dict[str, Any]


@pytest.fixture
def stub(
    placed_mesh: PlacedMesh,
) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    """A stub of the mesh's gateway."""
    with placed_mesh.mesh.channel("gateway") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def expected(mesh: RunningMesh) -> dict[str, Answer]:
    """What the mesh answers whose hops are all services and whose model is in Triton."""
    with mesh.channel("gateway") as channel:
        answers = ask_each(prediction_service_pb2_grpc.PredictionServiceStub(channel))
    assert answers["all features"]["prediction"]["score"] == {"doubleValue": 4321.0}
    assert {case for case in answers if "prediction" in answers[case]} == set(ANSWERED)
    return answers


def request_of(case: str, **parts: Any) -> prediction_service_pb2.PredictRequest:
    """Returns the request of a case."""
    pipeline, fields = REQUESTS[case]
    return predict_request(pipeline, fields, request_id=case.replace(" ", "-"), **parts)


def ask_each(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> dict[str, Answer]:
    """Returns the answer to each request, sent in a call of its own."""
    answers = {}
    for case in REQUESTS:
        try:
            answers[case] = answer_of(stub.Predict(request_of(case), timeout=10))
        except grpc.RpcError as error:
            metadata: Any = error.trailing_metadata()
            status = status_pb2.Status.FromString(dict(metadata)["grpc-status-details-bin"])
            answers[case] = failure_of(status)
    return answers


def answer_of(response: prediction_service_pb2.PredictResponse) -> Answer:
    """Returns all of an answer but its ledger, which tells how long things took."""
    answer: Answer = MessageToDict(response)
    del answer["ledger"]
    return answer


def failure_of(status: status_pb2.Status) -> Answer:
    """Returns all of a failure but its trace, of which each request has its own."""
    details = []
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        unpacked = detail.Unpack(info)
        info.metadata.pop("trace_id", None)
        details.append(MessageToDict(info) if unpacked else detail.type_url)
    return {"code": status.code, "message": status.message, "details": details}


def test_every_request_is_answered_as_by_services_and_triton(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, expected: dict[str, Answer]
) -> None:
    assert ask_each(stub) == expected


def test_rows_of_one_batch_are_answered_as_they_are_alone(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, expected: dict[str, Answer]
) -> None:
    cases = [*REQUESTS, *reversed(REQUESTS)]
    batch = prediction_service_pb2.PredictBatchRequest(requests=map(request_of, cases))
    results = stub.PredictBatch(batch, timeout=30).results
    assert len(results) == len(cases)
    for case, result in zip(cases, results, strict=True):
        if result.HasField("error"):
            assert failure_of(result.error) == expected[case]
        else:
            assert answer_of(result.response) == expected[case]


def test_the_ledger_tells_where_each_hop_ran(
    placed_mesh: PlacedMesh, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    places = parse_placement(placed_mesh.layout.placement)
    answer = stub.Predict(request_of("all features"), timeout=10)
    found = {entry.hop: entry.placement for entry in answer.ledger.entries}
    local, remote = ledger_pb2.PLACEMENT_LOCAL, ledger_pb2.PLACEMENT_REMOTE
    numbers = {hop: ledger_pb2.Hop.Value(f"HOP_{hop.upper()}") for hop in HOPS}
    assert found == {
        numbers[hop]: local if place == "local" else remote for hop, place in places.items()
    }
    processes = {process.service for process in placed_mesh.mesh.processes.values()}
    remote_hops = {hop for hop, place in places.items() if place == "remote"}
    assert processes == remote_hops | {"gateway"}


def test_a_hop_that_has_too_little_time_is_not_called_wherever_it_is(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request("tight", {"x0": 1.0}), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    metadata: Any = caught.value.trailing_metadata()
    status = status_pb2.Status.FromString(dict(metadata)["grpc-status-details-bin"])
    assert failure_of(status)["details"][0]["reason"] == "BUDGET_TOO_SMALL"


def test_a_changed_pipeline_is_served_by_all_hops_wherever_they_are(
    placed_mesh: PlacedMesh, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    file = placed_mesh.mesh.files / "pipelines" / "echo.yaml"
    text = file.read_text()
    version = placed_mesh.mesh.version("echo")
    try:
        # The model's other version answers with minus what the first one does.
        placed_mesh.mesh.change_pipeline("echo", '  version: "1"', '  version: "2"')

        def answer() -> prediction_service_pb2.PredictResponse:
            return stub.Predict(request_of("all features"), timeout=10)

        # The worker that answers here may be another one, which has not looked yet.
        wait_for(lambda: answer().pipeline_version != version)
        assert answer().prediction["score"].double_value == -4321.0
        old = request_of("all features", pipeline_version=version)
        assert stub.Predict(old, timeout=10).prediction["score"].double_value == 4321.0
    finally:
        file.write_text(text)
