"""`CallbackService`: callbacks, and what could not be delivered to them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from tailrace.submissions.records import DeadReason
from tailrace.v1 import callback_service_pb2 as messages
from tailrace.v1 import prediction_service_pb2
from tailrace.v1.callback_service_pb2 import (
    CallbackSpec,
    DeadLetterFilter,
    DeleteCallbackRequest,
    DisableCallbackRequest,
    ListCallbacksRequest,
    ListDeadLettersRequest,
    ListDeliveryAttemptsRequest,
    RedriveDeadLettersRequest,
    RegisterCallbackRequest,
    RotateCallbackSecretRequest,
    UpdateCallbackRequest,
)
from tailrace.webhooks.keys import make_secret, public_key_of
from tailrace.webhooks.verifying import parse_timestamp, split_signatures, verify
from tests.support.requests import error_info
from tests.support.submission_gateway import (
    SubmissionGateway,
    gateway_settings,
    submission,
    submission_gateway,
)
from tests.support.webhook_receiver import webhook_receiver

CODE = grpc.StatusCode
ED25519 = messages.SIGNATURE_SCHEME_ED25519
TARGET = "https://example.com/hook"


@pytest_asyncio.fixture
async def gateway(queue_redis: Any, tmp_path: Path) -> AsyncIterator[SubmissionGateway]:
    """One with a fresh queue."""
    settings = gateway_settings(
        queue_redis.url,
        callback_allow_plaintext=True,
        callback_allowed_networks=("127.0.0.0/8",),
    )
    async with submission_gateway(settings, tmp_path) as running:
        yield running


async def register(
    gateway: SubmissionGateway, name: str = "hook", **parts: Any
) -> messages.RegisterCallbackResponse:
    """Registers a callback."""
    spec = parts.pop("spec", CallbackSpec(target=TARGET))
    request = RegisterCallbackRequest(name=name, spec=spec, **parts)
    response: messages.RegisterCallbackResponse = await gateway.callbacks.RegisterCallback(
        request, timeout=5
    )
    return response


async def listed(gateway: SubmissionGateway, **parts: Any) -> list[messages.Callback]:
    """Returns the callbacks that there are."""
    response = await gateway.callbacks.ListCallbacks(ListCallbacksRequest(**parts), timeout=5)
    return list(response.callbacks)


async def dead(gateway: SubmissionGateway, **parts: Any) -> list[messages.DeadLetter]:
    """Returns the dead letters that there are."""
    found: list[messages.DeadLetter] = []
    token = ""
    while True:
        request = ListDeadLettersRequest(
            filter=DeadLetterFilter(**parts), page_size=7, page_token=token
        )
        page = await gateway.callbacks.ListDeadLetters(request, timeout=5)
        found += page.dead_letters
        token = page.next_page_token
        if not token:
            return found


async def refused(call: Any) -> grpc.aio.AioRpcError:
    """Returns how a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_secret_is_told_once_and_never_again(gateway: SubmissionGateway) -> None:
    with capture_logs() as lines:
        registered = await register(gateway)
        assert registered.secret.startswith("whsec_")
        given, _ = make_secret(1)
        other = await register(gateway, "other", secret=given)
        assert other.secret == ""
        callbacks = await listed(gateway)
        await gateway.callbacks.UpdateCallback(
            UpdateCallbackRequest(name="hook", spec=CallbackSpec(target=TARGET)), timeout=5
        )
    assert [callback.name for callback in callbacks] == ["hook", "other"]
    told = f"{callbacks} {lines}"
    for secret in (registered.secret, given):
        assert secret.removeprefix("whsec_") not in told
    assert callbacks[0] == registered.callback
    assert (callbacks[0].enabled, callbacks[0].secret_count) == (True, 1)


async def test_of_a_key_pair_only_the_public_key_is_told(gateway: SubmissionGateway) -> None:
    spec = CallbackSpec(target=TARGET, signature_scheme=ED25519)
    made = await register(gateway, spec=spec)
    assert made.secret == ""
    assert made.callback.public_key.startswith("whpk_")
    given, public = make_secret(2)
    other = await register(gateway, "other", spec=spec, secret=given)
    assert other.callback.public_key == public == public_key_of(given)


