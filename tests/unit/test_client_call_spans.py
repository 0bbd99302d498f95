"""Spans of a caller's own calls end however the call ends; those of the library alone do not.

The cases run with our interceptors and with the library's, which is known to leak. Where it no
longer does, its part fails, and our work-around can go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import aio_client_interceptors as library_interceptors
from opentelemetry.instrumentation.grpc import client_interceptor
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.trace import StatusCode, format_span_id

from tailrace.client.call_spans import aio_client_interceptors, with_call_spans
from tests.support.echo_methods import SERVICE, EchoMethods, echo_methods
from tests.support.noted_spans import NotedSpans

DUE_S = 20
STATUS = "rpc.grpc.status_code"

# Of bytes, which the types of grpc.aio cannot say.
Channel = Any
Case = Callable[[Channel, EchoMethods], Awaitable[object]]


@contextlib.asynccontextmanager
async def opened(
    interceptors: Callable[[Any], Any],
) -> AsyncIterator[tuple[Channel, EchoMethods, NotedSpans]]:
    spans = NotedSpans()
    async with (
        echo_methods() as echo,
        grpc.aio.insecure_channel(
            echo.target, interceptors=interceptors(spans.provider)
        ) as channel,
    ):
        yield channel, echo, spans


async def cancel_a_unary_call(channel: Channel, echo: EchoMethods) -> object:
    call = channel.unary_unary(f"/{SERVICE}/UnaryUnary")(b"wait")
    await echo.entered.acquire()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return call


async def cancel_a_task_that_calls(channel: Channel, echo: EchoMethods) -> object:
    async def ask() -> None:
        await channel.unary_unary(f"/{SERVICE}/UnaryUnary")(b"wait")

    task = asyncio.create_task(ask())
    await echo.entered.acquire()
    task.cancel()
    await asyncio.wait([task])
    return task


async def cancel_a_call_that_streams_requests(channel: Channel, echo: EchoMethods) -> object:
    async def requests() -> AsyncIterator[bytes]:
        yield b"wait"

    call = channel.stream_unary(f"/{SERVICE}/StreamUnary")(requests())
    await echo.entered.acquire()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return call


async def cancel_a_stream_that_nobody_reads(channel: Channel, echo: EchoMethods) -> object:
    call = channel.unary_stream(f"/{SERVICE}/UnaryStream")(b"wait")
    await echo.entered.acquire()
    call.cancel()
    await echo.left.acquire()
    return call


async def cancel_a_stream_after_its_first_answer(channel: Channel, echo: EchoMethods) -> object:
    call = channel.unary_stream(f"/{SERVICE}/UnaryStream")(b"wait")
    assert await call.read() == b"wait"
    call.cancel()
    # With the library's, the call sometimes goes on at the server.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await echo.left.acquire()
    return call


async def cancel_a_stream_of_both_kinds(channel: Channel, echo: EchoMethods) -> object:
    call: Any = channel.stream_stream(f"/{SERVICE}/StreamStream")()
    await call.write(b"wait")
    assert await call.read() == b"wait"
    call.cancel()
    await echo.left.acquire()
    return call


async def close_the_channel_of_a_stream(channel: Channel, echo: EchoMethods) -> object:
    call = channel.unary_stream(f"/{SERVICE}/UnaryStream")(b"wait")
    assert await call.read() == b"wait"
    await channel.close()
    return call


CANCELLED: list[Case] = [
    cancel_a_unary_call,
    cancel_a_task_that_calls,
    cancel_a_call_that_streams_requests,
    cancel_a_stream_that_nobody_reads,
    cancel_a_stream_after_its_first_answer,
    cancel_a_stream_of_both_kinds,
    close_the_channel_of_a_stream,
]


@pytest.mark.parametrize("case", CANCELLED, ids=lambda case: case.__name__)
async def test_a_call_that_is_given_up_ends_its_span_as_cancelled(case: Case) -> None:
    async with opened(aio_client_interceptors) as (channel, echo, spans), asyncio.timeout(DUE_S):
        call = await case(channel, echo)
        await spans.until_ended(1)

        (span,) = spans.ended
        assert (span.status.status_code, span.attributes[STATUS]) == (StatusCode.ERROR, 1)
        assert len(spans.begun) == 1
        del call


@pytest.mark.parametrize("case", CANCELLED, ids=lambda case: case.__name__)
async def test_the_library_still_leaves_the_span_of_such_a_call_open(case: Case) -> None:
    async with opened(library_interceptors) as (channel, echo, spans), asyncio.timeout(DUE_S):
        call = await case(channel, echo)

        assert (len(spans.begun), spans.ended) == (1, [])
        del call


async def test_a_unary_call_that_is_cancelled_is_cancelled_at_the_server() -> None:
    async with opened(aio_client_interceptors) as (channel, echo, _), asyncio.timeout(DUE_S):
        await cancel_a_unary_call(channel, echo)
        await echo.left.acquire()


async def test_requests_can_be_written_to_a_call_with_one_answer() -> None:
    # The library waits for the answer before it lets the first request pass, for ever.
    async with opened(aio_client_interceptors) as (channel, _, spans), asyncio.timeout(DUE_S):
        call = channel.stream_unary(f"/{SERVICE}/StreamUnary")()
        await call.write(b"one")
        await call.done_writing()
        assert await call == b"one"
        await spans.until_ended(1)


async def test_a_call_that_fails_in_another_interceptor_ends_its_span() -> None:
    class Refuses(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            raise PermissionError("not today")

    def ours(provider: Any) -> list[Any]:
        return [*aio_client_interceptors(provider), Refuses()]

    def of_library(provider: Any) -> list[Any]:
        return [*library_interceptors(provider), Refuses()]

    for make, ended in ((ours, 1), (of_library, 0)):
        async with opened(make) as (channel, _, spans):
            with pytest.raises(PermissionError):
                await channel.unary_unary(f"/{SERVICE}/UnaryUnary")(b"x")
            assert (len(spans.begun), len(spans.ended)) == (1, ended)


@pytest.mark.parametrize(
    ("request_bytes", "timeout_s", "code"),
    [
        (b"x", DUE_S, grpc.StatusCode.OK),
        (b"fail", DUE_S, grpc.StatusCode.FAILED_PRECONDITION),
        (b"wait", 0.05, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_a_span_has_the_status_of_its_call(
    request_bytes: bytes, timeout_s: float, code: grpc.StatusCode
) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield request_bytes

    async def ask(channel: Channel, kind: str) -> None:
        if kind == "UnaryUnary":
            await channel.unary_unary(f"/{SERVICE}/{kind}")(request_bytes, timeout=timeout_s)
        elif kind == "StreamUnary":
            await channel.stream_unary(f"/{SERVICE}/{kind}")(requests(), timeout=timeout_s)
        elif kind == "UnaryStream":
            async for _ in channel.unary_stream(f"/{SERVICE}/{kind}")(
                request_bytes, timeout=timeout_s
            ):
                pass
        else:
            async for _ in channel.stream_stream(f"/{SERVICE}/{kind}")(
                requests(), timeout=timeout_s
            ):
                pass

    async with opened(aio_client_interceptors) as (channel, echo, spans):
        for number, kind in enumerate(("UnaryUnary", "StreamUnary", "UnaryStream", "StreamStream")):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await ask(channel, kind)
            await spans.until_ended(number + 1)
            span = spans.ended[-1]
            assert span.name == f"/{SERVICE}/{kind}"
            assert span.attributes[STATUS] == code.value[0]
            assert span.status.is_ok is (code is grpc.StatusCode.OK)
            headers = dict(echo.metadata[number])
            assert headers["traceparent"].split("-")[2] == format_span_id(span.context.span_id)


async def test_a_stream_read_without_asyncio_can_be_cancelled() -> None:
    spans, of_library = NotedSpans(), NotedSpans()

    def read(target: str) -> None:
        channel: Any
        with with_call_spans(grpc.insecure_channel(target), spans.provider) as channel:
            call = channel.unary_stream(f"/{SERVICE}/UnaryStream")(b"wait")
            assert next(call) == b"wait"
            call.cancel()

        interceptor = client_interceptor(of_library.provider)
        plain = grpc.insecure_channel(target)
        with intercept_channel(plain, interceptor) as channel:
            assert not hasattr(channel.unary_stream(f"/{SERVICE}/UnaryStream")(b"x"), "cancel")

    async with echo_methods() as echo, asyncio.timeout(DUE_S):
        await asyncio.to_thread(read, echo.target)
        await echo.left.acquire()
        await spans.until_ended(1)
    assert spans.ended[0].attributes[STATUS] == 1
