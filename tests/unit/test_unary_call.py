"""Unary calls end alike in every way that they can be driven."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.runtime import accepting, event_loop
from tailrace.runtime.accepting import Accepting
from tailrace.runtime.call_count import CallCount
from tailrace.runtime.error_mapping import MappingServer, also_begun_by, error_of
from tailrace.runtime.errors import Code, InvalidField, Overloaded, Reason, TailraceError

METHOD = "/grpc.health.v1.Health/Check"
SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
WAYS = ["as gRPC does", "in a task", "directly"]


def _error(word: str) -> Exception | None:
    match word:
        case "invalid":
            return InvalidField("not like this", field="service")
        case "overloaded":
            return Overloaded("come back", reason=Reason.QUEUE_FULL, retry_after_ms=7)
        case "unexpected":
            return RuntimeError("nobody is to see this")
    return None


class _InTasks(health_pb2_grpc.HealthServicer):
    """Does what the request's word says."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.go_on = asyncio.Event()
        self.remaining_s: float | None = None
        self.metadata: dict[str, Any] = {}

    def look_at(self, call: Any) -> None:
        self.remaining_s = call.time_remaining()
        self.metadata = dict(call.invocation_metadata())

    async def Check(self, request: Any, context: Any) -> Any:
        self.look_at(context)
        error = _error(request.service)
        if error is not None:
            raise error
        match request.service:
            case "wait":
                self.arrived.set()
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.left.set()
                    raise
            case "abort":
                trailing = (("why", "because"),)
                await context.abort(grpc.StatusCode.NOT_FOUND, "not here", trailing)
            case "code":
                context.set_code(grpc.StatusCode.DATA_LOSS)
                context.set_details("gone")
            case "trailing":
                context.set_trailing_metadata((("why", "because"),))
            case "not a message":
                return 5
        return SERVING


class _Direct(_InTasks):
    begun = 0

    def begin(self, data: bytes, call: Any) -> None:
        self.begun += 1
        word = health_pb2.HealthCheckRequest.FromString(data).service
        self.look_at(call)
        error = _error(word)
        if isinstance(error, TailraceError):
            # Later, as most do; the others on the spot.
            asyncio.get_running_loop().call_soon(call.fail, error)
        elif error is not None:
            raise error
        elif word == "wait":
            call.abandon = self.left.set
            waiting = asyncio.ensure_future(self.go_on.wait())
            waiting.add_done_callback(lambda _: call.answer(SERVING))
            self.arrived.set()
        else:
            call.answer(5 if word == "not a message" else SERVING)
            call.fail(InvalidField("too late"))

    @also_begun_by(begin)
    async def Check(self, request: Any, context: Any) -> Any:
        return await super().Check(request, context)


class _Served:
    def __init__(self, way: str) -> None:
        self.servicer = _Direct() if way == "directly" else _InTasks()
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        mapping = MappingServer(self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, mapping.in_its_place())
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.accepting = Accepting(self.server, 1000)
        self.mapping = mapping
        self.way = way

    async def start(self) -> None:
        await self.server.start()
        if self.way != "as gRPC does":
            self.accepting.start(self.mapping.unary, self.mapping.begins)

    async def stop(self, grace_s: float | None) -> None:
        await self.server.stop(grace_s)
        await self.accepting.stop()


@contextlib.asynccontextmanager
async def _serve(way: str) -> AsyncIterator[tuple[_Served, Callable[..., Any]]]:
    served = _Served(way)
    await served.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        await channel.channel_ready()
        stub: Any = health_pb2_grpc.HealthStub(channel)

        def call(word: str, **options: Any) -> Any:
            options.setdefault("timeout", 20)
            return stub.Check(health_pb2.HealthCheckRequest(service=word), **options)

        # The server's own request for a call stands first; the next ones are those ahead.
        await call("x")
        try:
            yield served, call
        finally:
            await served.stop(None)
    assert not served.accepting.busy
    assert not isinstance(served.servicer, _Direct) or served.servicer.begun


async def _failure(call: Any) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing: Any = caught.value.trailing_metadata() or ()
    return caught.value.code(), caught.value.details() or "", dict(trailing)


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_arrives_and_the_handler_knows_its_call(way: str) -> None:
    async with _serve(way) as (served, call):
        assert await call("x", timeout=15, metadata=(("traceparent", "t"),)) == SERVING
        assert served.servicer.remaining_s is not None
        # Rounded up on the wire.
        assert 10 < served.servicer.remaining_s < 16
        assert served.servicer.metadata["traceparent"] == "t"
        assert await call("x", timeout=None) == SERVING
        remaining_s: Any = served.servicer.remaining_s
        assert remaining_s is None
    assert CallCount.in_flight == 0