BAD: dict[str, tuple[dict[str, Any], grpc.StatusCode, str]] = {
    "name": ({"name": "a/b"}, CODE.INVALID_ARGUMENT, "name"),
    "no name": ({"name": ""}, CODE.INVALID_ARGUMENT, "name"),
    "tenant": ({"tenant": "a b"}, CODE.INVALID_ARGUMENT, "tenant"),
    "no target": ({"spec": CallbackSpec()}, CODE.INVALID_ARGUMENT, "spec.target"),
    "batch": (
        {"spec": CallbackSpec(target=TARGET, max_batch=8)},
        CODE.INVALID_ARGUMENT,
        "spec.max_batch",
    ),
    "timeout": (
        {"spec": CallbackSpec(target=TARGET, attempt_timeout=Duration(seconds=-1))},
        CODE.INVALID_ARGUMENT,
        "spec.attempt_timeout",
    ),
    "scheme": (
        {"spec": CallbackSpec(target=TARGET, signature_scheme=9)},  # type: ignore[arg-type]
        CODE.INVALID_ARGUMENT,
        "spec.signature_scheme",
    ),
    "secret": ({"secret": "whsec_short"}, CODE.INVALID_ARGUMENT, "secret"),
    "other secret": ({"secret": make_secret(2)[0]}, CODE.INVALID_ARGUMENT, "secret"),
}


@pytest.mark.parametrize(("parts", "code", "field"), list(BAD.values()), ids=list(BAD))
async def test_what_is_wrong_with_a_callback_is_named(
    gateway: SubmissionGateway, parts: dict[str, Any], code: grpc.StatusCode, field: str
) -> None:
    failure = await refused(register(gateway, **parts))
    assert failure.code() is code
    assert error_info(failure).metadata["field"] == field
    assert str(parts.get("secret", "whsec")) not in str(failure.details())
    assert await listed(gateway) == []


async def test_plaintext_targets_need_a_setting(queue_redis: Any, tmp_path: Path) -> None:
    async with submission_gateway(gateway_settings(queue_redis.url), tmp_path) as gateway:
        spec = CallbackSpec(target="http://example.com/hook")
        failure = await refused(register(gateway, spec=spec))
    assert failure.code() is CODE.PERMISSION_DENIED
    assert error_info(failure).metadata["field"] == "spec.target"


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:10.0.0.1]", "127.0.0.1"])
async def test_addresses_that_would_not_be_called_are_refused_at_once(
    queue_redis: Any, tmp_path: Path, host: str
) -> None:
    settings = gateway_settings(queue_redis.url, allow_inline_callbacks=True)
    spec = CallbackSpec(target=f"https://{host}/hook")
    inline = prediction_service_pb2.InlineCallback(target=spec.target, secret=make_secret(1)[0])
    async with submission_gateway(settings, tmp_path) as gateway:
        await register(gateway)
        update = UpdateCallbackRequest(name="hook", spec=spec)
        for call, field in (
            (register(gateway, "other", spec=spec), "spec.target"),
            (gateway.callbacks.UpdateCallback(update, timeout=5), "spec.target"),
            (
                gateway.submit(submission(inline_callback=inline)),
                "submission.inline_callback.target",
            ),
        ):
            failure = await refused(call)
            assert failure.code() is CODE.PERMISSION_DENIED
            assert error_info(failure).reason == "CALLBACK_NOT_ALLOWED"
            assert error_info(failure).metadata["field"] == field
            assert "TAILRACE_CALLBACK_ALLOWED_NETWORKS" in str(failure.details())
        [kept] = await listed(gateway)
        assert kept.spec.target == TARGET


async def test_names_are_a_tenants_own(gateway: SubmissionGateway) -> None:
    for tenant in ("b", "a", ""):
        await register(gateway, tenant=tenant)
    failure = await refused(register(gateway, tenant="a"))
    assert failure.code() is CODE.ALREADY_EXISTS
    assert error_info(failure).reason == "CALLBACK_EXISTS"
    assert [callback.tenant for callback in await listed(gateway)] == ["", "a", "b"]
    assert [callback.tenant for callback in await listed(gateway, tenant="a")] == ["a"]
    assert [callback.tenant for callback in await listed(gateway, tenant="")] == [""]


async def test_a_submission_names_a_callback_of_its_own_tenant(
    gateway: SubmissionGateway,
) -> None:
    await register(gateway, tenant="acme")
    submitted = await gateway.submit(submission(tenant="acme", callback="hook"))
    await register(gateway, tenant="acme/eu")
    for tenant, name in (("other", "hook"), ("acme", "eu/hook")):
        failure = await refused(gateway.submit(submission(tenant=tenant, callback=name)))
        assert failure.code() is CODE.NOT_FOUND
        assert error_info(failure).reason == "CALLBACK_NOT_FOUND"
        assert error_info(failure).metadata["field"] == "submission.callback"
    await gateway.run_all()
    [stored] = await gateway.queue.submissions.get([submitted.prediction_id], outcomes=False)
    assert stored is not None
    assert stored.callback_key == "acme/hook"


