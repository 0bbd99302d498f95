"""Both clients and a real gateway with a real queue: submissions and callbacks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tailrace.client import (
    AlreadyExists,
    AsyncClient,
    CallbackSpec,
    Client,
    DeadlineExceeded,
    DeliveryState,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    Prediction,
    PredictionError,
    SignatureScheme,
    Submission,
    SubmissionState,
    SubmittedPrediction,
)
from tailrace.client.json_values import error_to_json
from tailrace.client.receiver import GrpcReceiver, WebhookReceiver
from tailrace.submissions.records import DeadReason
from tests.support.submission_gateway import (
    PIPELINE,
    SubmissionGateway,
    gateway_settings,
    submission_gateway,
)

SUCCEEDED, QUEUED = SubmissionState.SUCCEEDED, SubmissionState.QUEUED
TARGET = "https://example.com/hook"


@pytest_asyncio.fixture
async def gateway(queue_redis: Any, tmp_path: Path) -> AsyncIterator[SubmissionGateway]:
    """One with a fresh queue, whose callbacks may be on this machine."""
    settings = gateway_settings(
        queue_redis.url,
        callback_allow_plaintext=True,
        callback_allowed_networks=("127.0.0.0/8",),
    )
    async with submission_gateway(settings, tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def client(gateway: SubmissionGateway) -> AsyncIterator[AsyncClient]:
    """A client of it."""
    async with AsyncClient(gateway.target) as connected:
        yield connected


async def test_submission_is_fetched_with_its_result_and_its_times(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    submitted = await client.submit(PIPELINE, {"x": 1.0}, request_id="mine")
    assert (submitted.state, submitted.already_submitted) == (QUEUED, False)
    waiting = await client.get_submission(submitted.id)
    assert (waiting.state, waiting.outcome, waiting.queue_ms) == (QUEUED, None, None)
    with pytest.raises(PredictionError):
        _ = waiting.prediction
    fetched = asyncio.create_task(client.get_submission(submitted.id, wait=30))
    await gateway.run_all()
    stored = await fetched
    assert stored.state is SUCCEEDED
    assert stored.prediction.request_id == "ran"
    assert stored.request_id == "mine"
    assert stored.created_at == submitted.created_at
    assert (stored.delivery, stored.run_attempts) == (None, 1)
    assert stored.queue_ms is not None and stored.queue_ms >= 0
    assert stored.run_ms is not None and stored.delivery_ms is None


async def test_wait_that_is_over_returns_what_there_is(client: AsyncClient) -> None:
    submitted = await client.submit(PIPELINE, {"x": 1.0})
    assert (await client.get_submission(submitted.id, wait=0.1)).state is QUEUED


async def test_same_key_is_one_submission_and_another_body_is_refused(client: AsyncClient) -> None:
    first = await client.submit(PIPELINE, {"x": 1.0}, idempotency_key="k", request_id="r")
    again = await client.submit(PIPELINE, {"x": 1.0}, idempotency_key="k", request_id="r")
    assert (again.id, again.already_submitted) == (first.id, True)
    with pytest.raises(AlreadyExists) as refused:
        await client.submit(PIPELINE, {"x": 2.0}, idempotency_key="k")
    assert refused.value.reason == "IDEMPOTENCY_CONFLICT"


async def test_each_of_many_submissions_has_its_own_result(client: AsyncClient) -> None:
    good = [Submission(pipeline=PIPELINE, fields={"x": float(n)}) for n in range(5)]
    unsendable = Submission(pipeline=PIPELINE, fields={"x": object()})  # type: ignore[dict-item]
    unknown = Submission(pipeline="nowhere", fields={"x": 1.0})
    outcomes = await client.submit_many([*good, unsendable, unknown], per_message=2)
    ids = {each.id for each in outcomes[:5] if isinstance(each, SubmittedPrediction)}
    assert len(ids) == 5
    assert isinstance(outcomes[5], InvalidRequest)
    assert isinstance(outcomes[6], NotFound)
    assert await client.submit_many([]) == []


async def test_cancelled_submissions_are_listed_and_ended_ones_cannot_be_cancelled(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    cancelled = await client.submit(PIPELINE, {"x": 1.0}, tenant="a")
    with pytest.raises(NotFound):
        await client.cancel_submission(cancelled.id, tenant="b")
    stored = await client.cancel_submission(cancelled.id, tenant="a")
    assert stored.state is SubmissionState.CANCELLED
    with pytest.raises(PredictionError) as why:
        _ = (await client.get_submission(cancelled.id)).prediction
    assert why.value.reason == "SUBMISSION_CANCELLED"
    ended = await client.submit(PIPELINE, {"x": 1.0})
    await gateway.run_all()
    with pytest.raises(FailedPrecondition):
        await client.cancel_submission(ended.id)
    found = {
        state: [each.id async for each in client.list_submissions(state)]
        for state in (SubmissionState.CANCELLED, SUCCEEDED, QUEUED)
    }
    assert list(found.values()) == [[cancelled.id], [ended.id], []]


async def test_submission_expires_at_its_own_limit(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    submitted = await client.submit(PIPELINE, {"x": 1.0}, not_after=soon)
    partition = int(submitted.id.partition("-")[0])
    while await gateway.queue.submissions.sweep(partition) == 0:
        pass
    stored = await client.get_submission(submitted.id)
    assert (stored.state, stored.not_after is not None) == (SubmissionState.EXPIRED, True)
    assert isinstance(stored.outcome, PredictionError)
    with pytest.raises(InvalidRequest) as refused:
        await client.submit(PIPELINE, {"x": 1.0}, not_after=datetime(2026, 1, 1))
    assert refused.value.field == "not_after"


async def test_watch_tells_what_happens_from_its_begin_and_resumes_where_it_stopped(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    async with client.watch_submissions(timeout=30) as watch:
        first = await client.submit(PIPELINE, {"x": 1.0})
        second = await client.submit(PIPELINE, {"x": 2.0})
        await gateway.run_all()
        seen = [await anext(watch), await anext(watch)]
        assert {change.prediction.id for change in seen} == {first.id, second.id}
        assert all(isinstance(change.prediction.outcome, Prediction) for change in seen)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(watch)
        position = watch.position
    third = await client.submit(PIPELINE, {"x": 3.0})
    await gateway.run_all()
    async with client.watch_submissions(position=position, outcomes=False) as resumed:
        change = await anext(resumed)
    assert (change.prediction.id, change.prediction.outcome) == (third.id, None)


async def test_watch_of_ids_tells_what_has_happened_already(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    submitted = await client.submit(PIPELINE, {"x": 1.0})
    await gateway.run_all()
    async with client.watch_submissions([submitted.id]) as watch:
        assert (await anext(watch)).prediction.state is SUCCEEDED


async def test_watch_ends_when_its_time_is_over_or_it_is_closed(client: AsyncClient) -> None:
    assert [change async for change in client.watch_submissions(timeout=0.1)] == []
    watch = await client.watch_submissions().begin()
    waiting = asyncio.create_task(anext(watch, None))
    watch.close()
    assert await waiting is None
    with pytest.raises(InvalidRequest):
        await client.watch_submissions(position="?").begin()


async def test_client_without_asyncio_does_the_same(gateway: SubmissionGateway) -> None:
    loop = asyncio.get_running_loop()

    def use(client: Client) -> None:
        with client.watch_submissions(timeout=30) as watch:
            submitted = client.submit(PIPELINE, {"x": 1.0}, tenant="t")
            (other,) = client.submit_many([Submission(pipeline=PIPELINE, fields={"x": 2.0})])
            assert isinstance(other, SubmittedPrediction)
            client.cancel_submission(other.id)
            asyncio.run_coroutine_threadsafe(gateway.run_all(), loop).result(30)
            told = {next(watch).prediction.id, next(watch).prediction.id}
            assert told == {submitted.id, other.id}
        assert list(watch) == []
        assert client.get_submission(submitted.id, wait=10).state is SUCCEEDED
        assert [each.id for each in client.list_submissions(SUCCEEDED)] == [submitted.id]
        assert list(client.watch_submissions(timeout=0.1)) == []
        registered = client.callbacks.register("hook", CallbackSpec(target=TARGET))
        assert registered.secret.startswith("whsec_")
        assert client.callbacks.list_all() == [registered.callback]
        assert list(client.callbacks.dead_letters()) == []
        assert client.callbacks.redrive_all() == 0
        client.callbacks.delete("hook")

    with Client(gateway.target) as client:
        await asyncio.to_thread(use, client)


async def test_callback_is_registered_changed_rotated_and_deleted(client: AsyncClient) -> None:
    callbacks = client.callbacks
    spec = CallbackSpec(target=TARGET, attempt_timeout_s=1.5, max_in_flight=3, ordered=True)
    registered = await callbacks.register("hook", spec, tenant="t")
    assert registered.callback.spec == spec
    assert registered.secret.startswith("whsec_") and registered.secret not in repr(registered)
    assert registered.key == registered.secret
    with pytest.raises(AlreadyExists):
        await callbacks.register("hook", spec, tenant="t")
    disabled = await callbacks.disable("hook", tenant="t")
    assert (disabled.enabled, disabled.disabled_reason) == (False, "ADMINISTRATOR")
    with pytest.raises(FailedPrecondition):
        await client.submit(PIPELINE, {"x": 1.0}, callback="hook", tenant="t")
    assert (await callbacks.enable("hook", tenant="t")).enabled
    changed = await callbacks.update("hook", CallbackSpec(target=TARGET), tenant="t")
    assert changed.spec == CallbackSpec(target=TARGET)
    rotated = await callbacks.rotate("hook", overlap_s=3600, tenant="t")
    assert rotated.secret not in ("", registered.secret)
    assert (rotated.callback.secret_count, rotated.callback.retires_at is None) == (2, False)
    assert await callbacks.list_all(tenant="other") == []
    await callbacks.delete("hook", tenant="t")
    with pytest.raises(NotFound):
        await callbacks.disable("hook", tenant="t")


async def test_key_pair_tells_its_public_half_only(client: AsyncClient) -> None:
    spec = CallbackSpec(target=TARGET, scheme=SignatureScheme.ED25519)
    registered = await client.callbacks.register("hook", spec)
    assert registered.secret == ""
    assert registered.key.startswith("whpk_")


async def test_ping_reaches_both_receivers(client: AsyncClient) -> None:
    def handle(pushed: object) -> None:
        raise AssertionError(pushed)

    for name, kind in (("hook", WebhookReceiver), ("stub", GrpcReceiver)):
        secret = "whsec_" + "A" * 32
        async with kind(handle, [secret]).serving() as target:
            spec = CallbackSpec(target=target)
            await client.callbacks.register(name, spec, secret=secret)
            attempt = await client.callbacks.test(name)
            assert attempt.delivered, attempt
        assert not (await client.callbacks.test(name)).delivered


@pytest.mark.parametrize("retry", [True, False])
async def test_an_error_that_leaves_it_open_names_the_key_to_repeat_it_under(retry: bool) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{closed.getsockname()[1]}"
        async with AsyncClient(target, timeout=0.5) as client:
            with pytest.raises(PredictionError, match="may have been accepted") as caught:
                await client.submit(PIPELINE, {"x": 1.0}, retry=retry)
            many = [
                Submission(pipeline=PIPELINE, fields={"x": n}, idempotency_key=f"k{n}")
                for n in (1.0, 2.0)
            ]
            outcomes = await client.submit_many(many, retry=retry)
            with pytest.raises(PredictionError) as unsent:
                await client.submit(PIPELINE, {"x": 1.0}, timeout=1e-9)
    key = caught.value.idempotency_key
    assert key is not None
    assert bool(key) is retry
    assert key in str(caught.value)
    assert [each.idempotency_key for each in outcomes if isinstance(each, PredictionError)] == [
        "k1.0",
        "k2.0",
    ]
    assert error_to_json(caught.value)["idempotency_key"] == key
    # What was never sent is not there.
    assert unsent.value.idempotency_key is None
    assert "idempotency_key" not in error_to_json(unsent.value)


async def test_a_submission_that_is_cut_off_names_its_key() -> None:
    # The system accepts connections; nobody answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port}", timeout=0.5) as client:
            with pytest.raises(PredictionError, match="use the idempotency key mine") as caught:
                await client.submit(PIPELINE, {"x": 1.0}, idempotency_key="mine")
    assert isinstance(caught.value, DeadlineExceeded)


async def test_dead_letters_are_listed_and_redriven(
    gateway: SubmissionGateway, client: AsyncClient
) -> None:
    await client.callbacks.register("hook", CallbackSpec(target=TARGET))
    submitted = await client.submit(PIPELINE, {"x": 1.0}, callback="hook")
    await gateway.run_all()
    partition = int(submitted.id.partition("-")[0])
    reason = DeadReason.CALLBACK_DISABLED
    store = gateway.queue.submissions
    assert await store.kill_deliveries(partition, "/hook", reason, 10) == 1
    (letter,) = [each async for each in client.callbacks.dead_letters(callback="hook")]
    assert (letter.prediction.id, letter.reason) == (submitted.id, "CALLBACK_DISABLED")
    history = await client.callbacks.attempts(submitted.id)
    assert (history.delivery.state, history.attempts) == (DeliveryState.DEAD, ())
    assert [each async for each in client.callbacks.dead_letters(reason="POISON")] == []
    assert await client.callbacks.redrive_all(callback="hook") == 1
    assert await client.callbacks.redrive(submitted.id) == 1
    polled = await client.submit(PIPELINE, {"x": 2.0})
    with pytest.raises(NotFound):
        await client.callbacks.redrive(polled.id)
    stored = await client.get_submission(submitted.id)
    assert stored.delivery is not None and stored.delivery.state is DeliveryState.PENDING
