"""One hop, put together but not yet served: the same for a process of its own and for another's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import grpc.aio

from tailrace.runtime.batch import Batch
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_call import CallContext
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.v1 import tensor_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")

TellReadiness = Callable[[bool], Awaitable[None]]

RowFields: TypeAlias = Sequence[Mapping[str, tensor_pb2.Value]]
"""The fields of each row's request."""

AnswerBatch: TypeAlias = Callable[[Batch, RowFields, CallContext], Awaitable[HopAnswer]]
"""Answers a batch of this process; the fields are for ingest, and empty elsewhere."""


async def nothing_to_close() -> None:
    """Returns at once, for hops that hold nothing of the outside world."""


@dataclass(frozen=True, slots=True)
class HopParts(Generic[Request, Response]):
    """What a service is made of. Make it on the event loop that will run it.

    Attributes:
        hop: short name, such as `ingest`.
        service_name: full name of its gRPC service.
        registry: its pipelines; not read yet.
        call: the servicer's method. Raises TailraceError: what fails the whole call.
        answer: the same for a caller in this process, without any message.
        add_to: registers the servicer with a server.
        watch: runs beside the hop until cancelled, and tells through the callback whether the
            hop can serve, first after its first look; None for hops that always can.
        close: gives back what the hop holds; called once, last.
        more_services: full names of further gRPC services that `add_to` registers.
    """

    hop: str
    service_name: str
    registry: PipelineRegistry[Any]
    call: Callable[[Request, CallContext], Awaitable[Response]]
    answer: AnswerBatch
    add_to: Callable[[grpc.aio.Server], None]
    watch: Callable[[TellReadiness], Coroutine[Any, Any, None]] | None = None
    close: Callable[[], Awaitable[None]] = nothing_to_close
    more_services: tuple[str, ...] = ()
