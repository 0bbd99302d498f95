"""Many calls reach a server whose event loop has long turns."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.runtime import event_loop
from tailrace.runtime.accepting import ACCEPTED_AHEAD, Accepting
from tailrace.runtime.error_mapping import MappingServer

CALLS = 2 * ACCEPTED_AHEAD


class _Gathering(health_pb2_grpc.HealthServicer):
    """Answers nobody before all have arrived."""

    def __init__(self) -> None:
        self.arrived = 0
        self.all_here = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> Any:
        self.arrived += 1
        if self.arrived == CALLS:
            self.all_here.set()
        await self.all_here.wait()
        return health_pb2.HealthCheckResponse()


async def _turns_until_all_have_arrived(*, ahead: bool) -> int:
    servicer, server = _Gathering(), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    mapping, accepting = MappingServer(server), Accepting(server, 1000)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, mapping.in_its_place())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    if ahead:
        accepting.start(mapping.unary, mapping.begins)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        await channel.channel_ready()
        calls = [stub.Check(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(CALLS)]
        waiting = asyncio.gather(*calls)
        turns = 0
        while not servicer.all_here.is_set():
            turns += 1
            time.sleep(0.002)  # noqa: ASYNC251  # work that keeps the loop busy
            await asyncio.sleep(0)
        answers = await waiting
        assert len(answers) == CALLS
    await server.stop(1)
    await accepting.stop()
    assert not accepting.busy
    return turns


def test_calls_are_taken_in_together() -> None:
    # One at a time, each takes several turns.
    one_by_one = event_loop.run(_turns_until_all_have_arrived(ahead=False))
    together = event_loop.run(_turns_until_all_have_arrived(ahead=True))
    assert one_by_one > 2 * CALLS
    assert together < CALLS


def test_what_stands_ends_with_the_server() -> None:
    async def run() -> set[asyncio.Task[Any]]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        mapping, accepting = MappingServer(server), Accepting(server, 1000)
        health_pb2_grpc.add_HealthServicer_to_server(_Gathering(), mapping.in_its_place())
        server.add_insecure_port("127.0.0.1:0")
        await server.start()
        accepting.start(mapping.unary, mapping.begins)
        before = asyncio.all_tasks()
        assert len(before) > ACCEPTED_AHEAD
        await server.stop(1)
        await accepting.stop()
        return {task for task in asyncio.all_tasks() if "Accepting._accept" in repr(task)}

    assert event_loop.run(run()) == set()


async def test_more_calls_than_allowed_are_refused() -> None:
    servicer, server = _Gathering(), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    mapping, accepting = MappingServer(server), Accepting(server, 3)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, mapping.in_its_place())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    accepting.start(mapping.unary, mapping.begins)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        calls = [stub.Check(request, timeout=60) for _ in range(12)]
        codes = [
            code for code in await asyncio.gather(*(_code_soon(call) for call in calls)) if code
        ]
        assert codes and set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        for call in calls:
            call.cancel()
    await server.stop(1)
    await accepting.stop()


async def _code_soon(call: Any) -> grpc.StatusCode | None:
    code: asyncio.Future[grpc.StatusCode] = asyncio.ensure_future(call.code())
    done, _ = await asyncio.wait([code], timeout=2)
    if not done:
        code.cancel()
        return None
    return code.result()
