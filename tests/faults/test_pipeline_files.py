"""Pipeline files that change, break and come back while a mesh is serving."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.requests import predict_request
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def module_mesh(start_module_mesh: Any, redis_server: Any, triton_server: Any) -> Any:
    return start_module_mesh(redis_server, triton_server)


@pytest.fixture
def own_mesh(module_mesh: Any, tmp_path: Path) -> Iterator[Any]:
    """A mesh whose files a test may change; they are put back after it."""
    before = module_mesh.version("echo")
    shutil.copytree(module_mesh.files, tmp_path / "before")
    yield module_mesh
    shutil.copytree(tmp_path / "before", module_mesh.files, dirs_exist_ok=True)
    wait_for(lambda: module_mesh.version("echo") == before)


@pytest.fixture
def stub(own_mesh: Any) -> Any:
    with grpc.insecure_channel(own_mesh.target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _errors(stub: Any) -> Any:
    listed = stub.ListPipelines(prediction_service_pb2.ListPipelinesRequest(), timeout=5)
    return {item.name: item.load_error for item in listed.pipelines}


def test_a_changed_file_is_served_without_a_restart(own_mesh: Any, stub: Any) -> None:
    request = predict_request("echo", {"x0": 1.0, "account": "account-1"})
    before = stub.Predict(request, timeout=5)
    own_mesh.change_pipeline("echo", "[x0, x1, account.a, account.b]", "[account.b, x1, x0, x1]")
    after = stub.Predict(request, timeout=5)
    assert before.prediction["score"].double_value == 4301.0
    assert after.prediction["score"].double_value == 104.0
    assert after.pipeline_version != before.pipeline_version
    # The version before is still there for those who ask for it.
    request.pipeline_version = before.pipeline_version
    again = stub.Predict(request, timeout=5)
    assert again.prediction["score"].double_value == 4301.0


def test_a_changed_user_function_is_served_without_a_restart(own_mesh: Any, stub: Any) -> None:
    file = own_mesh.files / "pipelines" / "steps.py"
    before = own_mesh.version("echo")
    file.write_text(file.read_text().replace("delay_ms.astype(np.float32)", "delay_ms + 1"))
    wait_for(lambda: own_mesh.version("echo") != before)
    answer = stub.Predict(predict_request("echo", {"x0": 1.0}), timeout=5)
    assert answer.prediction["waited"].double_value == 1.0


def test_a_broken_file_is_told_and_the_running_version_goes_on(own_mesh: Any, stub: Any) -> None:
    request = predict_request("echo", {"x0": 1.0, "account": "account-1"})
    version = stub.Predict(request, timeout=5).pipeline_version
    file = own_mesh.files / "pipelines" / "echo.yaml"
    good = file.read_text()
    file.write_text(good.replace("account.a", "account.aa"))
    wait_for(lambda: _errors(stub)["echo"] != "")
    error = _errors(stub)["echo"]
    assert "echo.yaml" in error
    assert "model.inputs[0].columns" in error
    assert "did you mean 'account.a'" in error
    answer = stub.Predict(request, timeout=5)
    assert answer.pipeline_version == version
    file.write_text(good)
    wait_for(lambda: _errors(stub)["echo"] == "")


def test_a_removed_file_is_no_longer_served(own_mesh: Any, stub: Any) -> None:
    (own_mesh.files / "pipelines" / "tight.yaml").unlink()
    wait_for(lambda: "tight" not in _errors(stub))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request("tight", {"x0": 1.0}), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_version_that_a_hop_would_refuse_does_not_replace_the_running_one(
    own_mesh: Any, stub: Any
) -> None:
    request = predict_request("echo", {"x0": 1.0, "account": "account-1"})
    version = stub.Predict(request, timeout=5).pipeline_version
    file = own_mesh.files / "pipelines" / "echo.yaml"
    file.write_text(file.read_text().replace("steps:wait", "steps:waait"))
    wait_for(lambda: _errors(stub)["echo"] != "")
    assert "did you mean 'wait'" in _errors(stub)["echo"]
    assert stub.Predict(request, timeout=5).pipeline_version == version
