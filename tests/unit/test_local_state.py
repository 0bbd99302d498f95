"""The state file: written whole, read back checked, and known to be stale."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path

import pytest

from tailrace.cli.local.state import (
    MeshState,
    ProcessState,
    RedisState,
    StateInvalid,
    StateMissing,
    TritonState,
    read_state,
    write_state,
)


def state_of(launcher: ProcessState) -> MeshState:
    """Returns the state of a mesh that consists of its launcher."""
    return MeshState(
        mesh="default",
        started_at=datetime.datetime.now(datetime.UTC),
        launcher=launcher,
        processes=(launcher,),
        redis=RedisState(url="unix:///tmp/r/redis.sock?db=0", version="6.2.14"),
        tritons=(
            TritonState(
                target="127.0.0.1:1",
                metrics_url="http://127.0.0.1:2/metrics",
                version="2.51.0",
                models=("flight_delay",),
            ),
        ),
        pipelines=("flight-delay",),
    )


@pytest.fixture
def this_process() -> ProcessState:
    """The process that runs the tests, as a launcher."""
    return ProcessState.of_running("launcher", os.getpid(), log_path=Path("log"), grpc_port=50051)


def test_state_reads_back_as_written(tmp_path: Path, this_process: ProcessState) -> None:
    state = state_of(this_process)
    write_state(tmp_path / "mesh" / "state.json", state)
    assert read_state(tmp_path / "mesh" / "state.json") == state
    names = sorted(path.name for path in (tmp_path / "mesh").iterdir())
    assert names == ["prometheus-targets.json", "state.json"]


def test_state_of_a_living_launcher_is_not_stale(this_process: ProcessState) -> None:
    assert not state_of(this_process).stale


def test_state_of_a_dead_launcher_is_stale() -> None:
    with subprocess.Popen(["sleep", "300"]) as process:
        launcher = ProcessState.of_running("launcher", process.pid, log_path=Path("log"))
        assert not state_of(launcher).stale
        process.kill()
    assert state_of(launcher).stale


def test_state_is_stale_when_another_process_has_the_launchers_id(
    this_process: ProcessState,
) -> None:
    earlier = this_process.model_copy(update={"started_at": this_process.started_at - 60})
    assert state_of(earlier).stale


def test_process_is_found_by_name(this_process: ProcessState) -> None:
    state = state_of(this_process)
    assert state.process("launcher") == this_process
    with pytest.raises(KeyError, match="gateway"):
        state.process("gateway")


def test_missing_state_says_how_to_start_a_mesh(tmp_path: Path) -> None:
    with pytest.raises(StateMissing, match="tailrace up"):
        read_state(tmp_path / "state.json")


def test_invalid_state_lists_every_problem(tmp_path: Path, this_process: ProcessState) -> None:
    content = json.loads(state_of(this_process).model_dump_json())
    content["schema_version"] = 2
    del content["redis"]["url"]
    path = tmp_path / "state.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StateInvalid) as caught:
        read_state(path)
    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        "schema_version",
        "redis.url",
    }


def test_half_a_state_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"schema_version": 1, "mesh"')
    with pytest.raises(StateInvalid, match="file: Invalid JSON"):
        read_state(path)
