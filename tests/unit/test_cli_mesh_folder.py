"""The folder of a mesh: one owner, nothing left behind."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

import pytest

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.state import (
    MeshState,
    ProcessState,
    RedisState,
    StateMissing,
    write_state,
)
from tailrace.cli.mesh_folder import (
    MeshAlreadyUp,
    MeshFolder,
    MeshNameInvalid,
    MeshUnknown,
    find_mesh,
    find_meshes,
)
from tests.support.waiting import is_gone, wait_for


def state_of(
    launcher: ProcessState, *processes: ProcessState, redis_url: str = "redis://127.0.0.1:1/0"
) -> MeshState:
    """Returns the state of a mesh."""
    return MeshState(
        mesh="default",
        started_at=datetime.datetime.now(datetime.UTC),
        launcher=launcher,
        processes=processes,
        redis=RedisState(url=redis_url, version="6.2.14"),
    )


def test_second_mesh_of_the_same_name_is_refused(tmp_path: Path) -> None:
    with (
        MeshFolder(tmp_path, "default").claimed(),
        pytest.raises(MeshAlreadyUp, match="--name OTHER"),
        MeshFolder(tmp_path, "default").claimed(),
    ):
        pass


def test_meshes_of_two_names_live_side_by_side(tmp_path: Path) -> None:
    with MeshFolder(tmp_path, "one").claimed(), MeshFolder(tmp_path, "other").claimed():
        assert sorted(path.name for path in tmp_path.glob("meshes/*")) == ["one", "other"]


def test_good_run_leaves_nothing(tmp_path: Path) -> None:
    folder = MeshFolder(tmp_path, "default")
    with folder.claimed():
        (folder.path / "gateway.log").touch()
        folder.state_path.touch()
    assert not folder.path.exists()


def test_failed_run_leaves_its_logs_alone(tmp_path: Path) -> None:
    folder = MeshFolder(tmp_path, "default")
    with pytest.raises(LaunchError), folder.claimed():
        (folder.path / "gateway.log").touch()
        folder.state_path.touch()
        raise LaunchError
    assert [path.name for path in folder.path.iterdir()] == ["gateway.log"]


def test_name_can_be_claimed_again(tmp_path: Path) -> None:
    for _ in range(2):
        with MeshFolder(tmp_path, "default").claimed():
            pass


def test_leftovers_of_a_killed_launcher_are_cleared_away(tmp_path: Path) -> None:
    folder = MeshFolder(tmp_path, "default")
    socket_dir = tmp_path / "tailrace-redis-abc"
    socket_dir.mkdir()
    with subprocess.Popen(["sleep", "300"]) as survivor:
        process = ProcessState.of_running("redis", survivor.pid, log_path=Path("redis.log"))
        launcher = process.model_copy(update={"started_at": 0.0})
        url = f"unix://{socket_dir}/redis.sock?db=0"
        write_state(folder.state_path, state_of(launcher, process, redis_url=url))
        (folder.path / "old.log").touch()
        with folder.claimed():
            wait_for(lambda: is_gone(survivor.pid))
            assert [path.name for path in folder.path.iterdir()] == ["lock"]
            assert not socket_dir.exists()
        survivor.kill()


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 41])
def test_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MeshNameInvalid):
        MeshFolder(tmp_path, name)


def test_only_mesh_that_is_up_is_found_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(StateMissing):
        find_mesh(tmp_path, None)
    launcher = ProcessState.of_running("launcher", os.getpid(), log_path=Path("log"))
    gone = launcher.model_copy(update={"started_at": 0.0})
    write_state(MeshFolder(tmp_path, "killed").state_path, state_of(gone))
    assert find_mesh(tmp_path, None).name == "killed"
    write_state(MeshFolder(tmp_path, "one").state_path, state_of(launcher))
    assert find_mesh(tmp_path, None).name == "one"
    write_state(MeshFolder(tmp_path, "other").state_path, state_of(launcher))
    with pytest.raises(LaunchError, match="one, other"):
        find_mesh(tmp_path, None)
    assert find_mesh(tmp_path, "other").name == "other"
    assert [folder.name for folder in find_meshes(tmp_path, None)] == ["one", "other"]


def test_unknown_name_is_told_with_those_that_are_up(tmp_path: Path) -> None:
    with pytest.raises(MeshUnknown, match="no mesh named 'thrid' is up, nor is another"):
        find_mesh(tmp_path, "thrid")
    launcher = ProcessState.of_running("launcher", os.getpid(), log_path=Path("log"))
    gone = launcher.model_copy(update={"started_at": 0.0})
    for name, keeper in (("one", launcher), ("other", launcher), ("killed", gone)):
        write_state(MeshFolder(tmp_path, name).state_path, state_of(keeper))
    with pytest.raises(MeshUnknown, match="no mesh named 'thrid' is up, up are: one, other$"):
        find_mesh(tmp_path, "thrid")
