"""The tensors of the Open Inference Protocol, where they are at odds with a pipeline."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tailrace.client.values import from_value
from tailrace.gateway.open_inference_inputs import requests_from_inputs
from tailrace.gateway.open_inference_outputs import outcomes_to_outputs
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField, InvalidTensor
from tailrace.runtime.pipeline.plan import OutputField
from tailrace.runtime.pipeline.request_schema import DoubleField, Int64Field, StringField
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


# --- lists ---------------------------------------------------------------------------------


def _listing() -> Any:
    fields = {
        "names": StringField(type="string", max_items=3),
        "numbers": Int64Field(type="int64", max_items=3),
    }
    outputs = (
        OutputField("score", DType.FLOAT32, (3,), "", "", "names"),
        OutputField("label", DType.STRING, (3,), "", "", "names"),
    )
    return SimpleNamespace(
        spec=SimpleNamespace(request=SimpleNamespace(fields=fields)), outputs=outputs
    )


def _input(name: str, datatype: str, shape: list[int]) -> Any:
    request = service_pb2.ModelInferRequest()
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    return request


def test_lists_are_rows_of_any_length() -> None:
    request = _input("names", "BYTES", [2, 2])
    request.inputs.add(name="numbers", datatype="INT64", shape=[2, 1])
    request.inputs[0].contents.bytes_contents.extend([b"a", b"b", "ü".encode(), b""])
    request.inputs[1].contents.int64_contents.extend([7, 8])

    rows = requests_from_inputs(_listing(), request, 10)

    found = [
        (from_value(row["names"]).tolist(), from_value(row["numbers"]).tolist())  # type: ignore[union-attr]
        for row in rows
    ]
    assert found == [(["a", "b"], [7]), (["ü", ""], [8])]


def test_raw_lists_are_read_like_others() -> None:
    request = _input("names", "BYTES", [2, 2, 1])
    request.raw_input_contents.append(
        b"".join(len(text).to_bytes(4, "little") + text for text in (b"a", b"", b"bc", b"d"))
    )

    rows = requests_from_inputs(_listing(), request, 10)

    assert [from_value(row["names"]).tolist() for row in rows] == [["a", ""], ["bc", "d"]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "data", "field"),
    [
        ([2], b"", "inputs.numbers.shape"),
        ([1, 2, 2], b"", "inputs.numbers.shape"),
        ([1, 2], b"short", "inputs.numbers.raw_input_contents"),
    ],
)
def test_lists_of_another_form_are_refused(shape: list[int], data: bytes, field: str) -> None:
    request = _input("numbers", "INT64", shape)
    request.raw_input_contents.append(data)

    with pytest.raises(InvalidTensor) as caught:
        requests_from_inputs(_listing(), request, 10)

    assert caught.value.field == field


def test_predictions_of_lists_are_as_long_as_the_lists() -> None:
    responses = [
        prediction_service_pb2.PredictResponse(
            prediction={
                "score": tensor_pb2.Value(
                    tensor_value=array_to_tensor(np.array(scores, np.float32), DType.FLOAT32)
                ),
                "label": tensor_pb2.Value(
                    tensor_value=array_to_tensor(np.array(labels, object), DType.STRING)
                ),
            }
        )
        for scores, labels in (([1, 2], ["a", "b"]), ([3, 4], ["c", "ü"]))
    ]
    answer = service_pb2.ModelInferResponse()

    outcomes_to_outputs(_listing(), responses, [], answer)

    assert [list(output.shape) for output in answer.outputs] == [[2, 2], [2, 2]]
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [1, 2, 3, 4]
    assert answer.raw_output_contents[1].endswith(b"\x02\x00\x00\x00" + "ü".encode())
