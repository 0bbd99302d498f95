import json
import os
from datetime import UTC, datetime
from pathlib import Path

from tailrace.cli.local.scrape_targets import scrape_targets
from tailrace.cli.local.state import MeshState, ProcessState, RedisState, TritonState, write_state
from tailrace.cli.mesh_folder import MeshFolder


def state_of(folder: Path, *processes: tuple[str, int | None, int | None]) -> MeshState:
    return MeshState(
        mesh="trial",
        started_at=datetime.now(UTC),
        launcher=ProcessState.of_running("launcher", os.getpid(), log_path=folder),
        processes=tuple(
            ProcessState.of_running(
                name, os.getpid(), log_path=folder, grpc_port=grpc_port, metrics_port=metrics_port
            )
            for name, grpc_port, metrics_port in processes
        ),
        redis=RedisState(url="redis://127.0.0.1:1", version="7"),
        tritons=(
            TritonState(target="127.0.0.1:8001", metrics_url="http://127.0.0.1:8002", version="2"),
        ),
    )


def test_every_process_with_metrics_is_a_target_with_job_and_service(tmp_path: Path) -> None:
    state = state_of(
        tmp_path,
        ("redis", None, None),
        ("queue-redis", None, None),
        ("triton", 8001, 8002),
        ("gateway", 1, None),
        ("gateway-1", 2, 21),
        ("gateway-2", 3, 22),
        ("features", 4, 23),
        ("features-2", 5, 24),
    )
    found = [
        (entry["targets"], *(entry["labels"][name] for name in ("job", "service", "instance")))
        for entry in json.loads(scrape_targets(state))
    ]
    assert found == [
        (["127.0.0.1:8002"], "triton", "triton", "triton"),
        (["127.0.0.1:21"], "tailrace", "gateway", "gateway-1"),
        (["127.0.0.1:22"], "tailrace", "gateway", "gateway-2"),
        (["127.0.0.1:23"], "tailrace", "features", "features"),
        (["127.0.0.1:24"], "tailrace", "features", "features-2"),
    ]
    assert {entry["labels"]["mesh"] for entry in json.loads(scrape_targets(state))} == {"trial"}


def test_the_targets_follow_the_state_and_go_with_the_mesh(tmp_path: Path) -> None:
    folder = MeshFolder(tmp_path, "trial")
    with folder.claimed():
        for port in (21, 22):
            write_state(folder.state_path, state_of(folder.path, ("gateway", 1, port)))
            (entry,) = json.loads(folder.targets_path.read_text())
            assert entry["targets"] == [f"127.0.0.1:{port}"]
    assert not folder.targets_path.exists()
