"""The parent of the gateway's workers: starts them, keeps them running, drains them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import structlog

from tailrace.cli.first_done import first_done
from tailrace.cli.workers.backoff import Backoff
from tailrace.cli.workers.held_port import held_port
from tailrace.cli.workers.worker import Worker, WorkerEnded, WorkerPorts
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.ready_file import write_ready_file
from tailrace.runtime.start_error import StartError, port_in_use

_LARGEST_PORT = 65_535
# What a worker needs beside its grace to end.
_ENDING_S = 5.0

_log = structlog.get_logger(__name__)


class Supervisor:
    """Keeps several workers on one port until it is told to stop.

    Workers that end are started again, one by one, while the others go on serving. It holds no
    requests and does not import gRPC.
    """

    def __init__(self, settings: GatewaySettings, port: int, folder: Path) -> None:
        """Describes the workers; `run` starts them.

        Args:
            settings: of the gateway.
            port: the port they share; held by the caller.
            folder: for their ready files.
        """
        self._settings = settings
        self._port = port
        self._workers = [
            Worker(f"gateway-{number}", ports_of(settings, port, number), folder)
            for number in range(1, settings.workers + 1)
        ]

    async def run(self) -> int:
        """Serves until SIGTERM or SIGINT.

        Returns:
            The exit status: 0 after all have drained; that of a worker which could not start
            at first, after it has said why; 1 if one had to be killed.
        """
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        status = 0
        try:
            await first_done(self._start(), stopped.wait())
            if not stopped.is_set():
                self._write_ready_file()
                _log.info("listening", port=self._port, workers=len(self._workers))
                await first_done(*(self._keep(worker) for worker in self._workers), stopped.wait())
        except WorkerEnded as error:
            _log.error("worker did not start", worker=error.name, exit_status=error.exit_status)
            status = error.exit_status if error.exit_status > 0 else 1
        finally:
            drained = await self._drain()
        return status or (0 if drained else 1)

    async def _start(self) -> None:
        for worker in self._workers:
            await worker.launch()
        waiting = [asyncio.ensure_future(worker.wait_listening()) for worker in self._workers]
        try:
            await asyncio.gather(*waiting)
        finally:
            for one in waiting:
                one.cancel()

    async def _keep(self, worker: Worker) -> None:
        backoff = Backoff()
        while True:
            pid, listened = worker.pid, worker.ports is not None
            status = await worker.wait()
            wait_s = backoff.after(worker.listened_s if listened else 0.0)
            self._write_ready_file()
            _log.error(
                "worker ended",
                worker=worker.name,
                worker_pid=pid,
                exit_status=status,
                restart_after_s=wait_s,
            )
            await asyncio.sleep(wait_s)
            await worker.launch()
            # One that ends at once is told, and waited for longer, like any other that ends.
            with contextlib.suppress(WorkerEnded):
                await worker.wait_listening()
                self._write_ready_file()
                _log.info("worker started again", worker=worker.name, worker_pid=worker.pid)

    async def _drain(self) -> bool:
        _log.info("draining", workers=len(self._workers))
        grace_s = self._settings.drain_grace_ms / 1000 + _ENDING_S
        drained = await asyncio.gather(*(worker.stop(grace_s) for worker in self._workers))
        if self._settings.ready_file is not None:
            self._settings.ready_file.unlink(missing_ok=True)
        killed = [
            worker.name for worker, done in zip(self._workers, drained, strict=True) if not done
        ]
        if killed:
            _log.error("workers killed, as they did not drain in time", workers=killed)
        _log.info("stopped")
        return not killed

    def _write_ready_file(self) -> None:
        if self._settings.ready_file is None:
            return
        content = {
            "pid": os.getpid(),
            "service": "gateway",
            "port": self._port,
            "own_port": self._port,
            "metrics_port": None,
            "workers": [
                {
                    "name": worker.name,
                    "pid": worker.pid,
                    "port": worker.ports.own,
                    "metrics_port": worker.ports.metrics,
                }
                for worker in self._workers
                if worker.ports is not None
            ],
        }
        write_ready_file(self._settings.ready_file, content)


def ports_of(settings: GatewaySettings, shared: int, number: int) -> WorkerPorts:
    """Returns the ports of a worker: those of the gateway plus the worker's number, from 1."""
    return WorkerPorts(
        shared=shared,
        own=settings.own_port and settings.own_port + number,
        metrics=settings.metrics_port and settings.metrics_port + number,
    )


def run_workers(settings: GatewaySettings) -> int:
    """Serves by `settings.workers` processes on one port until SIGTERM or SIGINT.

    Returns:
        The exit status, as `Supervisor.run` tells.

    Raises:
        StartError: the port is in use, the numbers of the workers' ports are too high, or this
            system does not share ports between processes as Linux does.
    """
    if sys.platform != "linux":
        raise StartError("gateway: several workers need Linux; set TAILRACE_WORKERS=1")
    for name in ("own_port", "metrics_port"):
        last = getattr(settings, name) + settings.workers
        if last > _LARGEST_PORT:
            raise StartError(
                f"gateway: TAILRACE_{name.upper()} is too high for {settings.workers} workers, the "
                f"last of which would take {last}"
            )
    with contextlib.ExitStack() as stack:
        try:
            port = stack.enter_context(held_port(settings.host, settings.port))
        except OSError as error:
            raise port_in_use("gateway", settings.host, settings.port) from error
        beside = settings.ready_file.parent if settings.ready_file else None
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="tailrace-workers-", dir=beside)
        )
        # Not uvloop, which forks where this vforks.
        return asyncio.run(Supervisor(settings, port, Path(folder)).run())