async def test_one_registered_elsewhere_is_known_at_once(queue_redis: Any, tmp_path: Path) -> None:
    settings = gateway_settings(queue_redis.url)
    async with (
        submission_gateway(settings, tmp_path / "one") as one,
        submission_gateway(settings, tmp_path / "two") as two,
    ):
        await register(one, "first")
        await two.submit(submission(callback="first"))
        await register(one, "second")
        await two.submit(submission(callback="second"))


async def test_a_disabled_callback_takes_no_submissions_until_it_is_enabled(
    gateway: SubmissionGateway,
) -> None:
    await register(gateway)
    await gateway.submit(submission(callback="hook"))
    disabled = await gateway.callbacks.DisableCallback(
        DisableCallbackRequest(name="hook"), timeout=5
    )
    assert (disabled.callback.enabled, disabled.callback.disabled_reason) == (
        False,
        "ADMINISTRATOR",
    )
    failure = await refused(gateway.submit(submission(callback="hook")))
    assert failure.code() is CODE.FAILED_PRECONDITION
    assert error_info(failure).reason == "CALLBACK_DISABLED"
    enabled = await gateway.callbacks.UpdateCallback(
        UpdateCallbackRequest(name="hook", enable=True), timeout=5
    )
    assert enabled.callback.enabled
    assert enabled.callback.spec.target == TARGET
    await gateway.submit(submission(callback="hook"))


@pytest.mark.parametrize("delete", [False, True])
async def test_what_waits_for_a_callback_that_ends_is_dead_and_can_be_redriven(
    gateway: SubmissionGateway, delete: bool
) -> None:
    await register(gateway)
    ids = {
        (await gateway.submit(submission(float(n), callback="hook"))).prediction_id
        for n in range(30)
    }
    await gateway.run_all()
    if delete:
        await gateway.callbacks.DeleteCallback(DeleteCallbackRequest(name="hook"), timeout=5)
        assert await listed(gateway) == []
    else:
        await gateway.callbacks.DisableCallback(DisableCallbackRequest(name="hook"), timeout=5)
    reason = "CALLBACK_DELETED" if delete else "CALLBACK_DISABLED"
    letters = await dead(gateway)
    assert {letter.prediction.prediction_id for letter in letters} == ids
    assert {letter.reason for letter in letters} == {reason}
    assert all(letter.HasField("dead_time") for letter in letters)
    assert not any(letter.prediction.HasField("response") for letter in letters)
    assert await dead(gateway, reason="POISON") == []
    assert await gateway.deliver_all() == []

    redrive = RedriveDeadLettersRequest(filter=DeadLetterFilter(callback="hook", reason=reason))
    response = await gateway.callbacks.RedriveDeadLetters(redrive, timeout=5)
    assert response.redriven == 0
    one = RedriveDeadLettersRequest(prediction_id=min(ids))
    failure = await refused(gateway.callbacks.RedriveDeadLetters(one, timeout=5))
    assert (failure.code(), error_info(failure).reason) == (
        (CODE.NOT_FOUND, "CALLBACK_NOT_FOUND")
        if delete
        else (CODE.FAILED_PRECONDITION, "CALLBACK_DISABLED")
    )
    assert len(await dead(gateway)) == 30

    if delete:
        await register(gateway)
    else:
        await gateway.callbacks.UpdateCallback(
            UpdateCallbackRequest(name="hook", enable=True), timeout=5
        )
    response = await gateway.callbacks.RedriveDeadLetters(redrive, timeout=5)
    assert response.redriven == 30
    assert await dead(gateway) == []
    assert {claim.prediction_id for claim in await gateway.deliver_all()} == ids


async def test_one_dead_letter_can_be_redriven(gateway: SubmissionGateway) -> None:
    await register(gateway)
    submitted = [await gateway.submit(submission(float(n), callback="hook")) for n in range(2)]
    await gateway.run_all()
    await gateway.deliver_all(dead_reason=DeadReason.ATTEMPTS_EXHAUSTED)
    chosen = submitted[0].prediction_id
    redrive = RedriveDeadLettersRequest(prediction_id=chosen)
    response = await gateway.callbacks.RedriveDeadLetters(redrive, timeout=5)
    assert response.redriven == 1
    assert [claim.prediction_id for claim in await gateway.deliver_all()] == [chosen]
    failure = await refused(gateway.callbacks.RedriveDeadLetters(redrive, timeout=5))
    assert failure.code() is CODE.NOT_FOUND
    failure = await refused(
        gateway.callbacks.RedriveDeadLetters(RedriveDeadLettersRequest(), timeout=5)
    )
    assert failure.code() is CODE.INVALID_ARGUMENT


