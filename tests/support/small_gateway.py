"""A small gateway for tests of its callers: a real server whose answers the test decides.

It stands for the gateway where a test is about the caller alone: what it sends, how it is
connected, and what it makes of each kind of answer. It makes no predictions.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from tailrace.gateway.no_submissions import NoSubmissions
from tailrace.runtime.error_mapping import (
    STATUS_DETAILS_KEY,
    MappingServer,
    status_of,
)
from tailrace.runtime.errors import (
    InvalidField,
    NotFound,
    Overloaded,
    Reason,
    TailraceError,
    Unavailable,
)
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1 import prediction_service_pb2_grpc
from tailrace.v1.ledger_pb2 import HOP_INGEST, Ledger, LedgerEntry
from tailrace.v1.pipeline_pb2 import PipelineDescription

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class SeenCall:
    """One call as the server saw it.

    Attributes:
        peer: the connection that it came over.
        time_remaining_s: what was left of its deadline on arrival.
        metadata: what came with it.
        request: the message.
    """

    peer: str
    time_remaining_s: float
    metadata: dict[str, str | bytes]
    request: Any


@dataclass
class SmallGateway(NoSubmissions):
    """Answers with the fields that it was sent. The pipeline's name asks for trouble.

    `slow` never answers, `full` is overloaded, `broken` fails unexpectedly, `short` answers a
    batch with too few results, `missing` is not found. A field `reject` fails its request.

    A stream answers each message with one of its own. `backwards` does so in reverse order,
    `drains` answers one request and then breaks, `ends` ends after the first message, with an
    answer to all but one of its requests, and `twice` answers all of them twice.

    Attributes:
        seen: the calls, and the messages of streams, in order of arrival.
        arrivals: the same, to wait for.
        descriptions: the pipelines, by name.
        entered: set once a call to `slow` has arrived.
        cancelled: set once a call to `slow` has been cancelled.
        target: where it listens.
        stop: makes it go away, with all calls.
    """

    seen: list[SeenCall] = field(default_factory=list)
    arrivals: asyncio.Queue[SeenCall] = field(default_factory=asyncio.Queue)
    descriptions: dict[str, PipelineDescription] = field(default_factory=dict)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    target: str = ""
    stop: Callable[[], Awaitable[None]] = field(init=False)

    async def Predict(
        self, request: messages.PredictRequest, context: Context
    ) -> messages.PredictResponse:
        """Answers one request."""
        self._see(request, context)
        await self._trouble(request.pipeline)
        return _answer(request)

    async def PredictBatch(
        self, request: messages.PredictBatchRequest, context: Context
    ) -> messages.PredictBatchResponse:
        """Answers each request by itself."""
        self._see(request, context)
        for one in request.requests:
            await self._trouble(one.pipeline)
        response = messages.PredictBatchResponse()
        for one in request.requests:
            if "reject" in one.fields:
                error = InvalidField("rejected", field="fields.reject")
                response.results.add(error=status_of(error))
            else:
                response.results.add(response=_answer(one))
        if request.requests[0].pipeline == "short":
            response.results.pop()
        return response

    async def PredictStream(
        self, request_iterator: AsyncIterator[messages.PredictStreamRequest], context: Context
    ) -> AsyncIterator[messages.PredictStreamResponse]:
        """Answers the requests of each message together."""
        places = itertools.count()
        async for message in request_iterator:
            self._see(message, context)
            results = [await self._stream_result(next(places), one) for one in message.requests]
            pipeline = message.requests[0].pipeline
            if pipeline == "drains":
                yield messages.PredictStreamResponse(results=results[-1:])
                status = status_of(Unavailable("draining", reason=Reason.DRAINING))
                details = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
                await context.abort(grpc.StatusCode.UNAVAILABLE, status.message, details)
            if pipeline == "ends":
                yield messages.PredictStreamResponse(results=results[1:])
                return
            if pipeline == "backwards":
                results.reverse()
            for _ in range(2 if pipeline == "twice" else 1):
                yield messages.PredictStreamResponse(results=results)

    async def _stream_result(
        self, place: int, request: messages.PredictRequest
    ) -> messages.PredictStreamResult:
        result = messages.PredictStreamResult(place=place, request_id=request.request_id)
        try:
            await self._trouble(request.pipeline)
            if "reject" in request.fields:
                raise InvalidField("rejected", field="fields.reject")
        except TailraceError as error:
            result.error.CopyFrom(status_of(error))
        else:
            result.response.CopyFrom(_answer(request))
        return result

    async def ListPipelines(
        self, request: messages.ListPipelinesRequest, context: Context
    ) -> messages.ListPipelinesResponse:
        """Lists the descriptions."""
        self._see(request, context)
        return messages.ListPipelinesResponse(
            pipelines=[
                messages.PipelineSummary(
                    name=name,
                    version=description.version,
                    description=description.description,
                    load_error="" if description.version else "cannot be read",
                )
                for name, description in sorted(self.descriptions.items())
            ]
        )

    async def GetPipeline(
        self, request: messages.GetPipelineRequest, context: Context
    ) -> messages.GetPipelineResponse:
        """Returns one description."""
        self._see(request, context)
        if request.pipeline not in self.descriptions:
            raise NotFound(f"no pipeline {request.pipeline!r}", field="pipeline")
        return messages.GetPipelineResponse(pipeline=self.descriptions[request.pipeline])

    def _see(self, request: Any, context: Context) -> None:
        metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        call = SeenCall(context.peer(), context.time_remaining() or 0.0, metadata, request)
        self.seen.append(call)
        self.arrivals.put_nowait(call)

    async def _trouble(self, pipeline: str) -> None:
        if pipeline == "slow":
            self.entered.set()
            try:
                await asyncio.sleep(60)
            finally:
                self.cancelled.set()
        if pipeline == "full":
            raise Overloaded("full", reason=Reason.MODEL_QUEUE_FULL, retry_after_ms=250)
        if pipeline == "broken":
            raise RuntimeError("secret")
        if pipeline == "missing":
            raise NotFound(f"no pipeline {pipeline!r}", field="pipeline")


def _answer(request: messages.PredictRequest) -> messages.PredictResponse:
    return messages.PredictResponse(
        request_id=request.request_id,
        prediction=dict(request.fields),
        pipeline=request.pipeline,
        pipeline_version=request.pipeline_version or "1-abc",
        model=messages.ModelVersion(name="echo", version="1"),
        quality=messages.QUALITY_LIVE,
        ledger=Ledger(
            entries=[LedgerEntry(hop=HOP_INGEST, duration_ns=1_000_000, critical=True)],
            total_ns=1_500_000,
            unattributed_ns=500_000,
            deadline_ns=500_000_000,
            convoy_rows=1,
        ),
    )


@asynccontextmanager
async def small_gateway(
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[SmallGateway]:
    """A running one, on a free port of loopback."""
    gateway = SmallGateway()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        gateway, MappingServer(server).in_its_place()
    )
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    gateway.target = f"127.0.0.1:{port}"
    gateway.stop = functools.partial(server.stop, None)
    try:
        yield gateway
    finally:
        await server.stop(None)
