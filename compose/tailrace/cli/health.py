"""Asks processes over gRPC whether they can serve."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.cli.local.errors import LaunchError
from tailrace.runtime.config import TransportSettings
from tailrace.runtime.credentials import open_channel

SERVING = "SERVING"
_ASK_TIMEOUT_S = 2.0
_POLL_INTERVAL_S = 0.05


class NotServing(LaunchError):
    """A process listens, and does not become able to serve.

    Attributes:
        process: name of the process.
        state: what it last said, such as `NOT_SERVING`.
        timeout_s: how long it was asked, in seconds.
    """

    def __init__(self, process: str, *, state: str, timeout_s: float) -> None:
        self.process = process
        self.state = state
        self.timeout_s = timeout_s
        super().__init__(f"{process} still answers {state} after {timeout_s:g} s")


async def ask_health(channel: grpc.aio.Channel, timeout_s: float = _ASK_TIMEOUT_S) -> str:
    """Returns what the process at the other end says of itself as a whole.

    That is `SERVING`, `NOT_SERVING` or another state of `grpc.health.v1`, or else why there
    was no answer, such as `UNAVAILABLE`.
    """
    # The published types of this stub leave its methods out.
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


async def ask_health_at(target: str, transport: TransportSettings) -> str:
    """Returns what `ask_health` does, over a channel of its own."""
    async with open_channel(target, transport, []) as channel:
        return await ask_health(channel)


async def wait_serving(
    process: str, target: str, transport: TransportSettings, timeout_s: float
) -> None:
    """Returns once the process can serve.

    Args:
        process: name of the process, for the error.
        target: where it is.
        transport: credentials.
        timeout_s: how long to ask, in seconds.

    Raises:
        NotServing: if it cannot in time.
    """
    give_up_at = time.monotonic() + timeout_s
    async with open_channel(target, transport, []) as channel:
        while (state := await ask_health(channel)) != SERVING:
            if time.monotonic() >= give_up_at:
                raise NotServing(process, state=state, timeout_s=timeout_s)
            await asyncio.sleep(_POLL_INTERVAL_S)
