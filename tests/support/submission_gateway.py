"""A gateway's own services in this process, over a real queue and before simulated hops.

What a dispatcher and a courier would do, a test does through the store.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.open_services import open_services
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import MappingServer
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.records import (
    AttemptRecord,
    Claim,
    DeliveryClaim,
    DeliveryResult,
    RunResult,
    State,
)
from tailrace.v1 import callback_service_pb2_grpc, prediction_service_pb2_grpc
from tailrace.v1.prediction_service_pb2 import (
    PredictResponse,
    Submission,
    SubmitPredictionRequest,
    SubmittedPrediction,
)
from tests.support.requests import predict_request
from tests.support.simulated_hops import SimulatedChain
from tests.support.written_pipeline import write_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(8, 2, 5 * MS, 500 * MS, 100, 1_000_000)
PIPELINE = "under-test"

_numbers = itertools.count()


@dataclass
class SubmissionGateway:
    """One that answers.

    Attributes:
        predictions: stub of its `PredictionService`.
        callbacks: stub of its `CallbackService`.
        queue: the queue, as another process sees it.
        draining: to be set as SIGTERM would.
        settings: its settings.
        target: where it listens.
    """

    predictions: Any
    callbacks: Any
    queue: Queue
    draining: asyncio.Event
    settings: GatewaySettings
    target: str

    async def submit(self, submission: Submission) -> SubmittedPrediction:
        """Submits one, and returns what it was told."""
        request = SubmitPredictionRequest(submission=submission)
        response = await self.predictions.SubmitPrediction(request, timeout=10)
        submitted: SubmittedPrediction = response.submitted
        return submitted

    async def claim(self, count: int = 100) -> list[Claim]:
        """Takes submissions from all partitions, as a dispatcher would."""
        claims: list[Claim] = []
        for partition in range(self.queue.submissions.partitions):
            claims += await self.queue.submissions.claim(partition, count)
        return claims

    async def run_all(self) -> list[Claim]:
        """Gives everything that waits a prediction."""
        claims = await self.claim()
        for claim in claims:
            await self.finish(claim, PredictResponse(pipeline=PIPELINE, request_id="ran"))
        return claims

    async def finish(self, claim: Claim, response: PredictResponse) -> None:
        """Gives one that was claimed its prediction."""
        result = RunResult(
            prediction_id=claim.prediction_id,
            fence=claim.fence,
            state=State.SUCCEEDED,
            outcome=response.SerializeToString(),
        )
        partition = int(claim.prediction_id.partition("-")[0])
        assert await self.queue.submissions.finish(partition, [result]) == [True]

    async def deliver_all(self, **parts: Any) -> list[DeliveryClaim]:
        """Has everything that is due delivered, or whatever else the parts of a result say."""
        store, done = self.queue.submissions, []
        for partition in range(store.partitions):
            for callback in await store.due_callbacks(partition):
                claims = await store.claim_deliveries(partition, callback, 100, 10_000)
                results = [_delivery_result(claim, parts) for claim in claims]
                assert all(await store.settle_deliveries(partition, results))
                done += claims
        return done


def _delivery_result(claim: DeliveryClaim, parts: dict[str, Any]) -> DeliveryResult:
    record = AttemptRecord(
        attempt=claim.attempt,
        started_ms=claim.prediction.created_ms,
        duration_ms=7,
        delivered=not parts,
        result="HTTP 503" if parts else "HTTP 200",
    )
    return DeliveryResult(
        prediction_id=claim.prediction_id, fence=claim.fence, record=record, **parts
    )


def submission(x: float = 1.0, **parts: Any) -> Submission:
    """Returns a submission for the pipeline; `tenant` and the like go to its request."""
    own = {
        name: parts.pop(name)
        for name in (*parts,)
        if name in ("request_id", "tenant", "priority", "timeout", "pipeline_version")
    }
    pipeline = parts.pop("pipeline", PIPELINE)
    return Submission(request=predict_request(pipeline, {"x": x}, **own), **parts)


def gateway_settings(url: str, **more: Any) -> GatewaySettings:
    """Returns the settings of a gateway with a queue of its own at a Redis."""
    wanted: dict[str, Any] = {
        "queue_redis_url": url,
        "queue_key_prefix": f"test{next(_numbers)}",
        "queue_partitions": 4,
        "stream_idle_timeout_ms": 5000,
        **more,
    }
    return GatewaySettings(**wanted)


@asynccontextmanager
async def submission_gateway(
    settings: GatewaySettings, folder: Path, takes_s: float = 0.0
) -> AsyncIterator[SubmissionGateway]:
    """A running one.

    Args:
        settings: with or without a queue.
        folder: for its pipeline.
        takes_s: how long each simulated hop takes.
    """
    world = SimulatedChain(lambda hop, rows: (takes_s, None))

    def entrance(pipeline: Pipeline) -> ConvoyFormer:
        return ConvoyFormer(world.chain(pipeline), BOUNDS)

    registry = PipelineRegistry(write_pipeline(folder), entrance)
    registry.load()
    draining = asyncio.Event()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    async with open_services(settings, Predictor(registry, settings), draining) as add_services:
        add_services(MappingServer(server).in_its_place())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                async with _own_queue(settings) as queue:
                    yield SubmissionGateway(
                        predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel),
                        callbacks=callback_service_pb2_grpc.CallbackServiceStub(channel),
                        queue=queue,
                        draining=draining,
                        settings=settings,
                        target=f"127.0.0.1:{port}",
                    )
        finally:
            await server.stop(None)


@asynccontextmanager
async def _own_queue(settings: GatewaySettings) -> AsyncIterator[Any]:
    if settings.queue_redis_url is None:
        yield None
        return
    async with open_queue(settings, "test") as queue:
        yield queue


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0) -> None:
    """Returns once a condition holds, and fails the test if it does not in time."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


def ids_of(submitted: Sequence[SubmittedPrediction]) -> list[str]:
    """Returns the ids."""
    return [each.prediction_id for each in submitted]
