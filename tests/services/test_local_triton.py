"""The local Triton: a real one, with real ports, that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tailrace.cli.local import triton_install
from tailrace.cli.local.errors import PortInUse, ProcessExited, ServerMissing
from tailrace.cli.local.local_triton import LocalTriton
from tests.support.triton_fixtures import CACHE_DIR, MODELS_DIR, StartTriton
from tests.support.triton_metrics import inference_count
from tests.support.waiting import is_gone, wait_for

SHARED_MEMORY_DIR = Path("/dev/shm")


def infer(
    server: LocalTriton, model: str, rows: Sequence[Sequence[float]], *, version: str = ""
) -> npt.NDArray[np.float32]:
    """Returns the model's scores, float32[rows, 1]."""
    values = np.array(rows, dtype=np.float32)
    features = triton_grpc.InferInput("features", list(values.shape), "FP32")
    features.set_data_from_numpy(values)
    with triton_grpc.InferenceServerClient(server.grpc_target) as client:
        result = client.infer(model, [features], model_version=version, client_timeout=10)
        scores: npt.NDArray[np.float32] = result.as_numpy("score")
        return scores


def memory_regions(launcher_pid: int) -> set[str]:
    """Returns the names of the shared memory regions of the Tritons that a process has started."""
    return {path.name for path in SHARED_MEMORY_DIR.glob(f"tailrace_{launcher_pid}_*")}


def test_server_answers_with_its_own_version(triton_server: LocalTriton) -> None:
    with triton_grpc.InferenceServerClient(triton_server.grpc_target) as client:
        assert client.is_server_ready()
        assert client.get_server_metadata().version == triton_server.version


def test_echo_sum_weighs_each_column_differently(triton_server: LocalTriton) -> None:
    scores = infer(triton_server, "echo_sum", [[1, 2, 3, 4], [0, 0, 0, 1]], version="1")
    assert scores.tolist() == [[4321.0], [1000.0]]


def test_latest_echo_sum_is_version_2(triton_server: LocalTriton) -> None:
    assert infer(triton_server, "echo_sum", [[1, 2, 3, 4]]).tolist() == [[-4321.0]]


@pytest.mark.parametrize(("wanted", "score"), [(0, 7.0), (1, np.nan), (2, np.inf)])
def test_nan_answers_as_badly_as_asked(
    triton_server: LocalTriton, wanted: int, score: float
) -> None:
    np.testing.assert_equal(infer(triton_server, "nan", [[wanted, 7, 0, 0]]), [[score]])


def test_nan_answers_with_a_wrong_shape(triton_server: LocalTriton) -> None:
    assert infer(triton_server, "nan", [[3, 7, 0, 0]]).shape == (1, 2)


def test_nan_fails_on_demand(triton_server: LocalTriton) -> None:
    with pytest.raises(InferenceServerException, match="told to fail"):
        infer(triton_server, "nan", [[4, 0, 0, 0]])


def test_slow_answers_its_delay(triton_server: LocalTriton) -> None:
    assert infer(triton_server, "slow", [[30, 0, 0, 0]]).tolist() == [[30.0]]


def test_metrics_count_inferences(triton_server: LocalTriton) -> None:
    before = inference_count(triton_server, "echo_sum")
    infer(triton_server, "echo_sum", [[1, 2, 3, 4], [1, 2, 3, 4]])
    wait_for(lambda: inference_count(triton_server, "echo_sum") == before + 2)


def test_two_servers_have_ports_of_their_own(
    triton_server: LocalTriton, start_triton: StartTriton
) -> None:
    other = start_triton(models=["echo_sum"])
    ports = {triton_server.grpc_port, triton_server.metrics_port}
    assert ports.isdisjoint({other.grpc_port, other.metrics_port})
    infer(other, "echo_sum", [[1, 2, 3, 4]])
    wait_for(lambda: inference_count(other, "echo_sum") == 1)


@pytest.mark.parametrize("argument", ["grpc_port", "metrics_port"])
def test_port_in_use_is_an_error_that_names_port_and_holder(
    triton_server: LocalTriton, start_triton: StartTriton, argument: str
) -> None:
    taken = triton_server.grpc_port
    with pytest.raises(PortInUse, match=f"127.0.0.1:{taken}: the port is in use") as caught:
        start_triton(models=["echo_sum"], **{argument: taken})  # type: ignore[arg-type]
    assert str(triton_server.process.pid) in caught.value.holder


def test_unknown_model_is_an_error_that_quotes_the_log(start_triton: StartTriton) -> None:
    with pytest.raises(ProcessExited, match="failed to poll model 'no_such_model'"):
        start_triton(models=["no_such_model"])


@pytest.mark.parametrize("end", [LocalTriton.stop, LocalTriton.kill])
def test_ended_server_leaves_no_process_and_no_shared_memory(
    start_triton: StartTriton, end: object
) -> None:
    before = memory_regions(os.getpid())
    server = start_triton(models=["echo_sum"])
    stubs = psutil.Process(server.process.pid).children(recursive=True)
    assert stubs
    assert memory_regions(os.getpid()) > before
    assert callable(end)
    end(server)
    assert not server.process.running
    wait_for(lambda: all(is_gone(stub.pid) for stub in stubs))
    assert memory_regions(os.getpid()) <= before


def test_killed_server_comes_back_at_the_same_ports(start_triton: StartTriton) -> None:
    server = start_triton(models=["echo_sum"])
    ports = server.grpc_port, server.metrics_port
    server.kill()
    server.start()
    assert (server.grpc_port, server.metrics_port) == ports
    assert infer(server, "echo_sum", [[1, 2, 3, 4]]).tolist() == [[-4321.0]]


def test_missing_server_points_to_the_other_backend(tmp_path: Path) -> None:
    with pytest.raises(ServerMissing, match="--inference-backend onnxruntime"):
        triton_install.find_triton(tmp_path / "tritonserver", cache_dir=tmp_path)


def test_missing_libpython_points_to_the_other_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_config_vars", lambda *_: [None, None])
    monkeypatch.setattr(triton_install, "_ask_loader", lambda _: None)
    with pytest.raises(ServerMissing, match="--inference-backend onnxruntime") as caught:
        triton_install.find_triton(None, cache_dir=tmp_path)
    assert caught.value.what.startswith("libpython3.")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_sigkill_of_the_launcher_ends_triton_and_its_stubs(tmp_path: Path) -> None:
    launcher = f"""
import time
from pathlib import Path
from tailrace.cli.local.local_triton import LocalTriton
server = LocalTriton(
    model_repository=Path({str(MODELS_DIR)!r}),
    models=["echo_sum"],
    log_path=Path({str(tmp_path / "log")!r}),
    cache_dir=Path({str(CACHE_DIR)!r}),
)
server.start()
print(server.process.pid, flush=True)
time.sleep(300)
"""
    with subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        stubs = psutil.Process(pid).children(recursive=True)
        assert stubs
        assert memory_regions(parent.pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: all(is_gone(gone) for gone in [pid, *(stub.pid for stub in stubs)]))
    wait_for(lambda: not memory_regions(parent.pid))
