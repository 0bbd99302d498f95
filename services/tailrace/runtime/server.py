"""The life of a gRPC process: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tailrace.runtime.accepting import Accepting
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.credentials import bind
from tailrace.runtime.error_mapping import MappingServer
from tailrace.runtime.garbage import spare_what_stays
from tailrace.runtime.health import HealthService
from tailrace.runtime.loop_probe import probe_loop
from tailrace.runtime.metrics import tell_build
from tailrace.runtime.metrics_port import MetricsPort
from tailrace.runtime.ready_file import write_ready_file
from tailrace.runtime.reflected_symbols import reflected_symbols
from tailrace.runtime.start_error import StartError as StartError
from tailrace.runtime.start_error import port_in_use

HANDSHAKE_TIMEOUT_MS = 5_000

_log = structlog.get_logger(__name__)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class GrpcServer:
    """One gRPC port with health, reflection and metrics, drained on SIGTERM and SIGINT.

    One that joins a port has a second one, on which it alone answers.

    The process is not serving until `set_serving(True)`, and tells so through the standard
    health service, for itself (the empty name) and for each of its services.

    Attributes:
        draining: set once the process is to end.
    """

    def __init__(
        self,
        settings: ServerSettings,
        service: str,
        service_names: tuple[str, ...],
        add_servicers: Callable[[grpc.aio.Server], None],
    ) -> None:
        """Builds the server; nothing is bound before `start`.

        Args:
            settings: ports, limits, credentials.
            service: short name of the process, such as `ingest`.
            service_names: full names of the gRPC services it offers.
            add_servicers: registers their servicers.
        """
        self._settings = settings
        self._service = service
        self._names = ("", *service_names)
        self._health = HealthService()
        self._server = grpc.aio.server(
            options=_server_options(settings),
            maximum_concurrent_rpcs=settings.max_concurrent_calls,
        )
        mapping = MappingServer(self._server)
        add_servicers(mapping.in_its_place())
        # Health checks have no need to be accepted ahead.
        self._accepted_ahead = dict(mapping.unary), dict(mapping.begins)
        self._accepting = Accepting(self._server, settings.max_concurrent_calls)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, mapping.in_its_place())
        if settings.reflection:
            names = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server, reflected_symbols())
        self._metrics: MetricsPort | None = None
        self._probe: asyncio.Task[None] | None = None
        self._serving: bool | None = None
        self.draining = asyncio.Event()
        self.port = 0
        self.own_port = 0

    async def start(self) -> None:
        """Binds the ports and begins to answer. Raises StartError if one is in use."""
        settings = self._settings
        self.port = self.own_port = self._bind(settings.port, "TAILRACE_PORT")
        if settings.join_port:
            self.own_port = self._bind(settings.own_port, "TAILRACE_OWN_PORT")
        try:
            self._metrics = MetricsPort(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            raise StartError(
                f"{self._service}: cannot listen for metrics on {settings.metrics_host}:"
                f"{settings.metrics_port}: {error.strerror}; choose another with "
                "TAILRACE_METRICS_PORT, or 0 for any free one"
            ) from error
        tell_build(self._service, settings.environment)
        self._probe = asyncio.create_task(
            probe_loop(settings.event_loop_probe_ms / 1000), name="probe the event loop"
        )
        await self.set_serving(False)
        await self._server.start()
        self._accepting.start(*self._accepted_ahead)
        spare_what_stays()
        self._write_ready_file()
        _log.info("listening", port=self.port, metrics_port=self._metrics.port)

    async def set_serving(self, serving: bool) -> None:
        """Tells health checks whether this process can serve; false for good once it drains."""
        serving = serving and not self.draining.is_set()
        if serving == self._serving:
            return
        self._serving = serving
        for name in self._names:
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)
        _log.info("serving" if serving else "not serving")

    async def serve_until_signalled(self) -> None:
        """Returns after SIGTERM or SIGINT, once calls in flight are done or out of grace.

        The metrics can still be read; `close` ends that, once all else has ended.
        """
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await stopped.wait()
        await self.drain()

    async def drain(self) -> None:
        """Says NOT_SERVING first, then lets calls in flight finish within the grace."""
        self.draining.set()
        await self.set_serving(False)
        self._health.end()
        _log.info("draining", grace_ms=self._settings.drain_grace_ms)
        await self._server.stop(self._settings.drain_grace_ms / 1000)
        await self._accepting.stop()

    async def close(self) -> None:
        """Closes the metrics port, and takes the ready file away: the process has ended."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
            self._metrics = None
        if self._settings.ready_file is not None:
            self._settings.ready_file.unlink(missing_ok=True)
        _log.info("stopped")

    def _bind(self, port: int, setting: str) -> int:
        try:
            return bind(self._server, self._settings, port)
        except RuntimeError as error:
            raise port_in_use(self._service, self._settings.host, port, setting) from error

    def _write_ready_file(self) -> None:
        if self._settings.ready_file is None or self._metrics is None:
            return
        content = {
            "pid": os.getpid(),
            "service": self._service,
            "port": self.port,
            "own_port": self.own_port,
            "metrics_port": self._metrics.port,
        }
        write_ready_file(self._settings.ready_file, content)


@contextlib.asynccontextmanager
async def background(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs jobs beside the body and cancels them after it; a job that fails ends the body."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs]
        yield
        for task in tasks:
            task.cancel()


def _server_options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        # Off, so that a forgotten process cannot take a silent share of the traffic.
        ("grpc.so_reuseport", int(settings.join_port)),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        # Beyond 1,000 calls not yet taken in, gRPC by itself ends some with CANCELLED, and no word.
        # How many may be there is ours to say, with an error that tells why.
        ("grpc.server.max_pending_requests", settings.max_concurrent_calls),
        ("grpc.server.max_pending_requests_hard_limit", settings.max_concurrent_calls),
        # Whoever connects and says nothing is let go, and holds up no drain for its whole grace.
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        # Allows the keepalive of our own channels.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 4_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),
    ]
