"""The standard health service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from grpc_health.v1 import health, health_pb2


class HealthService(health.aio.HealthServicer):
    """Tells every watcher of every change, and lets them go at the end.

    The servicer of grpcio-health-checking forgets all watchers of a service as soon as one of
    them leaves, and its watchers keep a server that stops waiting for its whole grace:
    https://github.com/grpc/grpc/blob/master/src/python/grpcio_health_checking/grpc_health/v1/_async.py
    """

    def __init__(self) -> None:
        """Starts without services."""
        super().__init__()
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._ended = False

    async def set(self, service: str, status: int) -> None:
        """Sets the status of a service."""
        await super().set(service, status)
        self._statuses[service] = status
        self._wake()

    def end(self) -> None:
        """Ends all watches, once each has been told the last status."""
        self._ended = True
        self._wake()

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Sends the status of a service now and whenever it changes."""
        told: int | None = None
        while True:
            changed = self._changed
            status = self._statuses.get(
                request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            )
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            # What changed while this was written is looked at before the wait.
            if changed.is_set():
                continue
            if self._ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