@pytest.mark.parametrize("way", WAYS)
async def test_errors_arrive_with_their_details(way: str) -> None:
    async with _serve(way) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call("invalid")
        error = error_of(caught.value)
        assert (error.code, error.message, error.field) == (
            Code.INVALID_ARGUMENT,
            "not like this",
            "service",
        )
        code, details, trailing = await _failure(call("overloaded"))
        assert (code, details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "come back")
        assert trailing["grpc-retry-pushback-ms"] == "7"
        code, details, _ = await _failure(call("unexpected"))
        assert code is grpc.StatusCode.INTERNAL
        assert "nobody" not in details
    assert CallCount.in_flight == 0


@pytest.mark.parametrize("way", WAYS[1:])
async def test_an_answer_that_cannot_be_written_is_an_error(way: str) -> None:
    async with _serve(way) as (_, call):
        code, details, _ = await _failure(call("not a message"))
        assert code is grpc.StatusCode.INTERNAL
        assert details.startswith("internal error")


@pytest.mark.parametrize("way", WAYS[:2])
async def test_what_a_handler_does_with_its_context_arrives(way: str) -> None:
    async with _serve(way) as (_, call):
        code, details, trailing = await _failure(call("abort"))
        assert (code, details) == (grpc.StatusCode.NOT_FOUND, "not here")
        assert trailing["why"] == "because"
        code, details, _ = await _failure(call("code"))
        assert (code, details) == (grpc.StatusCode.DATA_LOSS, "gone")
        answered = call("trailing")
        assert await answered == SERVING
        assert dict(await answered.trailing_metadata())["why"] == "because"


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_who_leaves_ends_the_work(way: str) -> None:
    async with _serve(way) as (served, call):
        waiting = call("wait")
        await served.servicer.arrived.wait()
        waiting.cancel()
        await asyncio.wait_for(served.servicer.left.wait(), 30)
        assert await call("x") == SERVING
    assert CallCount.in_flight == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_callers_deadline_ends_the_work(way: str) -> None:
    async with _serve(way) as (served, call):
        code, _, _ = await _failure(call("wait", timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(served.servicer.left.wait(), 30)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_in_flight_is_answered_while_the_server_stops(way: str) -> None:
    async with _serve(way) as (served, call):
        waiting = asyncio.ensure_future(_answer(call("wait")))
        await served.servicer.arrived.wait()
        stopping = asyncio.ensure_future(served.stop(20))
        await asyncio.sleep(0)
        served.servicer.go_on.set()
        assert await waiting == SERVING
        await stopping


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_outlasts_the_grace_is_cancelled(way: str) -> None:
    async with _serve(way) as (served, call):
        waiting = asyncio.ensure_future(_failure(call("wait")))
        await served.servicer.arrived.wait()
        await served.stop(0.1)
        code, _, _ = await waiting
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await asyncio.wait_for(served.servicer.left.wait(), 30)
        # Who is late is not to disturb a server that is no more.
        served.servicer.go_on.set()


async def test_without_the_inside_of_grpc_calls_are_served_as_grpc_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_OF_MODULE", ("no_longer_there",))
    served = _Served("in a task")
    await served.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert await stub.Check(health_pb2.HealthCheckRequest(), timeout=20) == SERVING
    await served.stop(None)
    assert not served.accepting._standing


def test_wake_ups_do_not_pile_up() -> None:
    class Loop(event_loop.ServingLoop):
        wakeups: socket.socket

        def add_reader(  # type: ignore[override]  # as in the loop itself
            self, fd: Any, callback: Any, *args: Any
        ) -> None:
            if event_loop._is_grpc_reader(callback):
                Loop.wakeups = fd
            super().add_reader(fd, callback, *args)

    async def run() -> int:
        async with _serve("in a task") as (_, call):
            await asyncio.gather(*(_answer(call("x")) for _ in range(100)))
            with contextlib.suppress(BlockingIOError):
                if not hasattr(Loop, "wakeups"):
                    pytest.skip("gRPC's reader belongs to another loop of this process")
                return len(Loop.wakeups.recv(4096, socket.MSG_PEEK))
            return 0

    with asyncio.Runner(loop_factory=Loop) as runner:
        # A hundred calls have some 600 events on their two sides.
        assert runner.run(run()) < 50


async def _answer(call: Any) -> Any:
    return await call