async def test_one_that_waits_for_its_next_attempt_is_pushed_now(
    gateway: SubmissionGateway,
) -> None:
    await register(gateway)
    submitted = await gateway.submit(submission(callback="hook"))
    redrive = RedriveDeadLettersRequest(prediction_id=submitted.prediction_id)
    failure = await refused(gateway.callbacks.RedriveDeadLetters(redrive, timeout=5))
    assert error_info(failure).reason == "PREDICTION_NOT_FOUND"
    await gateway.run_all()
    await gateway.deliver_all(retry_delay_ms=3_600_000)
    assert await gateway.deliver_all() == []

    everything = RedriveDeadLettersRequest(filter=DeadLetterFilter())
    response = await gateway.callbacks.RedriveDeadLetters(everything, timeout=5)
    assert response.redriven == 0
    response = await gateway.callbacks.RedriveDeadLetters(redrive, timeout=5)
    assert response.redriven == 1
    assert [claim.attempt for claim in await gateway.deliver_all()] == [2]


async def test_a_delivery_is_pending_before_there_is_a_result(gateway: SubmissionGateway) -> None:
    await register(gateway)
    pushed = await gateway.submit(submission(callback="hook"))
    polled = await gateway.submit(submission(2.0))
    expected = prediction_service_pb2.DeliveryStatus(
        state=prediction_service_pb2.DELIVERY_STATE_PENDING, callback="hook"
    )
    listing = prediction_service_pb2.ListPredictionsRequest(
        state=prediction_service_pb2.PREDICTION_STATE_QUEUED
    )
    page = await gateway.predictions.ListPredictions(listing, timeout=5)
    of_each = {each.prediction_id: each for each in page.predictions}
    assert of_each[pushed.prediction_id].delivery == expected
    assert not of_each[polled.prediction_id].HasField("delivery")

    for partition in range(gateway.queue.submissions.partitions):
        await gateway.queue.submissions.claim(partition, 10)
    running = await gateway.predictions.GetPrediction(
        prediction_service_pb2.GetPredictionRequest(prediction_id=pushed.prediction_id), timeout=5
    )
    assert running.prediction.state == prediction_service_pb2.PREDICTION_STATE_RUNNING
    assert running.prediction.delivery == expected


async def test_attempts_are_listed(gateway: SubmissionGateway) -> None:
    await register(gateway)
    submitted = await gateway.submit(submission(callback="hook"))
    await gateway.run_all()
    await gateway.deliver_all(retry_delay_ms=0)
    await gateway.deliver_all()
    request = ListDeliveryAttemptsRequest(prediction_id=submitted.prediction_id)
    response = await gateway.callbacks.ListDeliveryAttempts(request, timeout=5)
    assert [(each.attempt, each.result) for each in response.attempts] == [
        (1, "HTTP 503"),
        (2, "HTTP 200"),
    ]
    assert response.delivery.state == prediction_service_pb2.DELIVERY_STATE_DELIVERED
    assert (response.delivery.callback, response.delivery.attempts) == ("hook", 2)
    unknown = ListDeliveryAttemptsRequest(prediction_id="000-01JD8Z6V3N8B4Q2W5X7Y9K1M3P")
    failure = await refused(gateway.callbacks.ListDeliveryAttempts(unknown, timeout=5))
    assert error_info(failure).reason == "PREDICTION_NOT_FOUND"


async def test_a_secret_is_rotated_with_an_overlap(gateway: SubmissionGateway) -> None:
    registered = await register(gateway)
    rotate = RotateCallbackSecretRequest(name="hook")
    rotated = await gateway.callbacks.RotateCallbackSecret(rotate, timeout=5)
    assert rotated.secret.startswith("whsec_")
    assert rotated.callback.secret_count == 2
    overlap = rotated.callback.retire_time.seconds - rotated.callback.update_time.seconds
    assert abs(overlap - 24 * 3600) <= 1
    record = await gateway.queue.callbacks.find("", "hook")
    assert record is not None
    assert [secret.text for secret in record.secrets] == [rotated.secret, registered.secret]
    assert (record.secrets[0].retired_ms, record.secrets[1].retired_ms is None) == (None, False)

    # What is replaced ends at once; what was promised to the one before stays so.
    again = RotateCallbackSecretRequest(name="hook", overlap=Duration(), secret=make_secret(1)[0])
    once_more = await gateway.callbacks.RotateCallbackSecret(again, timeout=5)
    assert once_more.secret == ""
    assert once_more.callback.retire_time == rotated.callback.retire_time
    record = await gateway.queue.callbacks.find("", "hook")
    assert record is not None
    assert [secret.text for secret in record.secrets] == [again.secret, registered.secret]


