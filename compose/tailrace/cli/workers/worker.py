"""One worker of the gateway: a process of its own that joins the port of all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tailrace.cli.local.lifeline import tied

_POLL_INTERVAL_S = 0.02


class WorkerEnded(Exception):
    """A worker has ended before it listened.

    Attributes:
        name: of the worker.
        exit_status: its exit code, or minus the number of the signal that ended it.
    """

    def __init__(self, name: str, exit_status: int) -> None:
        self.name = name
        self.exit_status = exit_status
        super().__init__(f"{name} ended with status {exit_status} before it listened")


@dataclass(frozen=True, kw_only=True)
class WorkerPorts:
    """Ports of one worker.

    Attributes:
        shared: the gRPC port of all workers.
        own: the gRPC port on which this one alone answers; 0 for a free one.
        metrics: its Prometheus port; 0 for a free one.
    """

    shared: int
    own: int
    metrics: int


class Worker:
    """A `tailrace serve gateway` with this process's settings and output; it dies with this one.

    Attributes:
        name: such as `gateway-1`.
        ports: the real ones while it listens; None before and after.
    """

    def __init__(self, name: str, ports: WorkerPorts, folder: Path) -> None:
        """Describes the worker; `launch` starts it.

        Args:
            name: such as `gateway-1`.
            ports: those to take.
            folder: for its ready file.
        """
        self.name = name
        self.ports: WorkerPorts | None = None
        self._wanted = ports
        self._ready_file = folder / f"{name}.worker.json"
        self._process: asyncio.subprocess.Process | None = None
        self._listening_since = 0.0

    @property
    def pid(self) -> int:
        """Process id of the current or last run."""
        return self._started().pid

    async def launch(self) -> None:
        """Starts it and returns at once; from the main thread only."""
        self._ready_file.unlink(missing_ok=True)
        # A fresh interpreter: gRPC does not survive a fork of a process that has used it.
        self._process = await asyncio.create_subprocess_exec(
            *tied([sys.executable, "-m", "tailrace.cli", "serve", "gateway"]),
            env={**os.environ, **self._settings()},
        )

    async def wait_listening(self) -> None:
        """Returns once it listens and `ports` are known. Raises WorkerEnded if it ends first."""
        while (ports := self._read_ready_file()) is None:
            status = self._started().returncode
            if status is not None:
                raise WorkerEnded(self.name, status)
            await asyncio.sleep(_POLL_INTERVAL_S)
        self.ports = ports
        self._listening_since = time.monotonic()

    async def wait(self) -> int:
        """Returns the exit status once it has ended; negative if a signal ended it."""
        status = await self._started().wait()
        self.ports = None
        return status

    @property
    def listened_s(self) -> float:
        """For how long it has listened in its current or last run, in seconds."""
        return time.monotonic() - self._listening_since

    async def stop(self, grace_s: float) -> bool:
        """Lets it drain; true if it has ended within `grace_s` seconds, else it was killed."""
        if self._process is None:
            return True
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), grace_s)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.wait()
            return False
        finally:
            self._ready_file.unlink(missing_ok=True)
        return True

    def _signal(self, number: signal.Signals) -> None:
        # Not by the process object, which might reap the worker before asyncio does.
        if self._started().returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _settings(self) -> dict[str, str]:
        return {
            "TAILRACE_WORKERS": "1",
            "TAILRACE_JOIN_PORT": "true",
            "TAILRACE_PORT": str(self._wanted.shared),
            "TAILRACE_OWN_PORT": str(self._wanted.own),
            "TAILRACE_METRICS_PORT": str(self._wanted.metrics),
            "TAILRACE_READY_FILE": str(self._ready_file),
        }

    def _read_ready_file(self) -> WorkerPorts | None:
        try:
            ready = json.loads(self._ready_file.read_bytes())
        except FileNotFoundError:
            return None
        if ready["pid"] != self.pid:
            return None
        return WorkerPorts(
            shared=ready["port"], own=ready["own_port"], metrics=ready["metrics_port"]
        )

    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process
