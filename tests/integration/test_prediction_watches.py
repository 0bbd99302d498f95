"""`WatchPredictions`: changes are told in order, once each while it lasts, and again after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from tailrace.gateway.watch_position import decode_position
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import QueueSettings
from tailrace.runtime.errors import OutOfRange
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1.prediction_service_pb2 import (
    CancelPredictionRequest,
    PredictResponse,
    SubmitPredictionsRequest,
    WatchPredictionsRequest,
)
from tests.support.requests import error_info
from tests.support.submission_gateway import (
    SubmissionGateway,
    gateway_settings,
    ids_of,
    submission,
    submission_gateway,
    until,
)

CODE = grpc.StatusCode
SUCCEEDED = messages.PREDICTION_STATE_SUCCEEDED
CANCELLED = messages.PREDICTION_STATE_CANCELLED


@pytest_asyncio.fixture
async def gateway(
    queue_settings: QueueSettings, tmp_path: Path
) -> AsyncIterator[SubmissionGateway]:
    """One with a fresh queue, on one server and on a cluster in turn."""
    settings = gateway_settings(
        str(queue_settings.queue_redis_url),
        queue_redis_cluster=queue_settings.queue_redis_cluster,
    )
    async with submission_gateway(settings, tmp_path) as running:
        yield running


class Watch:
    """A watch that has begun, and what it was told."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.position = ""
        self.changes: list[messages.PredictionChange] = []

    async def told(self, count: int) -> list[str]:
        """Returns the ids of the changes once there are so many, in order."""
        async with asyncio.timeout(30):
            while len(self.changes) < count:
                await self.read()
        return [change.prediction.prediction_id for change in self.changes]

    async def read(self) -> None:
        """Takes in one message."""
        message = await self._call.read()
        assert message is not grpc.aio.EOF, await self._call.details()
        self.position = message.position
        self.changes += message.changes

    async def failure(self) -> grpc.aio.AioRpcError:
        """Returns what ends it."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(30):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
        return caught.value

    def cancel(self) -> None:
        """Leaves."""
        self._call.cancel()


async def begin(gateway: SubmissionGateway, **parts: Any) -> Watch:
    """Returns a watch that has been told where it begins."""
    watch = Watch(gateway.predictions.WatchPredictions(WatchPredictionsRequest(**parts)))
    await watch.read()
    assert watch.position
    return watch


async def test_changes_are_told_as_they_happen(gateway: SubmissionGateway) -> None:
    earlier = await gateway.submit(submission())
    await gateway.run_all()
    watch = await begin(gateway)
    assert not watch.changes
    submitted = [await gateway.submit(submission(float(n))) for n in range(20)]
    await gateway.run_all()
    ids = await watch.told(20)
    assert sorted(ids) == sorted(ids_of(submitted))
    assert earlier.prediction_id not in ids
    assert {change.prediction.state for change in watch.changes} == {SUCCEEDED}
    assert not any(change.prediction.HasField("response") for change in watch.changes)
    for change in watch.changes:
        late = change.change_time.ToMilliseconds() - change.prediction.end_time.ToMilliseconds()
        assert 0 <= late < 1000


async def test_a_watch_goes_on_where_another_stopped(gateway: SubmissionGateway) -> None:
    first = await begin(gateway)
    before = [await gateway.submit(submission(float(n))) for n in range(5)]
    await gateway.run_all()
    assert sorted(await first.told(5)) == sorted(ids_of(before))
    first.cancel()
    meanwhile = [await gateway.submit(submission(float(n))) for n in range(700)]
    while await gateway.run_all():
        pass
    second = await begin(gateway, position=first.position)
    assert sorted(await second.told(700)) == sorted(ids_of(meanwhile))
    later = await gateway.submit(submission())
    await gateway.run_all()
    assert (await second.told(701))[-1] == later.prediction_id


async def test_what_has_happened_to_named_predictions_is_told_first(
    gateway: SubmissionGateway,
) -> None:
    done = await gateway.submit(submission(1.0))
    await gateway.run_all()
    waiting = await gateway.submit(submission(2.0))
    other = await gateway.submit(submission(3.0))
    watch = await begin(gateway, prediction_ids=ids_of([done, waiting]), include_outcomes=True)
    assert await watch.told(1) == [done.prediction_id]
    assert watch.changes[0].prediction.HasField("response")
    await gateway.run_all()
    assert await watch.told(2) == [done.prediction_id, waiting.prediction_id]
    assert other.prediction_id not in await watch.told(2)


async def test_only_what_was_asked_for_is_told(gateway: SubmissionGateway) -> None:
    by_tenant = await begin(gateway, tenant="acme")
    by_state = await begin(gateway, states=[CANCELLED])
    by_pipeline = await begin(gateway, pipeline="another")
    mine = await gateway.submit(submission(tenant="acme"))
    other = await gateway.submit(submission(tenant="other"))
    cancel = CancelPredictionRequest(prediction_id=other.prediction_id)
    await gateway.predictions.CancelPrediction(cancel, timeout=5)
    await gateway.run_all()
    last = await gateway.submit(submission(tenant="acme"))
    await gateway.run_all()
    assert await by_tenant.told(2) == ids_of([mine, last])
    assert await by_state.told(1) == [other.prediction_id]
    assert not by_pipeline.changes


async def test_ended_deliveries_are_told_where_asked_for(queue_redis: Any, tmp_path: Path) -> None:
    settings = gateway_settings(queue_redis.url, allow_inline_callbacks=True)
    inline = messages.InlineCallback(
        target="https://example.com/hook", secret="whsec_" + "c2VjcmV0" * 4
    )
    async with submission_gateway(settings, tmp_path) as gateway:
        states_only = await begin(gateway)
        both = await begin(gateway, deliveries=True)
        submitted = await gateway.submit(submission(inline_callback=inline))
        await gateway.run_all()
        assert await states_only.told(1) == [submitted.prediction_id]
        await gateway.deliver_all()
        assert await both.told(2) == [submitted.prediction_id] * 2
        delivery = both.changes[-1].prediction.delivery
        assert delivery.state == messages.DELIVERY_STATE_DELIVERED
        last = await gateway.submit(submission())
        await gateway.run_all()
        assert await states_only.told(2) == [submitted.prediction_id, last.prediction_id]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"position": "?"}, "position"),
        ({"position": "MDow"}, "position"),
        ({"prediction_ids": ["nonsense"]}, "prediction_ids[0]"),
        ({"prediction_ids": ["999-01JD8Z6V3N8B4Q2W5X7Y9K1M3P"]}, "prediction_ids[0]"),
        ({"prediction_ids": ["x"] * 1001}, "prediction_ids"),
        ({"states": [SUCCEEDED, messages.PREDICTION_STATE_QUEUED]}, "states[1]"),
        ({"states": [77]}, "states[0]"),
    ],
)
async def test_a_watch_that_cannot_be_is_refused(
    gateway: SubmissionGateway, parts: dict[str, Any], field: str
) -> None:
    watch = Watch(gateway.predictions.WatchPredictions(WatchPredictionsRequest(**parts)))
    failure = await watch.failure()
    assert failure.code() is CODE.INVALID_ARGUMENT
    assert error_info(failure).metadata["field"] == field


async def test_a_position_that_is_too_old_is_told(queue_redis: Any, tmp_path: Path) -> None:
    settings = gateway_settings(queue_redis.url, changes_ttl_s=1, queue_partitions=1)
    async with submission_gateway(settings, tmp_path) as gateway:
        await gateway.submit(submission())
        await gateway.run_all()
        watch = await begin(gateway)
        watch.cancel()
        for _ in range(3):
            await gateway.submit(submission())
            await gateway.run_all()
        store = gateway.queue.submissions
        [position] = decode_position(watch.position, [0]).values()

        async def is_trimmed() -> bool:
            await store.publish(0, 100)
            await store.sweep(0)
            try:
                await store.changes(0, position, 1, None)
            except OutOfRange:
                return True
            return False

        await until(is_trimmed)
    # Another gateway has no memory of them.
    request = WatchPredictionsRequest(position=watch.position)
    async with submission_gateway(settings, tmp_path) as gateway:
        failure = await Watch(gateway.predictions.WatchPredictions(request)).failure()
        assert failure.code() is CODE.OUT_OF_RANGE
        assert error_info(failure).reason == "POSITION_TOO_OLD"


async def test_watches_end_when_the_gateway_does(gateway: SubmissionGateway) -> None:
    watch = await begin(gateway)
    gateway.draining.set()
    failure = await watch.failure()
    assert failure.code() is CODE.UNAVAILABLE
    assert error_info(failure).reason == "DRAINING"


async def test_one_who_does_not_take_changes_is_let_go_and_holds_up_nobody(
    queue_redis: Any, tmp_path: Path
) -> None:
    settings = gateway_settings(queue_redis.url, stream_idle_timeout_ms=1000)
    large = PredictResponse(request_id="x" * 100_000)
    async with submission_gateway(settings, tmp_path) as gateway:
        slow = await begin(gateway, include_outcomes=True)
        quick = await begin(gateway)
        request = SubmitPredictionsRequest(submissions=[submission() for _ in range(200)])
        await gateway.predictions.SubmitPredictions(request, timeout=10)
        for claim in await gateway.claim(200):
            await gateway.finish(claim, large)
        assert len(await quick.told(200)) == 200

        # Its messages are read no further here: gRPC stops, and then the gateway.
        async def only_one_goes_on() -> bool:
            return REGISTRY.get_sample_value(names.WATCHES) == 1

        await until(only_one_goes_on)
        assert len(slow.changes) < 200
        failure = await slow.failure()
        assert failure.code() is CODE.DEADLINE_EXCEEDED


async def test_a_hundred_watches_are_all_told(gateway: SubmissionGateway) -> None:
    watches = await asyncio.gather(*(begin(gateway) for _ in range(100)))
    submitted = [await gateway.submit(submission(float(n))) for n in range(10)]
    await gateway.run_all()
    for watch in watches:
        assert sorted(await watch.told(10)) == sorted(ids_of(submitted))