async def test_secrets_sign_until_their_own_overlap_is_over(gateway: SubmissionGateway) -> None:
    async with webhook_receiver() as receiver:
        target = f"http://127.0.0.1:{receiver.port}/hook"
        secrets = [(await register(gateway, spec=CallbackSpec(target=target))).secret]
        for hours in (3, 1, 2):
            rotate = RotateCallbackSecretRequest(
                name="hook", overlap=Duration(seconds=3600 * hours)
            )
            rotated = await gateway.callbacks.RotateCallbackSecret(rotate, timeout=5)
            secrets.append(rotated.secret)
        assert rotated.callback.secret_count == 4
        ping = messages.TestCallbackRequest(name="hook")
        assert (await gateway.callbacks.TestCallback(ping, timeout=10)).attempt.delivered
        [received] = receiver.requests
    headers = {name.lower(): value for name, value in received.headers.items()}
    for secret in secrets:
        verify(
            [secret],
            headers["webhook-id"],
            parse_timestamp(headers["webhook-timestamp"]),
            received.body,
            split_signatures(headers["webhook-signature"]),
            time.time(),
        )

    failure = await refused(gateway.callbacks.RotateCallbackSecret(rotate, timeout=5))
    assert failure.code() is CODE.FAILED_PRECONDITION
    assert error_info(failure).reason == "TOO_MANY_SECRETS"
    next_retired = rotated.callback.retire_time.ToDatetime().isoformat(timespec="seconds")
    assert next_retired in str(failure.details())
    # One that is not to sign any more can be replaced all the same.
    at_once = RotateCallbackSecretRequest(name="hook", overlap=Duration())
    last = await gateway.callbacks.RotateCallbackSecret(at_once, timeout=5)
    assert last.callback.secret_count == 4


async def test_what_there_is_not_cannot_be_changed(gateway: SubmissionGateway) -> None:
    calls = (
        gateway.callbacks.UpdateCallback(UpdateCallbackRequest(name="nobody"), timeout=5),
        gateway.callbacks.DisableCallback(DisableCallbackRequest(name="nobody"), timeout=5),
        gateway.callbacks.DeleteCallback(DeleteCallbackRequest(name="nobody"), timeout=5),
        gateway.callbacks.TestCallback(messages.TestCallbackRequest(name="nobody"), timeout=5),
        gateway.callbacks.RotateCallbackSecret(
            RotateCallbackSecretRequest(name="nobody"), timeout=5
        ),
    )
    for call in calls:
        assert error_info(await refused(call)).reason == "CALLBACK_NOT_FOUND"


async def test_a_callback_can_be_tried_with_a_signed_ping(gateway: SubmissionGateway) -> None:
    async with webhook_receiver() as receiver:
        target = f"http://127.0.0.1:{receiver.port}/hook"
        registered = await register(gateway, spec=CallbackSpec(target=target))
        ping = messages.TestCallbackRequest(name="hook")
        attempt = (await gateway.callbacks.TestCallback(ping, timeout=10)).attempt
        assert (attempt.attempt, attempt.delivered, attempt.result) == (1, True, "HTTP 204")
        [received] = receiver.requests
        assert json.loads(received.body)["type"] == "ping"
        headers = {name.lower(): value for name, value in received.headers.items()}
        verify(
            [registered.secret],
            headers["webhook-id"],
            parse_timestamp(headers["webhook-timestamp"]),
            received.body,
            split_signatures(headers["webhook-signature"]),
            time.time(),
        )
    attempt = (await gateway.callbacks.TestCallback(ping, timeout=10)).attempt
    assert (attempt.delivered, attempt.result) == (False, "CONNECT_ERROR")


async def test_the_scheme_of_a_callback_stays(gateway: SubmissionGateway) -> None:
    await register(gateway)
    spec = CallbackSpec(target="https://example.org/new", signature_scheme=ED25519)
    update = UpdateCallbackRequest(name="hook", spec=spec)
    failure = await refused(gateway.callbacks.UpdateCallback(update, timeout=5))
    assert error_info(failure).metadata["field"] == "spec.signature_scheme"
    spec.ClearField("signature_scheme")
    spec.ordered = True
    changed = await gateway.callbacks.UpdateCallback(
        UpdateCallbackRequest(name="hook", spec=spec), timeout=5
    )
    assert changed.callback.spec.target == "https://example.org/new"
    assert changed.callback.spec.ordered
    assert changed.callback.spec.signature_scheme == messages.SIGNATURE_SCHEME_HMAC_SHA256
