"""Calls without grpc.aio's task end as calls with it do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from tailrace.runtime import unary_method
from tailrace.runtime.unary_method import UnaryMethod

SERVICE = "test.Service"


class _Service:
    """Answers with the request twice; does otherwise where the request says so."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def answer(self, data: bytes, context: Any) -> bytes:
        if data == b"fail":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", (("why-bin", b"\xff"),))
        if data == b"headers":
            found = {key: value for key, value in context.invocation_metadata() or ()}
            return str(found.get("traceparent", "none")).encode()
        if data == b"wait":
            self.entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return data + data


class _World:
    def __init__(self, service: _Service, method: Any, channel: grpc.aio.Channel) -> None:
        self.service, self.method, self.channel = service, method, channel


@pytest.fixture(params=["direct", "ordinary"])
async def world(request: Any) -> AsyncIterator[_World]:
    """A server and its method: called here, and as gRPC does it."""
    service = _Service()
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(service.answer)
    server.add_registered_method_handlers(SERVICE, {"Double": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = channel.unary_unary(  # type: ignore[call-arg]  # as generated stubs call it
            f"/{SERVICE}/Double",
            request_serializer=str.encode,
            response_deserializer=bytes.decode,
            _registered_method=True,
        )
        method = UnaryMethod(stub) if request.param == "direct" else stub
        yield _World(service, method, channel)
    await server.stop(None)


async def test_headers_go_with_the_call_that_they_are_given_to(world: _World) -> None:
    headers = (("traceparent", "00-1"), ("tracestate", "a=b"))
    assert await world.method("headers", timeout=5, metadata=headers) == "00-1"
    assert await world.method("headers", timeout=5) == "none"


async def test_the_response_is_returned(world: _World) -> None:
    assert await world.method("ab", timeout=5.0) == "abab"
    assert await asyncio.gather(*[world.method(str(n), timeout=5.0) for n in range(50)]) == [
        f"{n}{n}" for n in range(50)
    ]


async def test_what_the_service_says_of_a_failure_is_told(world: _World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.method("fail", timeout=5.0)
    error = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "no such thing"
    assert tuple(error.trailing_metadata()) == (("why-bin", b"\xff"),)


async def test_a_call_that_takes_too_long_fails(world: _World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.method("wait", timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await world.service.cancelled.wait()


async def test_the_service_is_told_of_a_caller_who_leaves(world: _World) -> None:
    async def call() -> Any:
        return await world.method("wait", timeout=5.0)

    caller = asyncio.create_task(call())
    await world.service.entered.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await world.service.cancelled.wait()


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        method: UnaryMethod[bytes, bytes] = UnaryMethod(channel.unary_unary("/a/B"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"", timeout=5.0)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_where_grpc_has_changed_its_own_way_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ordinary(request: str, timeout: float, metadata: Any) -> str:  # noqa: ASYNC109
        return f"{request} within {timeout:g} s with {len(metadata)} headers"

    monkeypatch.setattr(unary_method, "_core", SimpleNamespace())
    with capture_logs() as lines:
        method: Any = UnaryMethod(ordinary)  # type: ignore[arg-type]
    answer = await method("ordinary", timeout=2.0, metadata=(("traceparent", "t"),))
    assert answer == "ordinary within 2 s with 1 headers"
    assert "build_census_context" in lines[0]["missing"]
