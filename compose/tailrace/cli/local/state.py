"""The state file: what a running mesh consists of, for everyone who wants to reach it."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Literal

import psutil
import pydantic

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.scrape_targets import TARGETS_FILE, scrape_targets

# How far apart the kernel's and psutil's idea of one start time may be.
_SAME_START_S = 1.0


class StateMissing(LaunchError):
    """There is no state file: no such mesh is up.

    Attributes:
        path: where it would be.
    """

    def __init__(self, path: Path) -> None:
        """Keeps the field and builds the message from it."""
        self.path = path
        super().__init__(
            f"no mesh is up: there is no state file {path}. Start one: tailrace up FOLDER"
        )


class StateInvalid(LaunchError):
    """A state file cannot be understood.

    Attributes:
        path: the file.
        problems: everything that is wrong with it.
    """

    def __init__(self, path: Path, problems: list[str]) -> None:
        """Keeps the fields and builds the message from them."""
        self.path = path
        self.problems = problems
        super().__init__(f"{path} is not a state file of this version: {'; '.join(problems)}")


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class ProcessState(_Part):
    """One process of the mesh.

    Attributes:
        name: what it is called, such as `features`.
        pid: its process id.
        started_at: when it started, in seconds since the epoch, as the kernel says; with
            the process id it names the process for good.
        log_path: file with its output.
        grpc_port: where it serves gRPC on loopback; None if it does not.
        metrics_port: where it serves metrics on loopback; None if it does not.
    """

    name: str
    pid: int
    started_at: float
    log_path: Path
    grpc_port: int | None = None
    metrics_port: int | None = None

    @classmethod
    def of_running(
        cls,
        name: str,
        pid: int,
        *,
        log_path: Path,
        grpc_port: int | None = None,
        metrics_port: int | None = None,
    ) -> ProcessState:
        """Returns the state of a process that runs now.

        Raises:
            psutil.NoSuchProcess: if it does not.
        """
        return cls(
            name=name,
            pid=pid,
            started_at=psutil.Process(pid).create_time(),
            log_path=log_path,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
        )

    @property
    def alive(self) -> bool:
        """True if this very process, not another with its id, still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < _SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class RedisState(_Part):
    """A Redis of the mesh.

    Attributes:
        url: where to reach it, as redis-py takes it.
        version: its version.
    """

    url: str
    version: str


class TritonState(_Part):
    """One of the mesh's Tritons.

    Attributes:
        target: where to reach it by gRPC, as `host:port`.
        metrics_url: where its metrics are.
        version: its version.
        models: the models that it was told to load.
    """

    target: str
    metrics_url: str
    version: str
    models: tuple[str, ...] = ()


class MeshState(_Part):
    """A whole mesh on this machine.

    Attributes:
        schema_version: version of this layout.
        mesh: name of the mesh.
        started_at: when it was up.
        launcher: the `tailrace up` that keeps it.
        processes: all processes that it consists of.
        redis: its Redis, with the features.
        queue_redis: its Redis with the submissions; None if it takes none.
        tritons: its Tritons; none if models run in-process.
        pipelines: names of the pipelines that it serves.
        pipelines_dir: folder of their files, absolute; None where an earlier version wrote this.
        feature_key_prefix: prefix of every key in `redis`; None likewise.
    """

    schema_version: Literal[1] = 1
    mesh: str
    started_at: datetime
    launcher: ProcessState
    processes: tuple[ProcessState, ...]
    redis: RedisState
    queue_redis: RedisState | None = None
    tritons: tuple[TritonState, ...] = ()
    pipelines: tuple[str, ...] = ()
    pipelines_dir: Path | None = None
    feature_key_prefix: str | None = None

    @property
    def stale(self) -> bool:
        """True if the launcher is gone, so that nothing in here holds any more."""
        return not self.launcher.alive

    def process(self, name: str) -> ProcessState:
        """Returns the process called `name`.

        Raises:
            KeyError: if there is none.
        """
        for process in self.processes:
            if process.name == name:
                return process
        raise KeyError(name)


def write_state(path: Path, state: MeshState) -> None:
    """Writes the state file, and beside it what Prometheus is to scrape.

    Readers see either the old one or the whole new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path.with_name(TARGETS_FILE), scrape_targets(state))
    _write_whole(path, state.model_dump_json(indent=2))


def _write_whole(path: Path, text: str) -> None:
    descriptor, aside = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def read_state(path: Path) -> MeshState:
    """Returns what the state file says; whether it still holds, `MeshState.stale` tells.

    Raises:
        StateMissing: if there is none.
        StateInvalid: if it is not one, or one of another schema version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StateMissing(path) from error
    try:
        return MeshState.model_validate_json(content)
    except pydantic.ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise StateInvalid(path, problems) from error
