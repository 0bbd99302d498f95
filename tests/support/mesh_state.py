"""State files of meshes that are up, as far as they are read: this process keeps them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tailrace.cli.local.state import MeshState, ProcessState, RedisState, write_state


def write_mesh_state(
    state_dir: Path,
    name: str,
    *,
    redis_url: str,
    pipelines_dir: Path | None = None,
    prefix: str | None = None,
    ports: Mapping[str, int] | None = None,
    is_up: bool = True,
) -> MeshState:
    """Writes the state file of a mesh, and returns what it says.

    Args:
        state_dir: folder with the state files.
        name: of the mesh.
        redis_url: where its features are.
        pipelines_dir: folder of its pipelines; None is left out, as earlier versions did.
        prefix: of the keys of its features; None is left out likewise.
        ports: gRPC port of each process, by name.
        is_up: whether the launcher is still there.
    """
    log = state_dir / "log"
    launcher = ProcessState.of_running("launcher", os.getpid(), log_path=log)
    if not is_up:
        launcher = launcher.model_copy(update={"started_at": launcher.started_at - 3600})
    state = MeshState(
        mesh=name,
        started_at=datetime.now(UTC),
        launcher=launcher,
        processes=tuple(
            ProcessState.of_running(process, os.getpid(), log_path=log, grpc_port=port)
            for process, port in (ports or {}).items()
        ),
        redis=RedisState(url=redis_url, version="7"),
        pipelines_dir=pipelines_dir,
        feature_key_prefix=prefix,
    )
    write_state(state_dir / "meshes" / name / "state.json", state)
    return state
