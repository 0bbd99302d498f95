"""Hops that are gRPC services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from tailrace.gateway.hop_messages import answer_of, request_message
from tailrace.gateway.hop_port import HopRequest
from tailrace.runtime.error_mapping import error_of
from tailrace.runtime.errors import Code, DeadlineExceeded, Reason, Unavailable
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import batch_pb2, ledger_pb2


class RemoteHop:
    """Calls a hop through its channel. The timeout of every call is set here."""

    placement = ledger_pb2.PLACEMENT_REMOTE

    def __init__(
        self,
        hop: str,
        method: Callable[..., Awaitable[Any]],
        take_timing: Callable[[batch_pb2.HopTiming], None] | None = None,
    ) -> None:
        """Keeps the parts.

        Args:
            hop: name of the hop.
            method: the stub's method, called with a message, `timeout` in seconds, and `metadata`
                where the call is traced.
            take_timing: is handed what each call cost the hop, as the hop says.
        """
        self._hop = hop
        self._method = method
        self._take_timing = take_timing

    async def call(
        self, request: HopRequest, timeout_s: float, trace: TraceContext | None = None
    ) -> HopAnswer:
        """Returns the hop's answer; `trace` travels as the call's W3C headers.

        Raises:
            Unavailable: the transport failed; whether the hop executed is unknown.
            DeadlineExceeded: the budget ran out.
            TailraceError: as the hop reported it.
        """
        message = request_message(self._hop, request)
        try:
            if trace is None:
                response = await self._method(message, timeout=timeout_s)
            else:
                response = await self._method(message, timeout=timeout_s, metadata=trace.headers())
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
            if error.reason is not Reason.UNSPECIFIED:
                raise error from failure
            # No details of ours: the transport speaks.
            if error.code is Code.DEADLINE_EXCEEDED:
                raise DeadlineExceeded(f"{self._hop} exceeded its budget") from failure
            if error.code is Code.UNAVAILABLE:
                raise Unavailable(
                    f"{self._hop} cannot be reached", reason=Reason.HOP_UNAVAILABLE
                ) from failure
            if error.code is Code.CANCELLED:
                # A server that stops gives up calls that it has not begun. Were the call given up
                # here, no answer would be waited for.
                raise Unavailable(
                    f"{self._hop} gave the call up", reason=Reason.HOP_UNAVAILABLE
                ) from failure
            raise error from failure
        if self._take_timing is not None:
            self._take_timing(response.timing)
        return answer_of(self._hop, response)
