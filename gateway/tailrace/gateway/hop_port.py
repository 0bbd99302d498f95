"""How the chain reaches a hop, wherever it runs."""

from __future__ import annotations

from typing import Protocol, TypeVar

from google.protobuf.message import Message

from tailrace.v1 import batch_pb2, ledger_pb2

Request_contra = TypeVar("Request_contra", bound=Message, contravariant=True)
Response_co = TypeVar("Response_co", covariant=True, bound="HopResponse")


class HopResponse(Protocol):
    """What every hop's response has."""

    @property
    def batch(self) -> batch_pb2.Batch:
        """The rows and their columns."""
        ...

    @property
    def timing(self) -> batch_pb2.HopTiming:
        """What the service spent."""
        ...


class HopPort(Protocol[Request_contra, Response_co]):
    """Calls one hop once.

    Attributes:
        placement: where the hop runs.
    """

    placement: ledger_pb2.Placement.ValueType

    async def call(self, request: Request_contra, timeout_s: float) -> Response_co:
        """Returns the hop's response.

        Args:
            request: the batch.
            timeout_s: seconds that the call may take; more than zero.

        Raises:
            TailraceError: the whole call failed.
            asyncio.CancelledError: cancelled here; the hop is told.
        """
        ...
