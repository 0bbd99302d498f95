"""Submissions through the gateway's services, over a real queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import redis
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.gateway.group_commit import TURN_ROWS
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import QueueSettings
from tailrace.submissions.ids import partition_of_id
from tailrace.v1 import batch_pb2
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1.prediction_service_pb2 import (
    CancelPredictionRequest,
    GetPredictionRequest,
    InlineCallback,
    ListPredictionsRequest,
    PredictResponse,
    Submission,
    SubmitPredictionRequest,
    SubmitPredictionsRequest,
)
from tests.support.requests import error_info, predict_request
from tests.support.submission_gateway import (
    PIPELINE,
    SubmissionGateway,
    gateway_settings,
    ids_of,
    submission,
    submission_gateway,
    until,
)

CODE = grpc.StatusCode
SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest_asyncio.fixture
async def gateway(
    queue_settings: QueueSettings, tmp_path: Path
) -> AsyncIterator[SubmissionGateway]:
    """One with a fresh queue, on one server and on a cluster in turn; with inline callbacks."""
    settings = gateway_settings(
        str(queue_settings.queue_redis_url),
        queue_redis_cluster=queue_settings.queue_redis_cluster,
        allow_inline_callbacks=True,
    )
    async with submission_gateway(settings, tmp_path) as running:
        yield running


async def test_a_submission_can_be_fetched_with_its_result(gateway: SubmissionGateway) -> None:
    submitted = await gateway.submit(submission(2.0, request_id="r-1", tenant="acme"))
    assert (submitted.state, submitted.already_submitted) == (
        messages.PREDICTION_STATE_QUEUED,
        False,
    )
    get = GetPredictionRequest(prediction_id=submitted.prediction_id)
    record = (await gateway.predictions.GetPrediction(get, timeout=5)).prediction
    assert (record.request_id, record.tenant, record.pipeline) == ("r-1", "acme", PIPELINE)
    assert record.state == messages.PREDICTION_STATE_QUEUED
    assert record.WhichOneof("outcome") is None
    assert record.create_time == submitted.create_time

    [claim] = await gateway.claim()
    request = messages.PredictRequest.FromString(claim.request)
    assert request == predict_request(
        PIPELINE, {"x": 2.0}, request_id="r-1", tenant="acme", priority=batch_pb2.PRIORITY_NORMAL
    )
    await gateway.finish(claim, PredictResponse(pipeline=PIPELINE, pipeline_version="1-abc"))
    record = (await gateway.predictions.GetPrediction(get, timeout=5)).prediction
    assert record.state == messages.PREDICTION_STATE_SUCCEEDED
    assert record.response.pipeline_version == "1-abc"
    assert record.run_attempts == 1
    assert record.HasField("start_time") and record.HasField("end_time")
    assert not record.HasField("delivery")


async def test_a_submission_without_request_id_gets_one(gateway: SubmissionGateway) -> None:
    await gateway.submit(submission())
    [claim] = await gateway.claim()
    assert len(messages.PredictRequest.FromString(claim.request).request_id) == 32


async def test_the_same_submission_a_hundred_times_at_once_is_one(
    gateway: SubmissionGateway,
) -> None:
    submitted = await asyncio.gather(
        *(
            gateway.submit(submission(request_id=f"r{n}", idempotency_key="order 12"))
            for n in range(100)
        )
    )
    assert len(set(ids_of(submitted))) == 1
    assert sum(not each.already_submitted for each in submitted) == 1
    assert len(await gateway.claim()) == 1


async def test_a_key_is_another_tenants_own(gateway: SubmissionGateway) -> None:
    one = await gateway.submit(submission(tenant="one", idempotency_key="k"))
    two = await gateway.submit(submission(tenant="two", idempotency_key="k"))
    assert one.prediction_id != two.prediction_id
    assert not two.already_submitted


@pytest.mark.parametrize(
    "other",
    [
        {"x": 3.0},
        {"priority": batch_pb2.PRIORITY_CRITICAL},
        {"not_after": Timestamp(seconds=4_000_000_000)},
        {"inline_callback": InlineCallback(target="https://example.com/h", secret=SECRET)},
    ],
)
async def test_a_key_used_for_another_submission_is_refused(
    gateway: SubmissionGateway, other: dict[str, Any]
) -> None:
    await gateway.submit(submission(2.0, idempotency_key="k"))
    parts: dict[str, Any] = {"x": 2.0, **other}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.submit(submission(idempotency_key="k", **parts))
    assert caught.value.code() is CODE.ALREADY_EXISTS
    assert error_info(caught.value).reason == "IDEMPOTENCY_CONFLICT"


async def test_request_id_and_timeout_do_not_make_another_submission(
    gateway: SubmissionGateway,
) -> None:
    first = await gateway.submit(submission(request_id="a", idempotency_key="k"))
    again = await gateway.submit(
        submission(request_id="b", timeout=Duration(seconds=1), idempotency_key="k")
    )
    assert again.already_submitted
    assert again.prediction_id == first.prediction_id
    assert again.create_time == first.create_time


BAD = {
    "no request": (Submission(), CODE.INVALID_ARGUMENT, "request"),
    "pipeline": (submission(pipeline="nope"), CODE.NOT_FOUND, "request.pipeline"),
    "version": (
        submission(pipeline_version="9"),
        CODE.NOT_FOUND,
        "request.pipeline_version",
    ),
    "request id": (submission(request_id="a b"), CODE.INVALID_ARGUMENT, "request.request_id"),
    "tenant": (submission(tenant="t" * 65), CODE.INVALID_ARGUMENT, "request.tenant"),
    "key": (submission(idempotency_key="k" * 257), CODE.INVALID_ARGUMENT, "idempotency_key"),
    "ordering": (submission(ordering_key="a\nb"), CODE.INVALID_ARGUMENT, "ordering_key"),
    "past": (submission(not_after=Timestamp(seconds=1)), CODE.INVALID_ARGUMENT, "not_after"),
    "no time": (submission(not_after=Timestamp(nanos=-1)), CODE.INVALID_ARGUMENT, "not_after"),
    "size": (
        Submission(request=predict_request(PIPELINE, {"x": "y" * 300_000})),
        CODE.INVALID_ARGUMENT,
        "request",
    ),
    "fields": (
        Submission(request=predict_request(PIPELINE, {f"x{n}": 1.0 for n in range(1001)})),
        CODE.INVALID_ARGUMENT,
        "request.fields",
    ),
    "callback": (submission(callback="nobody"), CODE.NOT_FOUND, "callback"),
    "inline target": (
        submission(inline_callback=InlineCallback(target="ftp://a", secret=SECRET)),
        CODE.INVALID_ARGUMENT,
        "inline_callback.target",
    ),
    "inline plaintext": (
        submission(inline_callback=InlineCallback(target="http://a.example", secret=SECRET)),
        CODE.PERMISSION_DENIED,
        "inline_callback.target",
    ),
    "inline secret": (
        submission(inline_callback=InlineCallback(target="https://a.example")),
        CODE.INVALID_ARGUMENT,
        "inline_callback.secret",
    ),
}


@pytest.mark.parametrize(("bad", "code", "field"), list(BAD.values()), ids=list(BAD))
async def test_what_is_wrong_with_a_submission_is_named_and_nothing_is_written(
    gateway: SubmissionGateway, bad: Submission, code: grpc.StatusCode, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.submit(bad)
    assert caught.value.code() is code
    assert error_info(caught.value).metadata["field"] == f"submission.{field}"
    many = SubmitPredictionsRequest(submissions=[submission(), bad])
    response = await gateway.predictions.SubmitPredictions(many, timeout=5)
    assert response.results[0].HasField("submitted")
    assert response.results[1].error.code == code.value[0]
    assert error_info(response.results[1].error).metadata["field"] == f"submissions[1].{field}"
    assert len(await gateway.claim()) == 1


async def test_an_empty_call_is_refused(gateway: SubmissionGateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.SubmitPrediction(SubmitPredictionRequest(), timeout=5)
    assert error_info(caught.value).metadata["field"] == "submission"


async def test_inline_callbacks_are_refused_where_they_are_not_allowed(
    queue_redis: Any, tmp_path: Path
) -> None:
    inline = InlineCallback(target="https://example.com/h", secret=SECRET)
    async with submission_gateway(gateway_settings(queue_redis.url), tmp_path) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.submit(submission(inline_callback=inline))
    assert caught.value.code() is CODE.PERMISSION_DENIED
    assert error_info(caught.value).reason == "CALLBACK_NOT_ALLOWED"


async def test_many_submissions_of_a_call_are_answered_in_order(
    gateway: SubmissionGateway,
) -> None:
    submissions = [submission(float(n), request_id=f"r{n}") for n in range(1300)]
    request = SubmitPredictionsRequest(submissions=submissions)
    response = await gateway.predictions.SubmitPredictions(request, timeout=10)
    ids = [result.submitted.prediction_id for result in response.results]
    assert len(set(ids)) == 1300
    found = await gateway.queue.submissions.get(ids, outcomes=False)
    assert [stored.request_id for stored in found if stored] == [f"r{n}" for n in range(1300)]


async def test_submissions_of_one_call_without_keys_go_together(
    gateway: SubmissionGateway,
) -> None:
    partitions: list[int | None] = []
    # A few calls share a partition; what fills one goes on to the next.
    for rows in (20, 20, 20, *[TURN_ROWS] * 4):
        request = SubmitPredictionsRequest(submissions=[submission(float(n)) for n in range(rows)])
        response = await gateway.predictions.SubmitPredictions(request, timeout=5)
        found = {partition_of_id(result.submitted.prediction_id) for result in response.results}
        assert len(found) == 1
        partitions += found
    assert len(set(partitions[:3])) == 1
    assert len(set(partitions)) == 4


async def test_submissions_with_one_ordering_key_share_a_partition(
    gateway: SubmissionGateway,
) -> None:
    request = SubmitPredictionsRequest(
        submissions=[submission(ordering_key="k", idempotency_key=str(n)) for n in range(20)]
    )
    response = await gateway.predictions.SubmitPredictions(request, timeout=5)
    found = {partition_of_id(result.submitted.prediction_id) for result in response.results}
    assert len(found) == 1


async def test_concurrent_calls_are_written_together(queue_redis: Any, tmp_path: Path) -> None:
    def written() -> tuple[float, float]:
        name = names.SUBMISSION_GROUP_ROWS
        return tuple(REGISTRY.get_sample_value(f"{name}_{part}") or 0 for part in ("count", "sum"))  # type: ignore[return-value]

    async with submission_gateway(gateway_settings(queue_redis.url), tmp_path) as gateway:
        writes, rows = written()
        with redis.Redis.from_url(queue_redis.url) as client:
            # They arrive while the first write is under way, however fast Redis is.
            client.execute_command("CLIENT", "PAUSE", "2000", "WRITE")
        await asyncio.gather(*(gateway.submit(submission(float(n))) for n in range(300)))
    assert written()[1] - rows == 300
    assert written()[0] - writes < 50


async def test_a_full_backlog_refuses_and_drops_nothing(queue_redis: Any, tmp_path: Path) -> None:
    settings = gateway_settings(queue_redis.url, max_queued_submissions=10, queue_partitions=1)
    async with submission_gateway(settings, tmp_path) as gateway:
        for n in range(10):
            await gateway.submit(submission(float(n)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.submit(submission())
        assert caught.value.code() is CODE.RESOURCE_EXHAUSTED
        assert error_info(caught.value).reason == "BACKLOG_FULL"
        assert len(await gateway.run_all()) == 10
        await gateway.submit(submission())


async def test_what_expires_says_so(gateway: SubmissionGateway) -> None:
    not_after = Timestamp()
    not_after.FromNanoseconds(time.time_ns() + 300_000_000)
    submitted = await gateway.submit(submission(not_after=not_after))
    partition = partition_of_id(submitted.prediction_id)
    assert partition is not None
    get = GetPredictionRequest(prediction_id=submitted.prediction_id, wait=Duration(seconds=10))
    waiting = asyncio.ensure_future(gateway.predictions.GetPrediction(get, timeout=15))

    async def has_expired() -> bool:
        return await gateway.queue.submissions.sweep(partition) > 0

    await until(has_expired)
    record = (await waiting).prediction
    assert record.state == messages.PREDICTION_STATE_EXPIRED
    assert record.error.code == CODE.DEADLINE_EXCEEDED.value[0]
    assert error_info(record.error).reason == "EXPIRED"


async def test_what_is_cancelled_stays_so_and_says_so(gateway: SubmissionGateway) -> None:
    submitted = await gateway.submit(submission(tenant="acme"))
    strangers = CancelPredictionRequest(prediction_id=submitted.prediction_id, tenant="other")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.CancelPrediction(strangers, timeout=5)
    assert error_info(caught.value).reason == "PREDICTION_NOT_FOUND"
    cancel = CancelPredictionRequest(prediction_id=submitted.prediction_id, tenant="acme")
    for _ in range(2):
        record = (await gateway.predictions.CancelPrediction(cancel, timeout=5)).prediction
        assert record.state == messages.PREDICTION_STATE_CANCELLED
        assert error_info(record.error).reason == "SUBMISSION_CANCELLED"
        assert record.error.code == CODE.CANCELLED.value[0]
    assert await gateway.claim() == []


async def test_what_has_its_result_cannot_be_cancelled(gateway: SubmissionGateway) -> None:
    submitted = await gateway.submit(submission())
    await gateway.run_all()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.CancelPrediction(
            CancelPredictionRequest(prediction_id=submitted.prediction_id), timeout=5
        )
    assert caught.value.code() is CODE.FAILED_PRECONDITION
    assert error_info(caught.value).reason == "PREDICTION_ENDED"


@pytest.mark.parametrize(
    "prediction_id",
    ["", "nonsense", "999-01JD8Z6V3N8B4Q2W5X7Y9K1M3P", "000-01JD8Z6V3N8B4Q2W5X7Y9K1M3P"],
)
async def test_an_unknown_prediction_is_not_found(
    gateway: SubmissionGateway, prediction_id: str
) -> None:
    for wait in (None, Duration(seconds=5)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.predictions.GetPrediction(
                GetPredictionRequest(prediction_id=prediction_id, wait=wait), timeout=5
            )
        assert caught.value.code() is CODE.NOT_FOUND
        assert error_info(caught.value).reason == "PREDICTION_NOT_FOUND"


async def test_more_calls_fetch_at_once_than_there_are_connections(
    gateway: SubmissionGateway,
) -> None:
    submitted = [await gateway.submit(submission(float(n))) for n in range(4)]
    gets = [GetPredictionRequest(prediction_id=each) for each in ids_of(submitted) * 200]
    answers = await asyncio.gather(
        *(gateway.predictions.GetPrediction(get, timeout=20) for get in gets)
    )
    for get, answer in zip(gets, answers, strict=True):
        assert answer.prediction.prediction_id == get.prediction_id


async def test_another_tenants_prediction_is_not_found(gateway: SubmissionGateway) -> None:
    submitted = await gateway.submit(submission(tenant="acme"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.GetPrediction(
            GetPredictionRequest(prediction_id=submitted.prediction_id, tenant="other"), timeout=5
        )
    assert caught.value.code() is CODE.NOT_FOUND


async def test_long_polls_are_answered_when_the_result_is_there(
    gateway: SubmissionGateway,
) -> None:
    submitted = [await gateway.submit(submission(float(n))) for n in range(20)]
    polls = [
        asyncio.ensure_future(
            gateway.predictions.GetPrediction(
                GetPredictionRequest(prediction_id=each, wait=Duration(seconds=60)), timeout=90
            )
        )
        for each in ids_of(submitted) * 2
    ]
    await asyncio.wait(polls, timeout=0.3)
    assert not any(poll.done() for poll in polls)
    await gateway.run_all()
    records = [(await poll).prediction for poll in polls]
    assert {record.state for record in records} == {messages.PREDICTION_STATE_SUCCEEDED}


async def test_a_long_poll_ends_with_its_time_or_that_of_its_call(
    gateway: SubmissionGateway,
) -> None:
    submitted = await gateway.submit(submission())
    for wait, timeout_s in ((Duration(nanos=200_000_000), 10), (Duration(seconds=60), 1.5)):
        get = GetPredictionRequest(prediction_id=submitted.prediction_id, wait=wait)
        record = (await gateway.predictions.GetPrediction(get, timeout=timeout_s)).prediction
        assert record.state == messages.PREDICTION_STATE_QUEUED


async def test_a_long_poll_is_answered_when_the_gateway_ends(gateway: SubmissionGateway) -> None:
    submitted = await gateway.submit(submission())
    get = GetPredictionRequest(prediction_id=submitted.prediction_id, wait=Duration(seconds=60))
    poll = asyncio.ensure_future(gateway.predictions.GetPrediction(get, timeout=90))
    await asyncio.wait([poll], timeout=0.2)
    assert not poll.done()
    gateway.draining.set()
    assert (await poll).prediction.state == messages.PREDICTION_STATE_QUEUED


async def test_predictions_are_listed_by_state_a_page_at_a_time(
    gateway: SubmissionGateway,
) -> None:
    mine = {
        (await gateway.submit(submission(float(n), tenant="mine"))).prediction_id for n in range(25)
    }
    await gateway.submit(submission(tenant="other"))
    found: list[str] = []
    token = ""
    while True:
        page = await gateway.predictions.ListPredictions(
            ListPredictionsRequest(
                state=messages.PREDICTION_STATE_QUEUED,
                tenant="mine",
                page_size=10,
                page_token=token,
            ),
            timeout=5,
        )
        assert len(page.predictions) <= 10
        found += [record.prediction_id for record in page.predictions]
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == sorted(mine)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({}, "state"),
        ({"state": 99}, "state"),
        ({"state": 1, "page_size": 1001}, "page_size"),
        ({"state": 1, "page_size": -1}, "page_size"),
        ({"state": 1, "page_token": "?"}, "page_token"),
    ],
)
async def test_a_listing_that_cannot_be_is_refused(
    gateway: SubmissionGateway, parts: dict[str, Any], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.ListPredictions(ListPredictionsRequest(**parts), timeout=5)
    assert caught.value.code() is CODE.INVALID_ARGUMENT
    assert error_info(caught.value).metadata["field"] == field


async def test_a_caller_who_leaves_is_told_of_and_counted(queue_redis: Any, tmp_path: Path) -> None:
    labels = {"pipeline": PIPELINE, "outcome": "CANCELLED"}

    def counted() -> float:
        return REGISTRY.get_sample_value(names.SUBMISSIONS_TOTAL, labels) or 0

    before = counted()
    async with submission_gateway(gateway_settings(queue_redis.url), tmp_path) as gateway:
        await gateway.submit(submission())
        with redis.Redis.from_url(queue_redis.url) as client:
            client.client_pause(1000)
            request = SubmitPredictionRequest(submission=submission(request_id="left"))
            with capture_logs() as lines:
                call = gateway.predictions.SubmitPrediction(request, timeout=10)
                await asyncio.wait([asyncio.ensure_future(call.code())], timeout=0.2)
                call.cancel()

                async def is_counted() -> bool:
                    return counted() == before + 1

                await until(is_counted)
    told = [line for line in lines if line["event"] == "submission refused"]
    assert [line[names.REQUEST_ID] for line in told] == ["left"]
