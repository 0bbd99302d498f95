"""One of the mesh's own services, or the gateway, as a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tailrace.cli.local.errors import ProcessExited
from tailrace.cli.local.ports import LOOPBACK, check_port_is_free
from tailrace.cli.local.process import ChildProcess


class MeshProcess:
    """A `tailrace serve SERVICE` that listens on loopback.

    It says where it listens by a ready file; that it listens does not mean that it is
    healthy, which its health service tells. After `stop` or `kill` it can be started
    again, and then takes the same ports.

    Attributes:
        service: `ingest`, `features`, `inference`, `postprocess` or `gateway`.
        process: the process underneath.
        port: the real gRPC port once it is ready; before that the one asked for.
        metrics_port: the real metrics port once it is ready; before that the one asked for.
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
        """
        self.service = service
        self.port = port
        self.metrics_port = metrics_port
        self._name = name or service
        self._run_dir = run_dir
        self._ready_file = run_dir / f"{self._name}.ready.json"
        self._settings = dict(settings or {})
        self.process = self._describe_process()

    @property
    def target(self) -> str:
        """Where to reach it, as `host:port`; real once it is ready."""
        return f"{LOOPBACK}:{self.port}"

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
            self.port, self.metrics_port = self.process.wait_until(
                self._read_ready_file, timeout_s=timeout_s, waiting_for=str(self._ready_file)
            )
        except ProcessExited:
            for port in (self.port, self.metrics_port):
                check_port_is_free(self._name, port)
            raise

    def stop(self, grace_s: float = 15.0) -> None:
        """Lets it drain, and ends it after `grace_s` seconds at the latest."""
        self.process.stop(grace_s)
        self._ready_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would."""
        self.process.kill()

    def _describe_process(self) -> ChildProcess:
        return ChildProcess(
            self._name,
            [sys.executable, "-m", "tailrace.cli", "serve", self.service],
            log_path=self._run_dir / f"{self._name}.log",
            env={
                "TAILRACE_HOST": LOOPBACK,
                **self._settings,
                "TAILRACE_PORT": str(self.port),
                "TAILRACE_METRICS_PORT": str(self.metrics_port),
                "TAILRACE_READY_FILE": str(self._ready_file),
            },
        )

    def _read_ready_file(self) -> tuple[int, int] | None:
        try:
            ready = json.loads(self._ready_file.read_bytes())
        except (FileNotFoundError, ValueError):
            # Not there yet, or not all of it.
            return None
        if ready["pid"] != self.process.pid:
            return None
        return int(ready["port"]), int(ready["metrics_port"])
