"""From a submission to its delivery in one trace: the real queue, receivers that read headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from structlog.testing import capture_logs

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.courier.courier import Courier
from tailrace.dispatcher.claimed_batch import BatchParts, ClaimedBatch
from tailrace.dispatcher.result_writer import ResultWriter
from tailrace.dispatcher.run_spans import RunSpans
from tailrace.dispatcher.suspects import Suspects
from tailrace.dispatcher.verdicts import Verdicts
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.runtime import telemetry_names
from tailrace.runtime.errors import Code, Internal, Reason, TailraceError, Unavailable
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import Span, SpanKind
from tailrace.runtime.tracing.trace_context import new_trace, read_traceparent
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.records import DeliveryState
from tailrace.v1.prediction_service_pb2 import (
    Submission,
    SubmitPredictionsRequest,
    SubmittedPrediction,
)
from tests.support.courier_world import courier_settings, ended, register, running_courier
from tests.support.grpc_receiver import grpc_receiver
from tests.support.simulated_hops import SimulatedChain
from tests.support.submission_gateway import (
    BOUNDS,
    PIPELINE,
    SubmissionGateway,
    gateway_settings,
    submission,
    submission_gateway,
)
from tests.support.told_spans import ToldSpans, told_spans
from tests.support.webhook_receiver import Received, hang, raw_server, webhook_receiver
from tests.support.written_pipeline import write_pipeline

TRACE_ID, CALLER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-01", "tracestate": "a=1,b=2"}


@dataclass
class World:
    """A gateway, a dispatcher's batches and a courier over one queue, and what they told.

    Attributes:
        fails: error of the next runs' inference.
    """

    gateway: SubmissionGateway
    courier: Courier
    told: ToldSpans
    parts: BatchParts
    fails: list[TailraceError] = field(default_factory=list)

    async def submit(
        self, *submissions: Submission, headers: Mapping[str, str] | None = None
    ) -> list[SubmittedPrediction]:
        """Submits in one call."""
        response = await self.gateway.predictions.SubmitPredictions(
            SubmitPredictionsRequest(submissions=submissions),
            timeout=10,
            metadata=tuple((headers or {}).items()),
        )
        return [result.submitted for result in response.results]

    async def run(self) -> int:
        """Runs what waits, as a dispatcher does; returns how many."""
        rows, store = 0, self.gateway.queue.submissions
        for partition in range(store.partitions):
            claims = await store.claim(partition, 100)
            if claims:
                rows += len(claims)
                await ClaimedBatch(partition, claims, self.parts).run()
        return rows

    async def delivered(self, submitted: SubmittedPrediction) -> None:
        """Returns once a result is delivered."""
        await ended(self.gateway.queue, submitted.prediction_id, DeliveryState.DELIVERED)


@asynccontextmanager
async def world_of(redis: LocalRedis, folder: Path, **tracing: Any) -> AsyncIterator[World]:
    """Runs one."""
    fails: list[TailraceError] = []

    def behave(hop: str, rows: int) -> tuple[float, TailraceError | None]:
        return 0.0, fails.pop(0) if fails and hop == "inference" else None

    settings = gateway_settings(redis.url)
    with told_spans(**tracing) as told:
        async with submission_gateway(settings, folder) as gateway:
            chains = SimulatedChain(behave)
            registry = PipelineRegistry(
                write_pipeline(folder),
                lambda pipeline: ConvoyFormer(chains.chain(pipeline), BOUNDS),
            )
            registry.load()
            parts = BatchParts(
                registry=registry,
                account=OutcomeAccount(0.0, RunSpans(process_tracing())),
                verdicts=Verdicts(3, Suspects()),
                writer=ResultWriter(gateway.queue.submissions),
                connected=lambda: True,
                deadline_ms=None,
            )
            own = courier_settings(
                redis.url,
                queue_key_prefix=settings.queue_key_prefix,
                queue_partitions=settings.queue_partitions,
            )
            async with running_courier(own, gateway.queue) as courier:
                yield World(gateway, courier, told, parts, fails)
    told.check()


def _place(span: Span) -> tuple[str, str]:
    return span.context.trace_id, span.context.span_id


def _named_by(traceparent: str) -> tuple[str, str]:
    place = read_traceparent(traceparent)
    assert place is not None
    return place.trace_id, place.span_id


async def test_a_push_is_traced_back_to_its_submit(queue_redis: LocalRedis, tmp_path: Path) -> None:
    async with (
        webhook_receiver() as receiver,
        world_of(queue_redis, tmp_path, sample_rate=0.0) as world,
    ):
        await register(world.gateway.queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        wanted = submission(2.0, tenant="acme", callback="hook", request_id="r-7")
        (submitted,) = await world.submit(wanted, headers=TRACED)
        assert await world.run() == 1
        await world.delivered(submitted)

    told = world.told
    assert told.edges() == {
        ("", "submit"): 1,
        ("submit", "predict"): 1,
        ("predict", "convoy"): 1,
        ("convoy", "hop ingest"): 1,
        ("convoy", "hop inference"): 1,
        ("convoy", "hop postprocess"): 1,
        ("submit", "push"): 1,
    }
    assert {span.context.trace_id for span in told.spans} == {TRACE_ID}
    assert {span.context.tracestate for span in told.spans} == {"a=1,b=2"}
    submit, run, push = (told.one(name) for name in (names.SUBMIT, names.PREDICT, names.PUSH))
    assert submit.context.parent_id == CALLER_ID
    kinds = [span.kind for span in (submit, run, push)]
    assert kinds == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]
    for span in (submit, run, push):
        assert span.attributes[names.PREDICTION_ID] == submitted.prediction_id
        assert span.attributes[names.REQUEST_ID] == "r-7"
        assert span.attributes[names.PIPELINE] == PIPELINE
        assert span.code is Code.OK
    assert submit.attributes[names.ALREADY_SUBMITTED] is False
    assert push.attributes[names.CALLBACK] == "acme/hook"
    assert run.attributes[names.ATTEMPT] == push.attributes[names.ATTEMPT] == 1
    (received,) = receiver.requests
    assert received.headers["traceparent"] == push.context.traceparent
    assert received.headers["tracestate"] == "a=1,b=2"


async def test_where_callers_are_not_followed_run_and_push_follow_the_submit(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    count = 20
    async with (
        webhook_receiver() as receiver,
        world_of(queue_redis, tmp_path, sample_rate=0.5, follow_callers=False) as world,
    ):
        await register(world.gateway.queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        submitted = []
        for number in range(count):
            wanted = submission(float(number), tenant="acme", callback="hook")
            submitted += await world.submit(wanted, headers=dict(new_trace(sampled=True).headers()))
        assert await world.run() == count
        for each in submitted:
            await world.delivered(each)
    found = {span.context.trace_id for span in world.told.spans}
    assert 0 < len(found) < count
    for trace_id in found:
        told = [span.name for span in world.told.spans if span.context.trace_id == trace_id]
        assert [told.count(name) for name in (names.SUBMIT, names.PREDICT, names.PUSH)] == [1] * 3


async def test_results_that_share_a_message_keep_their_own_traces(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    other = "1" * 32
    async with (
        grpc_receiver() as receiver,
        world_of(queue_redis, tmp_path, sample_rate=0.0) as world,
    ):
        await register(
            world.gateway.queue, "hook", f"grpc://127.0.0.1:{receiver.port}", scheme=2, max_batch=9
        )
        headers = {
            "untraced": {},
            "first": TRACED,
            "second": {"traceparent": f"00-{other}-{CALLER_ID}-01"},
        }
        submitted = {}
        for name, own in headers.items():
            # In one partition, so that they are claimed together.
            wanted = submission(
                1.0, tenant="acme", callback="hook", ordering_key="k", request_id=name
            )
            (submitted[name],) = await world.submit(wanted, headers=own)
        assert await world.run() == 3
        for each in submitted.values():
            await world.delivered(each)

    assert receiver.batches == [3]
    push = world.told.one(names.PUSH)
    submits = {
        str(span.attributes[names.REQUEST_ID]): span for span in world.told.named(names.SUBMIT)
    }
    assert sorted(submits) == ["first", "second"]
    assert push.context.parent_id == submits["first"].context.span_id
    assert [(link.trace_id, link.span_id) for link in push.links] == [_place(submits["second"])]
    assert (push.attributes[names.BATCH_COUNT], push.attributes[names.FAILED_ROWS]) == (3, 0)
    told = {delivery.delivery_id: delivery for delivery in receiver.deliveries}
    first, second = (told[submitted[name].prediction_id] for name in ("first", "second"))
    assert (_named_by(first.traceparent), first.tracestate) == (_place(push), "a=1,b=2")
    assert (_named_by(second.traceparent), second.tracestate) == (_place(submits["second"]), "")
    untraced = read_traceparent(told[submitted["untraced"].prediction_id].traceparent)
    assert untraced is not None and not untraced.sampled
    (metadata,) = receiver.metadata
    assert (metadata["traceparent"], metadata["tracestate"]) == (first.traceparent, "a=1,b=2")


async def test_a_repetition_is_a_trace_of_its_own_that_names_the_prediction(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with world_of(queue_redis, tmp_path) as world:
        (first,) = await world.submit(submission(1.0, idempotency_key="once"))
        (again,) = await world.submit(submission(1.0, idempotency_key="once"))
        assert await world.run() == 1
    assert again.already_submitted
    one, two = world.told.named(names.SUBMIT)
    assert one.attributes[names.PREDICTION_ID] == two.attributes[names.PREDICTION_ID]
    assert two.attributes[names.ALREADY_SUBMITTED] is True
    assert one.context.trace_id != two.context.trace_id
    assert [span.name for span in world.told.below(one)] == [names.PREDICT]
    assert not world.told.below(two)


async def test_every_run_of_a_submission_is_below_its_submit(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with world_of(queue_redis, tmp_path) as world:
        world.fails.append(Unavailable("no model", reason=Reason.MODEL_UNAVAILABLE))
        await world.submit(submission(1.0))
        with capture_logs() as lines:
            assert await world.run() == 1
        async with asyncio.timeout(30):
            while not await world.run():
                await world.gateway.queue.submissions.wait_queued(0.05)
                for partition in range(world.gateway.queue.submissions.partitions):
                    await world.gateway.queue.submissions.sweep(partition)
    submit = world.told.one(names.SUBMIT)
    runs = world.told.named(names.PREDICT)
    assert world.told.below(submit) == runs
    assert [run.code for run in runs] == [Code.UNAVAILABLE, Code.OK]
    assert [run.attributes[names.ATTEMPT] for run in runs] == [1, 2]
    assert len(world.told.named(names.CONVOY)) == 2
    (line,) = [line for line in lines if line["event"] == "submission postponed"]
    place = (line[telemetry_names.TRACE_ID], line[telemetry_names.SPAN_ID])
    assert place == _place(runs[0])


async def test_a_run_that_fails_is_told_afterwards_in_the_submits_trace(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with world_of(queue_redis, tmp_path, sample_rate=0.0, afterwards_per_s=9.0) as world:
        world.fails.append(Internal("no such tensor", reason=Reason.MODEL_MISMATCH))
        headers = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-00"}
        (submitted,) = await world.submit(submission(1.0), headers=headers)
        assert await world.run() == 1
    assert world.told.edges() == {
        ("", "predict"): 1,
        ("predict", "convoy"): 1,
        ("convoy", "hop ingest"): 1,
        ("convoy", "hop inference"): 1,
    }
    run = world.told.one(names.PREDICT)
    assert (run.context.trace_id, run.kind) == (TRACE_ID, SpanKind.CONSUMER)
    assert run.attributes[names.PREDICTION_ID] == submitted.prediction_id
    assert run.attributes[names.SAMPLED_BY] == "failed"


async def test_a_push_that_fails_is_told_afterwards_in_the_submits_trace(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    answers = [503, 204]

    def answer(_: Received) -> web.Response:
        return web.Response(status=answers.pop(0))

    async with (
        webhook_receiver(answer) as receiver,
        world_of(queue_redis, tmp_path, sample_rate=0.0, afterwards_per_s=9.0) as world,
    ):
        await register(world.gateway.queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        wanted = submission(1.0, tenant="acme", callback="hook")
        headers = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-00"}
        (submitted,) = await world.submit(wanted, headers=headers)
        with capture_logs() as lines:
            await world.run()
            await world.delivered(submitted)
    (push,) = world.told.spans
    assert (push.name, push.code, push.message) == (names.PUSH, Code.UNKNOWN, "HTTP 503")
    assert push.context.trace_id == TRACE_ID
    assert push.attributes[names.SAMPLED_BY] == "failed"
    assert (push.attributes[names.FAILED_ROWS], push.attributes[names.DEAD_ROWS]) == (1, 0)
    first, second = (_named_by(each.headers["traceparent"]) for each in receiver.requests)
    assert first == _place(push) != second
    (line,) = [line for line in lines if line["event"] == "delivery failed"]
    assert (line[telemetry_names.TRACE_ID], line[telemetry_names.SPAN_ID]) == first


async def test_each_attempt_is_a_span_and_the_last_says_that_it_is_dead(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with (
        webhook_receiver(lambda _: web.Response(status=500)) as receiver,
        world_of(queue_redis, tmp_path) as world,
    ):
        await register(world.gateway.queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (submitted,) = await world.submit(submission(1.0, tenant="acme", callback="hook"))
        await world.run()
        await ended(world.gateway.queue, submitted.prediction_id, DeliveryState.DEAD)
    pushes = world.told.named(names.PUSH)
    assert world.told.below(world.told.one(names.SUBMIT))[1:] == pushes
    assert [push.attributes[names.ATTEMPT] for push in pushes] == [1, 2, 3, 4]
    assert [push.attributes[names.DEAD_ROWS] for push in pushes] == [0, 0, 0, 1]


async def test_a_push_that_is_given_up_is_told_once(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with raw_server(hang) as receiver, world_of(queue_redis, tmp_path) as world:
        await register(world.gateway.queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        await world.submit(submission(1.0, tenant="acme", callback="hook"))
        await world.run()
        async with asyncio.timeout(30):
            while not receiver.connections:
                await world.gateway.queue.submissions.wait_due(0.01)
        await world.courier.drain(0.0)
    assert world.told.one(names.PUSH).code is Code.CANCELLED


async def test_what_is_refused_is_told_if_it_is_in_the_sample(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with world_of(queue_redis, tmp_path, sample_rate=0.0, afterwards_per_s=9.0) as world:
        refused = submission(1.0, pipeline="nobody", request_id="bad")
        await world.submit(refused)
        assert world.told.spans == []
        await world.submit(refused, submission(1.0, request_id="good"), headers=TRACED)
    spans = {span.attributes[names.REQUEST_ID]: span for span in world.told.named(names.SUBMIT)}
    assert {name: span.code for name, span in spans.items()} == {
        "bad": Code.NOT_FOUND,
        "good": Code.OK,
    }
    assert {span.context.parent_id for span in spans.values()} == {CALLER_ID}
