"""`tailrace up`, mostly on the flight example, as users run it: it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tailrace.cli.local.state import MeshState, read_state
from tailrace.client import (
    Client,
    EventClient,
    InputValue,
    NotFound,
    PredictionError,
    SubmissionState,
)
from tests.support.event_world import ride, write_event_files
from tests.support.triton_fixtures import MODELS_DIR
from tests.support.waiting import is_gone, wait_for

ROOT = Path(__file__).parents[2]

# The checkout's own, so that the example is prepared once and not again for every test.
STATE_DIR = ROOT / ".tailrace"

# All that a folder needs whose models are there already.
MINIMAL_MANIFEST = """
example: minimal
pipelines: pipelines
static_views: {account: accounts.csv}
triton: {repository: models, models: [echo_sum]}
"""
MINIMAL_PIPELINE = """
pipeline: NAME
version: "1"
request: {fields: {x: {type: double, required: true}, account: {type: string, required: true}}}
ingest: {steps: [{step: cast, input: x, output: x32}]}
features: {views: [{view: account, keys: {account_id: request.account}}]}
model:
  name: echo_sum
  inputs: [{name: features, dtype: float32, columns: [x32, x32, account.a, account.a]}]
  outputs: [{name: score, dtype: float32, shape: [1]}]
postprocess: {outputs: [{name: score}]}
"""
MINIMAL_VIEW = """
view: account
entity: account
keys: [{name: account_id, type: string}]
features: [{name: a, type: float32, default: -1.0}]
"""

pytestmark = pytest.mark.timeout(300)


class Launcher:
    """A running `tailrace up`.

    Attributes:
        name: name of the mesh.
        process: the command.
    """

    def __init__(
        self, name: str, folder: Path, *arguments: str, example: str | Path = "examples/flights"
    ) -> None:
        self.name = f"{name}-{os.getpid()}"
        self._output = folder / f"{name}.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*tailrace("up", str(example), "--name", self.name), *arguments],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    @property
    def folder(self) -> Path:
        """The folder of its mesh."""
        return STATE_DIR / "meshes" / self.name

    def state(self) -> MeshState:
        """Returns what its state file says."""
        return read_state(self.folder / "state.json")

    def wait_up(self) -> None:
        """Returns once the mesh is up and tried."""

        def up_or_ended() -> bool:
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        wait_for(up_or_ended, timeout_s=240)

    def wait_end(self) -> int:
        """Returns the exit status once the command has ended."""
        return self.process.wait(timeout=240)


def tailrace(*arguments: str) -> list[str]:
    """Returns a command line."""
    return [sys.executable, "-m", "tailrace.cli", *arguments]


def run_status(name: str) -> subprocess.CompletedProcess[str]:
    """Returns what `tailrace status` says."""
    return subprocess.run(
        tailrace("status", "--name", name, "--json"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def children_of(launcher: Launcher) -> list[psutil.Process]:
    """Returns everything that the launcher has started, directly or not."""
    return psutil.Process(launcher.process.pid).children(recursive=True)


def assert_nothing_is_left(launcher: Launcher, children: list[psutil.Process]) -> None:
    """Fails if a process, a socket or a shared memory region has survived."""
    assert len(children) >= 8
    wait_for(lambda: all(is_gone(child.pid) for child in children), timeout_s=15)
    prefix = f"tailrace_{launcher.process.pid}_"
    wait_for(lambda: not list(Path("/dev/shm").glob(f"{prefix}*")))


@pytest.fixture
def start_mesh_command(tmp_path: Path) -> Iterator[Any]:
    """Starts `tailrace up` commands that end with the test."""
    launchers: list[Launcher] = []

    def start(name: str, *arguments: str, **options: Any) -> Launcher:
        launchers.append(Launcher(name, tmp_path, *arguments, **options))
        return launchers[-1]

    yield start
    for launcher in launchers:
        launcher.process.kill()
        launcher.process.wait()
        shutil.rmtree(launcher.folder, ignore_errors=True)


def test_once_reports_and_leaves_nothing(start_mesh_command: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    launcher = start_mesh_command("once", "--once", "--json", str(report))
    assert launcher.wait_end() == 0, launcher.output
    summary = json.loads(report.read_text())
    # All flights of two days, one after the other, with the events of these days between them.
    assert summary["predictions"] + sum(summary["failures"].values()) == 1910
    assert summary["qualities"]["LIVE"] > 1800
    assert summary["auc"] > 0.65
    assert summary["offline_difference"] <= 1e-5
    assert 1000 < summary["replay"]["events_before"] < summary["replay"]["events"] - 3000
    assert any("all 109,619 held-out flights" in name for name in summary["figures"])
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    assert summary["redis_version"].startswith(("6.", "7.", "8."))
    assert summary["triton_version"].startswith("2.")
    assert summary["unattributed_share_p50"] <= 0.10
    assert set(summary["hop_p50_ms"]) == {"ingest", "features", "inference", "postprocess"}
    for push in (summary["pushes"]["webhook"], summary["pushes"]["grpc"]):
        assert 0 < push["submit_ms"] < push["received_ms"]
        assert min(push["queue_ms"], push["run_ms"], push["delivery_ms"]) >= 0
    assert not launcher.folder.exists()
    for line in (
        "unattributed",
        "AUC",
        "events replayed",
        "from offline",
        "p50",
        "in truth",
        "gateway",
        "pushed to a webhook",
    ):
        assert line in launcher.output


@pytest.fixture
def minimal_example(tmp_path: Path) -> Path:
    """A folder with two pipelines, a view and a model; nothing to prepare, no rows to try."""
    folder = tmp_path / "minimal"
    for name in ("pipelines", "features"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(MODELS_DIR / "echo_sum", folder / "models" / "echo_sum")
    (folder / "example.yaml").write_text(MINIMAL_MANIFEST)
    for name in ("first", "second"):
        file = folder / "pipelines" / f"{name}.yaml"
        file.write_text(MINIMAL_PIPELINE.replace("NAME", name))
    (folder / "features" / "account.yaml").write_text(MINIMAL_VIEW)
    (folder / "accounts.csv").write_text("account_id,a\naccount-1,3.0\n")
    return folder


def test_once_runs_a_folder_with_nothing_to_prepare_or_try(
    start_mesh_command: Any, minimal_example: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    launcher = start_mesh_command(
        "minimal", "--once", "--json", str(report), example=minimal_example
    )
    assert launcher.wait_end() == 0, launcher.output
    summary = json.loads(report.read_text())
    assert summary["pipelines"] == ["first", "second"]
    assert summary["predictions"] == 0
    assert (summary["auc"], summary["p50_ms"], summary["p99_ms"]) == (None, None, None)
    assert not summary["prepared_now"]
    assert "Loading the static views account: 1 rows" in launcher.output
    assert summary["endpoints"]["gateway"]["address"] in launcher.output
    for line in ("Preparing", "Predicting", "AUC"):
        assert line not in launcher.output


def test_example_with_event_types_has_an_event_service(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    write_event_files(minimal_example)
    launcher = start_mesh_command("events", "--port", "0", example=minimal_example)
    launcher.wait_up()
    events = launcher.state().process("events")
    with EventClient(f"127.0.0.1:{events.grpc_port}") as client:
        assert client.send("ride", [ride(1), ride(1)]).duplicates == 1
    assert launcher.state().pipelines_dir == minimal_example / "pipelines"
    reset = subprocess.run(
        tailrace("features", "reset", "city-rides", "--yes", "--json", "--name", launcher.name),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert reset.returncode == 0, reset.stderr
    assert json.loads(reset.stdout)["keys_removed"] > 0
    status = run_status(launcher.name)
    assert json.loads(status.stdout)["processes"]["events"]["health"] == "SERVING"


def test_workers_and_replicas_are_processes_and_a_worker_that_died_is_listed_anew(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    options = [
        "--port",
        "0",
        "--workers",
        "2",
        "--replicas",
        "ingest=2",
        "--replicas",
        "features=3",
    ]
    launcher = start_mesh_command("workers", *options, example=minimal_example)
    launcher.wait_up()
    children = children_of(launcher)
    state = launcher.state()
    assert {process.name for process in state.processes} == {
        *("redis", "triton", "gateway", "gateway-1", "gateway-2"),
        *("queue-redis", "dispatcher", "courier"),
        *("ingest", "ingest-2", "features", "features-2", "features-3"),
        *("inference", "postprocess"),
    }
    gateway, workers = state.process("gateway"), ("gateway-1", "gateway-2")
    assert gateway.metrics_port is None
    assert len({gateway.grpc_port, *(state.process(name).grpc_port for name in workers)}) == 3
    assert all(state.process(name).metrics_port for name in workers)
    assert re.search(
        rf"gateway-2 +127.0.0.1:{state.process('gateway-2').grpc_port} ", launcher.output
    )

    status = run_status(launcher.name)
    assert status.returncode == 0, status.stdout
    answer = json.loads(status.stdout)
    assert {process["health"] for process in answer["processes"].values()} == {"SERVING"}
    assert_all_can_be_scraped(Path(answer["prometheus_targets"]), launcher.state())

    os.kill(state.process("gateway-1").pid, signal.SIGKILL)

    def is_listed_anew() -> bool:
        now = {process.name: process.pid for process in launcher.state().processes}
        return now.get("gateway-1") not in (None, state.process("gateway-1").pid)

    wait_for(is_listed_anew, 60)
    assert launcher.process.poll() is None
    assert launcher.state().process("gateway-2") == state.process("gateway-2")
    wait_for(lambda: run_status(launcher.name).returncode == 0, 60)
    assert_all_can_be_scraped(Path(answer["prometheus_targets"]), launcher.state())

    launcher.process.send_signal(signal.SIGINT)
    assert launcher.wait_end() == 0, launcher.output
    assert_nothing_is_left(launcher, children)
    assert not launcher.folder.exists()


def assert_all_can_be_scraped(file: Path, state: MeshState) -> None:
    found = json.loads(file.read_text())
    instances = {entry["labels"]["instance"]: entry["labels"]["service"] for entry in found}
    with_metrics = {process.name for process in state.processes if process.metrics_port}
    assert instances.keys() == with_metrics
    assert (instances["gateway-1"], instances["features-3"]) == ("gateway", "features")
    assert [
        entry["labels"]["instance"] for entry in found if entry["labels"]["job"] == "triton"
    ] == ["triton"]
    for entry in found:
        (target,) = entry["targets"]
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=5.0) as answer:
            assert answer.status == 200


def test_without_submissions_there_is_no_queue_and_they_are_refused(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    launcher = start_mesh_command(
        "unsubmitted", "--port", "0", "--no-submissions", example=minimal_example
    )
    launcher.wait_up()
    state = launcher.state()
    hops = {"ingest", "features", "inference", "postprocess"}
    assert {each.name for each in state.processes} == {"redis", "triton", "gateway", *hops}
    answer = json.loads(run_status(launcher.name).stdout)
    assert (answer["serving"], answer["queue_durability"]) == (True, None)
    with Client(f"127.0.0.1:{state.process('gateway').grpc_port}", timeout=10) as client:
        with pytest.raises(PredictionError) as refused:
            client.submit("first", {"x": 1.0, "account": "account-1"})
    assert refused.value.reason == "NO_QUEUE"


def test_queue_that_is_kept_is_there_after_a_restart_and_others_start_empty(
    start_mesh_command: Any, minimal_example: Path, tmp_path: Path
) -> None:
    fields: dict[str, InputValue] = {"x": 1.0, "account": "account-1"}
    ids: list[str] = []
    for options in (["--keep-queue"], ["--keep-queue"], []):
        state_dir = str(tmp_path / "state")
        launcher = start_mesh_command(
            "kept", "--port", "0", "--state-dir", state_dir, *options, example=minimal_example
        )
        launcher.wait_up()
        state = read_state(tmp_path / "state" / "meshes" / launcher.name / "state.json")
        with Client(f"127.0.0.1:{state.process('gateway').grpc_port}", timeout=30) as client:
            if not ids:
                ids.append(client.submit("first", fields).id)
                assert client.get_submission(ids[0], wait=30).state is SubmissionState.SUCCEEDED
            elif options:
                kept = client.get_submission(ids[0])
                assert kept.prediction.values["score"] == -3311.0
            else:
                with pytest.raises(NotFound):
                    client.get_submission(ids[0])
        launcher.process.send_signal(signal.SIGINT)
        assert launcher.wait_end() == 0, launcher.output


def test_hops_inside_the_gateway_have_no_process_of_their_own(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    placement = "ingest=local,features=local"
    launcher = start_mesh_command(
        "placed", "--port", "0", "--placement", placement, example=minimal_example
    )
    launcher.wait_up()
    state = launcher.state()
    names = {process.name for process in state.processes}
    assert names == {
        *("redis", "triton", "inference", "postprocess", "gateway"),
        *("queue-redis", "dispatcher", "courier"),
    }
    assert run_status(launcher.name).returncode == 0
    with Client(f"127.0.0.1:{state.process('gateway').grpc_port}", timeout=10) as client:
        prediction = client.predict("first", {"x": 1.0, "account": "account-1"})
    # x + 10 x + 100 a + 1000 a, where a was loaded as 3; the model's latest version negates it.
    assert prediction.values["score"] == -3311.0
    assert {entry.hop: entry.placement for entry in prediction.ledger.entries} == {
        "ingest": "local",
        "features": "local",
        "inference": "remote",
        "postprocess": "remote",
    }


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--replicas", "ingst=2"), "TAILRACE_REPLICAS: there is no hop 'ingst'"),
        (("--replicas", "ingest=0"), "ingest cannot have 0 replicas"),
        (("--replicas", "ingest=2", "--placement", "local"), "ingest is placed in the gateway"),
        (("--placement", "here"), "TAILRACE_PLACEMENT: 'here': a hop is placed `local` or"),
        (("--workers", "0"), "TAILRACE_WORKERS: Input should be greater than or equal to 1"),
    ],
)
def test_processes_that_cannot_be_are_refused(
    start_mesh_command: Any, minimal_example: Path, option: tuple[str, ...], told: str
) -> None:
    launcher = start_mesh_command("refused", *option, example=minimal_example)
    assert launcher.wait_end() == 1
    assert told in launcher.output


def test_meshes_run_side_by_side_and_end_on_ctrl_c(start_mesh_command: Any, tmp_path: Path) -> None:
    first = start_mesh_command("first", "--port", "0", "--predictions", "50")
    first.wait_up()
    state = first.state()
    children = children_of(first)

    status = run_status(first.name)
    assert status.returncode == 0, status.stdout
    answer = json.loads(status.stdout)
    assert answer["redis_version"] == state.redis.version
    assert answer["triton_version"] == state.tritons[0].version
    assert answer["queue_durability"] == "always"
    assert {process["health"] for process in answer["processes"].values()} == {"SERVING"}

    report = tmp_path / "report.json"
    arguments = ["--once", "--predictions", "50", "--json", str(report)]
    second = start_mesh_command("second", *arguments, "--inference-backend", "onnxruntime")
    assert second.wait_end() == 0, second.output
    summary = json.loads(report.read_text())
    assert (summary["triton_version"], summary["inference_backend"]) == (None, "onnxruntime")

    same_name = start_mesh_command("first", "--once")
    assert same_name.wait_end() == 1
    assert "already up" in same_name.output

    taken = state.tritons[0].target.rpartition(":")[2]
    same_port = start_mesh_command("third", "--once", "--port", f"triton={taken}")
    assert same_port.wait_end() == 1
    assert "Starting" not in same_port.output
    assert f"triton cannot listen on 127.0.0.1:{taken}: the port is in use" in same_port.output

    first.process.send_signal(signal.SIGINT)
    assert first.wait_end() == 0, first.output
    assert_nothing_is_left(first, children)
    assert not first.folder.exists()
    assert state.redis.url == f"unix://{first.folder}/redis.sock?db=0"
    assert run_status(first.name).returncode == 1


def test_death_of_a_process_is_loud_and_ends_the_mesh(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    launcher = start_mesh_command("death", "--port", "0", example=minimal_example)
    launcher.wait_up()
    children = children_of(launcher)
    state = launcher.state()
    started = ("gateway", "features", "dispatcher", "courier")
    niceness = {name: psutil.Process(state.process(name).pid).nice() for name in started}
    assert niceness == {"gateway": 0, "features": 0, "dispatcher": 10, "courier": 10}
    os.kill(state.process("features").pid, signal.SIGKILL)
    assert launcher.wait_end() == 1
    log_path = launcher.folder / "features.log"
    sentence = f"tailrace: error: features was killed by SIGKILL; its log is {log_path}"
    assert launcher.output.splitlines()[-1] == sentence
    assert "info: serving" in launcher.output
    assert_nothing_is_left(launcher, children)
    assert not (launcher.folder / "state.json").exists()
    assert (launcher.folder / "features.log").exists()


def test_killed_launcher_takes_all_processes_along(
    start_mesh_command: Any, minimal_example: Path
) -> None:
    launcher = start_mesh_command("killed", "--port", "0", example=minimal_example)
    launcher.wait_up()
    children = children_of(launcher)
    launcher.process.kill()
    launcher.process.wait()
    assert_nothing_is_left(launcher, children)
    assert not (launcher.folder / "redis.sock").exists()
    assert launcher.state().stale
    assert run_status(launcher.name).returncode == 1
