"""A gRPC receiver on loopback that keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.rpc import status_pb2

from tailrace.runtime.error_mapping import STATUS_DETAILS_KEY
from tailrace.v1 import callback_receiver_pb2 as messages
from tailrace.v1 import callback_receiver_pb2_grpc as stubs

OK = status_pb2.Status()


@dataclass
class GrpcReceiver(stubs.CallbackReceiverServicer):
    """Answers with what `answer` says of each delivery, OK by default, and keeps all of them.

    Attributes:
        port: where it listens.
        deliveries: what came, oldest first.
        batches: how many deliveries each call had.
        time_left_s: what each call's deadline left, or None.
        metadata: what came with each call.
        hold: while it is cleared, calls are not answered.
    """

    answer: Callable[[messages.Delivery], status_pb2.Status] = lambda _: OK
    port: int = 0
    deliveries: list[messages.Delivery] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    single_calls: int = 0
    time_left_s: list[float | None] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int, timeout_s: float = 20.0) -> None:
        """Returns once so many deliveries have come."""
        async with asyncio.timeout(timeout_s), self.arrived:
            await self.arrived.wait_for(lambda: len(self.deliveries) >= count)

    async def DeliverPrediction(
        self, request: messages.DeliverPredictionRequest, context: Any
    ) -> messages.DeliverPredictionResponse:
        """Takes one result."""
        self.single_calls += 1
        (status,) = await self._take([request.delivery], context)
        if status.code:
            code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
            details = (STATUS_DETAILS_KEY, status.SerializeToString())
            await context.abort(code, status.message, (details,))
        return messages.DeliverPredictionResponse()

    async def DeliverPredictions(
        self, request: messages.DeliverPredictionsRequest, context: Any
    ) -> messages.DeliverPredictionsResponse:
        """Takes many results."""
        statuses = await self._take(list(request.deliveries), context)
        return messages.DeliverPredictionsResponse(statuses=statuses)

    async def _take(
        self, deliveries: list[messages.Delivery], context: Any
    ) -> list[status_pb2.Status]:
        self.time_left_s.append(context.time_remaining())
        self.metadata.append(dict(context.invocation_metadata() or ()))
        async with self.arrived:
            self.deliveries += deliveries
            self.batches.append(len(deliveries))
            self.arrived.notify_all()
        await self.hold.wait()
        return [self.answer(delivery) for delivery in deliveries]


@contextlib.asynccontextmanager
async def grpc_receiver(
    answer: Callable[[messages.Delivery], status_pb2.Status] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: tuple[bytes, bytes] | None = None,
    compression: grpc.Compression | None = None,
) -> AsyncIterator[GrpcReceiver]:
    """Runs one on this loop.

    Args:
        answer: what to say of a delivery.
        host: an address to listen on.
        port: 0 for any.
        tls: private key and certificate chain, as PEM.
        compression: of its answers.
    """
    receiver = GrpcReceiver() if answer is None else GrpcReceiver(answer)
    receiver.hold.set()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], compression=compression)
    stubs.add_CallbackReceiverServicer_to_server(receiver, server)
    if tls is None:
        receiver.port = server.add_insecure_port(f"{host}:{port}")
    else:
        credentials = grpc.ssl_server_credentials([tls])
        receiver.port = server.add_secure_port(f"{host}:{port}", credentials)
    await server.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        await server.stop(None)
