"""How the client without asyncio is connected, and how it calls."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import grpc

from tailrace.client.errors import error_of_call
from tailrace.client.request import DEFAULT_TIMEOUT_S, checked_timeout, default_timeout
from tailrace.client.trace_headers import with_trace_headers
from tailrace.client.transport import DEFAULT_MAX_MESSAGE_BYTES, Tls, Transport
from tailrace.v1.callback_service_pb2_grpc import CallbackServiceStub
from tailrace.v1.event_service_pb2_grpc import EventServiceStub
from tailrace.v1.prediction_service_pb2_grpc import PredictionServiceStub

Response = TypeVar("Response")


class _Stubs(NamedTuple):
    predictions: PredictionServiceStub
    callbacks: CallbackServiceStub
    events: EventServiceStub


class SyncConnection:
    """Connections to a gateway, opened by the first call."""

    def __init__(
        self,
        target: str,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        tls: Tls | None = None,
        connections: int = 1,
        metadata: Sequence[tuple[str, str]] = (),
        call_spans: bool = False,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        """Keeps the settings; nothing is opened yet.

        Args:
            target: gRPC target of the gateway, such as `127.0.0.1:50050`.
            timeout: deadline of calls that name none, in seconds.
            tls: credentials; without them the connection is plaintext.
            connections: how many connections to open and to use in turn.
            metadata: gRPC metadata to send with every call.
            call_spans: tell a span of each call to this process's OpenTelemetry, whose tracer
                provider is the program's to set; needs the extra `tracing`. The trace in which
                a call is made goes on in the mesh with or without.
            max_message_bytes: largest message sent or received.

        Raises:
            ModuleNotFoundError: `call_spans` without the extra that it needs.
            ValueError: an empty target, no connections, or a timeout that is no finite time
                above zero.
        """
        self._transport = Transport(target, tls, connections, max_message_bytes)
        self._timeout = default_timeout(timeout)
        self._metadata = tuple(metadata)
        self._with_spans: Callable[[grpc.Channel], grpc.Channel] | None = None
        if call_spans:
            from tailrace.client.call_spans import with_call_spans

            self._with_spans = with_call_spans
        self._lock = threading.Lock()
        self._channels: list[grpc.Channel] = []
        self._stubs: list[_Stubs] = []
        self._calls = itertools.count()
        self._closed = False

    def close(self) -> None:
        """Closes the connections; calls in flight are cancelled. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            channels, self._channels, self._stubs = self._channels, [], []
        for channel in channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _stub(self) -> PredictionServiceStub:
        return self._next().predictions

    def _callback_stub(self) -> CallbackServiceStub:
        return self._next().callbacks

    def _event_stub(self) -> EventServiceStub:
        return self._next().events

    def _next(self) -> _Stubs:
        with self._lock:
            if self._closed:
                raise RuntimeError("this client is closed")
            if not self._stubs:
                self._channels = [self._open() for _ in range(self._transport.connections)]
                self._stubs = [
                    _Stubs(
                        PredictionServiceStub(channel),
                        CallbackServiceStub(channel),
                        EventServiceStub(channel),
                    )
                    for channel in self._channels
                ]
            return self._stubs[next(self._calls) % len(self._stubs)]

    def _open(self) -> grpc.Channel:
        credentials = self._transport.credentials()
        options = self._transport.options()
        if credentials is None:
            channel = grpc.insecure_channel(self._transport.target, options)
        else:
            channel = grpc.secure_channel(self._transport.target, credentials, options)
        return channel if self._with_spans is None else self._with_spans(channel)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return with_trace_headers(self._metadata)

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Any, Response],
        request: Any,
        timeout: float | None,
        request_id: str = "",
    ) -> Response:
        timeout = self._timeout if timeout is None else checked_timeout(timeout)
        try:
            return method(request, timeout=timeout, metadata=self._headers())
        except grpc.RpcError as error:
            raise error_of_call(error, request_id) from error
