"""Calls a unary method without the task that grpc.aio spends on each call.

Measured on an echo over loopback, in turns with grpc.aio's own way: 0.80–0.83 of the caller's CPU
time, and 0.87–0.91 of the latency, 0.82–0.84 where both processes have been idle for 4 ms.

gRPC has no public way to do this. What is used of its inside is looked for first; where any of it
is missing, methods are called as gRPC does by itself. Seen with grpcio 1.85.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # private, and so without types

Request = TypeVar("Request")
Response = TypeVar("Response")

USED_OF_METHOD = (
    "_channel",
    "_interceptors",
    "_method",
    "_registered_call_handle",
    "_request_serializer",
    "_response_deserializer",
)
USED_OF_CALL = ("cancel", "cancelled", "is_locally_cancelled", "is_ok", "status", "unary_unary")
CANCELLED_HERE = "Locally cancelled by application!"

_log = structlog.get_logger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_core: Any = cygrpc


class UnaryMethod(Generic[Request, Response]):
    """A method of a service, as `grpc.aio.UnaryUnaryMultiCallable` is one."""

    def __init__(self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response]) -> None:
        """Keeps the stub's method."""
        self._ordinary = method
        self._inside: Any = method if _is_known(method) else None

    async def __call__(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Returns the response.

        Args:
            request: the message.
            timeout: seconds that the call may take, as gRPC takes it.
            metadata: headers, as gRPC takes them.

        Raises:
            grpc.aio.AioRpcError: the call failed.
            asyncio.CancelledError: cancelled here; the service is told.
        """
        inside = self._inside
        if inside is None:
            return await self._ordinary(request, timeout=timeout, metadata=metadata)
        # None stands for bytes as they are.
        serialize, parse = inside._request_serializer, inside._response_deserializer
        data = request if serialize is None else serialize(request)
        call = inside._channel.call(
            inside._method, time.time() + timeout, None, None, inside._registered_call_handle
        )
        try:
            answer = await call.unary_unary(data, metadata, _core.build_census_context())
        except asyncio.CancelledError:
            if not call.cancelled():
                call.cancel(CANCELLED_HERE)
            raise
        if call.is_ok():
            response: Response = answer if parse is None else parse(answer)
            return response
        if call.is_locally_cancelled():
            raise asyncio.CancelledError
        raise _error(await call.status())


def _is_known(method: Any) -> bool:
    missing = [name for name in USED_OF_METHOD if not hasattr(method, name)]
    call = getattr(_core, "_AioCall", None)
    missing += [name for name in USED_OF_CALL if not hasattr(call, name)]
    if not hasattr(_core, "build_census_context"):
        missing.append("build_census_context")
    if missing:
        _log.warning("methods are called by way of a task: gRPC has changed", missing=missing)
    return not missing and not method._interceptors


def _error(status: Any) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata.from_tuple(tuple(status.trailing_metadata() or ()))
    return grpc.aio.AioRpcError(
        _CODES[status.code()],
        grpc.aio.Metadata(),
        trailing,
        details=status.details(),
        debug_error_string=status.debug_error_string(),
    )
