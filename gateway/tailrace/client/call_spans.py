"""Spans of the caller's own for its gRPC calls, which end however a call ends.

These are the interceptors of `opentelemetry-instrumentation-grpc` (seen with 0.66b2), less what
goes wrong with spans there:

- On asyncio, a unary call that is cancelled, or that fails in another interceptor, leaves its span
  open, and a cancelled one goes on at the server: nobody cancels the call below the interceptor.
- On asyncio, the span of a stream ends where its reader comes to the end. One that is never read,
  or cancelled while nobody reads, leaves it open; one that is given up early is told as a success.
- Without asyncio, what reads a stream of answers gets a generator, which it cannot cancel.

Here the span of a stream ends when the call does, and the span of any call when its making fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import grpc
import grpc.aio
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import _aio_client, _client
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel

from tailrace.client.call_end import at_once

_SCOPE = "tailrace.client"
_STATUS = "rpc.grpc.status_code"
_CANCELLED = "the caller cancelled"

Continuation = Callable[[], Awaitable[grpc.aio.Call]]


def aio_client_interceptors(
    tracer_provider: trace.TracerProvider | None = None,
) -> list[grpc.aio.ClientInterceptor]:
    """Returns the interceptors of a channel on asyncio; `AsyncClient(call_spans=True)` has them.

    Args:
        tracer_provider: whom the spans are told; None means the one of the process.
    """
    tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    return [kind(tracer) for kind in kinds]


def with_call_spans(
    channel: grpc.Channel, tracer_provider: trace.TracerProvider | None = None
) -> grpc.Channel:
    """Returns a channel whose calls have spans; `Client(call_spans=True)` has such.

    Args:
        channel: of `grpc`, not of `grpc.aio`.
        tracer_provider: whom the spans are told; None means the one of the process.
    """
    tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
    interceptor = _Blocking(tracer)  # type: ignore[no-untyped-call]
    return cast(grpc.Channel, intercept_channel(channel, interceptor))


class _EndsSpans(_aio_client._BaseAioClientInterceptor):
    """What is overridden of the library's interceptors, for all four kinds of call."""

    @contextlib.contextmanager
    def _start_interceptor_span(self, method: str | bytes) -> Iterator[trace.Span]:
        with super()._start_interceptor_span(method) as span:  # type: ignore[no-untyped-call]
            try:
                yield span
            except BaseException as error:
                _fail(span, error)
                raise

    async def _wrap_unary_response(self, continuation: Continuation, span: trace.Span) -> Any:
        # The library waits for the answer here, inside the interceptor, where nobody cancels the
        # call itself, and where a stream of requests that is written waits for it, for ever.
        return self._wrap_stream_response(span, await continuation())

    def _wrap_stream_response(self, span: trace.Span, call: grpc.aio.Call) -> grpc.aio.Call:
        try:
            call.add_done_callback(lambda ended: _end(span, ended))
        except NotImplementedError:
            _end(span, call)  # what another interceptor has made of a call that is over
        return call


class _UnaryUnary(_EndsSpans, _aio_client.UnaryUnaryAioClientInterceptor):
    pass


class _UnaryStream(_EndsSpans, _aio_client.UnaryStreamAioClientInterceptor):
    pass


class _StreamUnary(_EndsSpans, _aio_client.StreamUnaryAioClientInterceptor):
    pass


class _StreamStream(_EndsSpans, _aio_client.StreamStreamAioClientInterceptor):
    pass


class _Blocking(_client.OpenTelemetryClientInterceptor):
    def _intercept_server_stream(
        self, request: Any, metadata: Any, client_info: Any, invoker: Callable[..., Any]
    ) -> Any:
        # As the library does where requests are a stream, too: what comes back is the call.
        return self._intercept(  # type: ignore[no-untyped-call]
            request, metadata, client_info, invoker
        )


def _fail(span: trace.Span, error: BaseException) -> None:
    if not span.is_recording():
        return  # not in the sample, or ended already
    if isinstance(error, asyncio.CancelledError):
        _tell(span, grpc.StatusCode.CANCELLED, _CANCELLED)
    else:
        _EndsSpans.add_error_details_to_span(span, error)  # type: ignore[no-untyped-call]
    span.end()


def _end(span: trace.Span, call: grpc.aio.Call) -> None:
    _tell(span, at_once(call.code()), at_once(call.details()) or "")
    span.end()


def _tell(span: trace.Span, code: grpc.StatusCode, details: str) -> None:
    span.set_attribute(_STATUS, code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(trace.StatusCode.ERROR, details)
