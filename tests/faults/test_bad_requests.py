"""Input that cannot be used, and models that answer nonsense."""

import gzip
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.rpc import error_details_pb2, status_pb2

from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc, tensor_pb2
from tests.support.requests import error_info, predict_request

CODE = grpc.StatusCode
UNKNOWN: Any = 77
FLOAT32 = tensor_pb2.DATA_TYPE_FLOAT32


async def _fails(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("mode", [1.0, 2.0, 3.0])
async def test_nan_infinity_or_a_wrong_shape_from_the_model_is_internal(
    predictions: Any, mode: Any
) -> None:
    error = await _fails(predictions.Predict(predict_request("nan", {"mode": mode}), timeout=5))
    assert error.code() is CODE.INTERNAL
    assert error_info(error).reason == "MODEL_OUTPUT_INVALID"


async def test_a_model_that_raises_is_internal_and_its_text_stays_in_the_log(
    predictions: Any,
) -> None:
    error = await _fails(predictions.Predict(predict_request("nan", {"mode": 4.0}), timeout=5))
    assert error.code() is CODE.INTERNAL
    assert "told to fail" not in error.details()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_nan_and_infinity_in_a_request_name_the_field(predictions: Any, value: Any) -> None:
    request = predict_request("echo", {"x0": value})
    error = await _fails(predictions.Predict(request, timeout=5))
    assert error.code() is CODE.INVALID_ARGUMENT
    assert error_info(error).metadata["field"] == "fields.x0"
    status = status_pb2.Status.FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"]
    )
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status.details)
    assert violations.field_violations[0].field == "fields.x0"


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.Tensor(dtype=FLOAT32, shape=[3], data=b"\0" * 12),
        tensor_pb2.Tensor(dtype=FLOAT32, shape=[-4], data=b"\0" * 16),
        tensor_pb2.Tensor(dtype=FLOAT32, shape=[2**62, 4], data=b"\0" * 16),
        tensor_pb2.Tensor(dtype=FLOAT32, shape=[4], data=b"\0" * 15),
        tensor_pb2.Tensor(dtype=UNKNOWN, shape=[4], data=b"\0" * 16),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_INT32, shape=[4], data=b"\0" * 16),
        tensor_pb2.Tensor(
            dtype=FLOAT32, shape=[4], data=np.array([0, 1, np.nan, 2], "<f4").tobytes()
        ),
    ],
)
async def test_a_bad_tensor_names_the_field(predictions: Any, tensor: Any) -> None:
    request = predict_request("sequential", {"number": 1})
    request.fields["vector"].tensor_value.CopyFrom(tensor)
    error = await _fails(predictions.Predict(request, timeout=5))
    assert error.code() is CODE.INVALID_ARGUMENT
    assert error_info(error).metadata["field"].startswith("fields.vector")


async def test_an_unknown_field_is_refused_with_the_nearest_name(predictions: Any) -> None:
    request = predict_request("echo", {"x0": 1.0, "acount": "a"})
    error = await _fails(predictions.Predict(request, timeout=5))
    assert error.code() is CODE.INVALID_ARGUMENT
    assert "account" in error.details()


async def test_an_unknown_model_is_not_found(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    mesh = start_mesh(redis_server, triton_server)
    mesh.change_pipeline("nan", "name: nan\n", "name: no_such_model\n")
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        error = await _fails(stub.Predict(predict_request("nan", {"mode": 0.0}), timeout=5))
    assert error.code() is CODE.NOT_FOUND
    assert error_info(error).reason == "MODEL_NOT_FOUND"


async def test_a_missing_entity_under_fail_is_not_found(predictions: Any) -> None:
    request = predict_request("strict", {"x0": 1.0, "account": "nobody"})
    error = await _fails(predictions.Predict(request, timeout=5))
    assert error.code() is CODE.NOT_FOUND
    assert error_info(error).reason == "ENTITY_NOT_FOUND"


async def test_too_many_fields_or_requests_are_refused(predictions: Any) -> None:
    fields = {f"f{number}": 1.0 for number in range(10_000)}
    error = await _fails(predictions.Predict(predict_request("echo", fields), timeout=5))
    assert error.code() is CODE.INVALID_ARGUMENT
    assert error_info(error).reason == "LIMIT_EXCEEDED"
    batch = prediction_service_pb2.PredictBatchRequest(
        requests=[predict_request("echo", {})] * 5000
    )
    error = await _fails(predictions.PredictBatch(batch, timeout=5))
    assert error.code() is CODE.INVALID_ARGUMENT


async def test_an_empty_batch_is_answered_empty(predictions: Any) -> None:
    answer = await predictions.PredictBatch(prediction_service_pb2.PredictBatchRequest(), timeout=5)
    assert not answer.results


async def test_oversized_messages_and_metadata_are_refused_without_memory(
    mesh: Any, predictions: Any
) -> None:
    gateway = psutil.Process(mesh.processes["gateway"].process.pid)
    await predictions.Predict(predict_request("echo", {"x0": 1.0}), timeout=5)
    before_bytes = gateway.memory_info().rss
    large = "x" * (40 * 1024 * 1024)
    options = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1024 * 1024)]
    async with grpc.aio.insecure_channel(mesh.target, options=options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            request = predict_request("echo", {"x0": 1.0, "account": large})
            error = await _fails(stub.Predict(request, timeout=20, compression=compression))
            assert error.code() is CODE.RESOURCE_EXHAUSTED
        metadata = (("x-large", "y" * 64 * 1024),)
        error = await _fails(
            stub.Predict(predict_request("echo", {"x0": 1.0}), timeout=5, metadata=metadata)
        )
        assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert len(gzip.compress(large.encode())) < 100_000  # the second was a bomb indeed
    await predictions.Predict(predict_request("echo", {"x0": 1.0}), timeout=5)
    assert gateway.memory_info().rss - before_bytes <= 10 * 1024 * 1024
