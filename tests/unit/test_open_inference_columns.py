"""The tensors of the Open Inference Protocol, where they are at odds with a pipeline."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tailrace.gateway.open_inference_columns import outcomes_to_outputs, requests_from_inputs
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField, InvalidTensor
from tailrace.runtime.pipeline.plan import OutputField
from tailrace.runtime.pipeline.request_schema import DoubleField
from tailrace.runtime.wire import array_to_tensor
from tailrace.v1 import prediction_service_pb2, tensor_pb2


def _pipeline() -> Any:
    # The two parts of a pipeline that are read here.
    fields = {"x": DoubleField(type="double")}
    output = OutputField("count", DType.UINT64, (), "", "")
    return SimpleNamespace(
        spec=SimpleNamespace(request=SimpleNamespace(fields=fields)), outputs=(output,)
    )


def _request(*shapes: list[int]) -> Any:
    request = service_pb2.ModelInferRequest()
    for shape in shapes:
        request.inputs.add(name="x", datatype="FP64", shape=shape)
        request.raw_input_contents.append(np.zeros(1).tobytes())
    return request


def test_a_shape_of_a_hundred_thousand_dimensions_is_refused_at_once() -> None:
    started_s = time.monotonic()
    with pytest.raises(InvalidTensor, match="100000 dimensions") as caught:
        requests_from_inputs(_pipeline(), _request([2**62] * 100_000), 10)

    # The product of such a shape takes half a minute.
    assert time.monotonic() - started_s < 5
    assert caught.value.field == "inputs.x.shape"


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(InvalidField, match="twice") as caught:
        requests_from_inputs(_pipeline(), _request([1], [1]), 10)

    assert caught.value.field == "inputs.x"


def test_numbers_beyond_int64_come_out_as_they_are() -> None:
    large = tensor_pb2.Value(
        tensor_value=array_to_tensor(np.array(2**64 - 1, np.uint64), DType.UINT64)
    )
    responses = [
        prediction_service_pb2.PredictResponse(prediction={"count": value})
        for value in (tensor_pb2.Value(int64_value=7), large)
    ]
    answer = service_pb2.ModelInferResponse()

    outcomes_to_outputs(_pipeline(), responses, [], answer)

    assert np.frombuffer(answer.raw_output_contents[0], "<u8").tolist() == [7, 2**64 - 1]
