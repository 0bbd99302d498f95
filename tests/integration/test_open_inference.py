"""An unmodified tritonclient calls pipelines as if they were models."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


@pytest.fixture
def client(mesh: Any) -> Any:
    with InferenceServerClient(mesh.target) as client:
        yield client


def _echo_inputs(rows: Any, account: Any = "account-1") -> Any:
    x0 = InferInput("x0", [rows], "FP64")
    x0.set_data_from_numpy(np.arange(rows, dtype=np.float64))
    accounts = InferInput("account", [rows, 1], "BYTES")
    accounts.set_data_from_numpy(np.array([[account]] * rows, dtype=object))
    return [x0, accounts]


def test_the_server_says_what_it_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata.name == "tailrace"


def test_pipelines_are_listed_as_models(client: Any) -> None:
    index = client.get_model_repository_index()
    models = {model.name: model for model in index.models}
    assert {"echo", "nan", "sequential", "slow", "strict"} <= set(models)
    assert models["echo"].state == "READY"
    assert client.is_model_ready("echo")
    assert client.is_model_ready("echo", "1")
    assert not client.is_model_ready("echo", "2")
    assert not client.is_model_ready("ecko")


def test_metadata_and_config_describe_fields_and_outputs(client: Any) -> None:
    metadata = client.get_model_metadata("sequential")
    inputs = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs}
    assert inputs == {
        "number": ("INT64", [-1]),
        "vector": ("FP32", [-1, 4]),
        "note": ("BYTES", [-1]),
        "at": ("INT64", [-1]),
        "flag": ("BOOL", [-1]),
    }
    outputs = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in metadata.outputs}
    assert outputs["score"] == ("FP32", [-1])
    assert outputs["vector"] == ("FP32", [-1, 4])
    config = client.get_model_config("sequential").config
    assert config.max_batch_size > 0
    assert [tensor.name for tensor in config.output] == [tensor.name for tensor in metadata.outputs]


def test_infer_answers_every_row(client: Any) -> None:
    result = client.infer("echo", _echo_inputs(5), request_id="oip")
    assert result.as_numpy("score").tolist() == [4300.0 + row for row in range(5)]
    response = result.get_response()
    assert response.id == "oip"
    assert response.parameters["quality"].string_param == "QUALITY_LIVE"


def test_infer_returns_only_the_outputs_asked_for(client: Any) -> None:
    result = client.infer("echo", _echo_inputs(1), outputs=[InferRequestedOutput("waited")])
    assert result.as_numpy("waited").tolist() == [0.0]
    assert result.as_numpy("score") is None


def test_every_type_of_field_goes_in_and_comes_out(client: Any) -> None:
    number = InferInput("number", [2], "INT64")
    number.set_data_from_numpy(np.array([1, 2], np.int64))
    vector = InferInput("vector", [2, 4], "FP32")
    vector.set_data_from_numpy(np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32))
    at = InferInput("at", [2], "INT64")
    at.set_data_from_numpy(np.array([-1_500_000, 1_500_000], np.int64))
    flag = InferInput("flag", [2], "BOOL")
    flag.set_data_from_numpy(np.array([True, False]))
    note = InferInput("note", [2], "BYTES")
    note.set_data_from_numpy(np.array([b"\xff", b""], object))
    result = client.infer("sequential", [number, vector, at, flag, note])
    assert result.as_numpy("score").tolist() == [4321.0, 8765.0]
    assert result.as_numpy("number").tolist() == [1, 2]
    assert result.as_numpy("at").tolist() == [-1_500_000, 1_500_000]
    assert result.as_numpy("flag").tolist() == [True, False]
    assert result.as_numpy("vector").tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("name", "shape", "datatype", "array", "message"),
    [
        ("x9", [1], "FP64", np.zeros(1), "inputs.x9: unknown input"),
        ("x0", [1], "FP32", np.zeros(1, np.float32), "expected FP64"),
        ("x0", [1, 3], "FP64", np.zeros((1, 3)), "expected"),
    ],
)
def test_a_wrong_input_is_named(
    client: Any, name: Any, shape: Any, datatype: Any, array: Any, message: Any
) -> None:
    tensor = InferInput(name, shape, datatype)
    tensor.set_data_from_numpy(array)
    with pytest.raises(InferenceServerException, match=message) as caught:
        client.infer("echo", [tensor])
    assert "INVALID_ARGUMENT" in caught.value.status()


def test_a_bad_row_is_named(client: Any) -> None:
    x1 = InferInput("x1", [3], "FP64")
    x1.set_data_from_numpy(np.array([0.0, 5000.0, 0.0]))
    with pytest.raises(InferenceServerException, match="fields.x1: row 1: "):
        client.infer("echo", [*_echo_inputs(3), x1])


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("ecko", _echo_inputs(1))
    assert "NOT_FOUND" in caught.value.status()
    assert "did you mean 'echo'" in caught.value.message()


def test_a_method_that_is_not_served_is_unimplemented(client: Any) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.get_inference_statistics()
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_a_shape_of_many_dimensions_is_refused(client: Any) -> None:
    (x0, account) = _echo_inputs(1)
    x0.set_shape([2**62] * 20_000)
    with pytest.raises(InferenceServerException, match="20000 dimensions") as caught:
        client.infer("echo", [x0, account])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_null_that_the_protocol_cannot_say_is_named(client: Any) -> None:
    number = InferInput("number", [1], "INT64")
    number.set_data_from_numpy(np.array([1], np.int64))
    vector = InferInput("vector", [1, 4], "FP32")
    vector.set_data_from_numpy(np.zeros((1, 4), np.float32))
    # `at` is not given, and comes out of the pipeline as null.
    with pytest.raises(InferenceServerException, match="outputs.at: row 0: null"):
        client.infer("sequential", [number, vector])
    outputs = [InferRequestedOutput("score")]
    assert client.infer("sequential", [number, vector], outputs=outputs).as_numpy("score") == [0]
