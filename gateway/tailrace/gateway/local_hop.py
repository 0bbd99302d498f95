"""Hops that run inside the gateway's process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from google.protobuf.message import Message

from tailrace.runtime.deadline import Deadline
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.hop_call import CallContext
from tailrace.v1 import ledger_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class LocalHop(Generic[Request, Response]):
    """Calls a hop's own handler: the same messages, without the transport."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self, call: Callable[[Request, CallContext], Awaitable[Response]]) -> None:
        """Keeps the handler, which keeps the time limit that it is told."""
        self._call = call

    async def call(self, request: Request, timeout_s: float) -> Response:
        """Returns the hop's response.

        Raises:
            TailraceError: as the hop raised it; what it did not foresee as Internal.
        """
        try:
            return await self._call(request, _LocalContext(timeout_s))
        except TailraceError:
            raise
        except Exception as error:  # as at the edge of a service
            raise unexpected(error) from error


class _LocalContext:
    """What a handler may ask of its call."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = Deadline.after_s(timeout_s)

    def time_remaining(self) -> float:
        return self._deadline.remaining_s()
