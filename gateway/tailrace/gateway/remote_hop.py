"""Hops that are gRPC services."""

from __future__ import annotations

from typing import Generic, TypeVar

import grpc.aio
from google.protobuf.message import Message

from tailrace.runtime.error_mapping import error_of
from tailrace.runtime.errors import Code, DeadlineExceeded, Reason, Unavailable
from tailrace.v1 import ledger_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class RemoteHop(Generic[Request, Response]):
    """Calls a hop through its channel. The timeout of every call is set here."""

    placement = ledger_pb2.PLACEMENT_REMOTE

    def __init__(
        self, hop: str, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response]
    ) -> None:
        """Keeps the parts.

        Args:
            hop: name of the hop, for errors.
            method: the stub's method.
        """
        self._hop = hop
        self._method = method

    async def call(self, request: Request, timeout_s: float) -> Response:
        """Returns the hop's response.

        Raises:
            Unavailable: the transport failed; whether the hop executed is unknown.
            DeadlineExceeded: the budget ran out.
            TailraceError: as the hop reported it.
        """
        try:
            return await self._method(request, timeout=timeout_s)
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
            raise error from failure
