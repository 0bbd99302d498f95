"""One of the mesh's own services, or the gateway, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tailrace.cli.local.errors import ProcessExited
from tailrace.cli.local.ports import LOOPBACK, check_port_is_free
from tailrace.cli.local.process import ChildProcess
from tailrace.cli.local.state import ProcessState


@dataclass(frozen=True, kw_only=True)
class WorkerProcess:
    """One of the workers that a gateway consists of.

    Attributes:
        name: such as `gateway-1`.
        pid: its process id.
        port: the gRPC port on which it alone answers.
        metrics_port: its metrics port.
    """

    name: str
    pid: int
    port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """Where to reach it alone, as `host:port`."""
        return f"{LOOPBACK}:{self.port}"


class MeshProcess:
    """A `tailrace serve SERVICE` that listens on loopback.

    It says where it listens by a ready file; that it listens does not mean that it is
    healthy, which its health service tells. After `stop` or `kill` it can be started
    again, and then takes the same ports.

    Attributes:
        service: `ingest`, `features`, `inference`, `postprocess` or `gateway`.
        process: the process underneath.
        port: the real gRPC port once it is ready; before that the one asked for.
        metrics_port: the real metrics port once it is ready; before that the one asked for. A
            gateway with several workers has none, but each of them has.
        workers: those workers, as of the last `wait_ready` or `look_for_workers`.
    """

    def __init__(
        self,
        service: str,
        *,
        run_dir: Path,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        metrics_port: int = 0,
        name: str = "",
        module: str = "tailrace.cli",
    ) -> None:
        """Describes the process; `start` starts it.

        Args:
            service: which service to serve.
            run_dir: folder for its ready file and its log, `NAME.ready.json` and `NAME.log`.
            settings: its settings, as environment variables (`TAILRACE_...`).
            port: gRPC port; 0 for a free one.
            metrics_port: metrics port; 0 for a free one.
            name: what to call it, where one service has several replicas; the service's
                name by default.
            module: what Python runs, with `serve SERVICE`.
        """
        self.service = service
        self.port = port
        self.metrics_port = metrics_port
        self.workers: tuple[WorkerProcess, ...] = ()
        self._name = name or service
        self._module = module
        self._run_dir = run_dir
        self._ready_file = run_dir / f"{self._name}.ready.json"
        self._settings = dict(settings or {})
        self.process = self._describe_process()

    @property
    def target(self) -> str:
        """Where to reach it, as `host:port`; real once it is ready."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def workers_target(self) -> str:
        """GRPC target by which a caller takes turns among the workers, or reaches the only one."""
        return balanced_target([worker.target for worker in self.workers] or [self.target])

    def start(self, timeout_s: float = 30.0) -> None:
        """Starts it and returns once it listens; `launch` and `wait_ready` in one."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Starts it and returns at once; from the main thread only."""
        self._ready_file.unlink(missing_ok=True)
        self.process = self._describe_process()
        self.process.start()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Returns once it listens and its ports are known; blocks, on any thread.

        Raises:
            PortInUse: if another process has one of its ports.
            ProcessExited: if it ends for another reason; its last words, such as those about
                bad settings, are part of the error.
            NotReady: if it does not listen within `timeout_s` seconds.
        """
        try:
            ready = self.process.wait_until(
                self._read_ready_file, timeout_s=timeout_s, waiting_for=str(self._ready_file)
            )
        except ProcessExited:
            for port in (self.port, self.metrics_port):
                check_port_is_free(self._name, port)
            raise
        self.port = ready["port"]
        self.metrics_port = ready["metrics_port"] or self.metrics_port
        self.workers = _workers(ready)

    def look_for_workers(self) -> bool:
        """Reads anew which workers listen; true if they are others than before."""
        ready = self._read_ready_file()
        if ready is None or _workers(ready) == self.workers:
            return False
        self.workers = _workers(ready)
        return True

    def stop(self, grace_s: float = 15.0) -> None:
        """Lets it drain, and ends it after `grace_s` seconds at the latest."""
        self.process.stop(grace_s)
        self._ready_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would."""
        self.process.kill()

    def states(self) -> list[ProcessState]:
        """Returns what the state file is to say of it: itself, then the workers it consists of.

        Raises:
            psutil.NoSuchProcess: if it does not run.
        """
        log_path = self.process.log_path
        # The parent of workers has none, whatever it was asked to give them.
        metrics_port = None if self.workers else self.metrics_port or None
        itself = ProcessState.of_running(
            self._name,
            self.process.pid,
            log_path=log_path,
            grpc_port=self.port,
            metrics_port=metrics_port,
        )
        states = [itself]
        for worker in self.workers:
            # One that has ended a moment ago is about to be started again.
            with contextlib.suppress(psutil.NoSuchProcess):
                state = ProcessState.of_running(
                    worker.name,
                    worker.pid,
                    log_path=log_path,
                    grpc_port=worker.port,
                    metrics_port=worker.metrics_port,
                )
                states.append(state)
        return states

    def _describe_process(self) -> ChildProcess:
        return ChildProcess(
            self._name,
            [sys.executable, "-m", self._module, "serve", self.service],
            log_path=self._run_dir / f"{self._name}.log",
            env={
                "TAILRACE_HOST": LOOPBACK,
                **self._settings,
                "TAILRACE_PORT": str(self.port),
                "TAILRACE_METRICS_PORT": str(self.metrics_port),
                "TAILRACE_READY_FILE": str(self._ready_file),
            },
        )

    def _read_ready_file(self) -> dict[str, Any] | None:
        try:
            ready: dict[str, Any] = json.loads(self._ready_file.read_bytes())
        except (FileNotFoundError, ValueError):
            # Not there yet, or not all of it.
            return None
        return ready if ready["pid"] == self.process.pid else None


def _workers(ready: Mapping[str, Any]) -> tuple[WorkerProcess, ...]:
    return tuple(WorkerProcess(**worker) for worker in ready.get("workers", ()))


def replica_name(service: str, number: int) -> str:
    """Returns what a replica is called: the first, 1, like its service, the second `NAME-2`."""
    return service if number == 1 else f"{service}-{number}"


def balanced_target(targets: Sequence[str]) -> str:
    """Returns the gRPC target of several addresses `host:port`, of IPv4; at least one."""
    return targets[0] if len(targets) == 1 else f"ipv4:{','.join(targets)}"
