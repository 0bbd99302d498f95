"""The courier, between a real queue and real receivers."""

import asyncio
import dataclasses
import time
from typing import Any

import pytest
import redis
from aiohttp import web
from google.protobuf.json_format import ParseDict
from google.rpc import status_pb2
from standardwebhooks.webhooks import Webhook

from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import Code, FailedPrecondition, Reason
from tailrace.submissions.callback_record import Secret
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.records import CallbackChoice, DeliveryState
from tailrace.v1.callback_receiver_pb2 import Delivery
from tailrace.v1.prediction_service_pb2 import InlineCallback, PredictionRecord
from tailrace.webhooks.keys import make_secret
from tailrace.webhooks.verifying import parse_timestamp, split_signatures, verify
from tests.support.courier_world import (
    courier_settings,
    ended,
    finished,
    register,
    running_courier,
)
from tests.support.grpc_receiver import OK, grpc_receiver
from tests.support.submissions import stored, until
from tests.support.webhook_receiver import (
    Received,
    drip,
    hang,
    raw_server,
    send_a_gigabyte,
    webhook_receiver,
)

DELIVERED, DEAD, PENDING = DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING


@pytest.fixture
def settings(queue_settings: Any) -> Any:
    return courier_settings(
        queue_settings.queue_redis_url, queue_redis_cluster=queue_settings.queue_redis_cluster
    )


def changed(settings: Any, **changes: Any) -> Any:
    return settings.model_copy(update=changes)


async def test_results_reach_receivers_of_both_kinds(queue: Queue, settings: Any) -> None:
    async with (
        webhook_receiver() as web_receiver,
        grpc_receiver() as receiver,
        running_courier(settings, queue),
    ):
        hook = await register(queue, "hook", f"http://127.0.0.1:{web_receiver.port}/in")
        grpc = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", scheme=2)
        (over_http,) = await finished(queue, hook, partition=1)
        (over_grpc,) = await finished(queue, grpc, partition=2)

        http_end = await ended(queue, over_http, DELIVERED)
        grpc_end = await ended(queue, over_grpc, DELIVERED)

    (received,) = web_receiver.requests
    body = Webhook(hook.secrets[0].text).verify(received.body, received.headers)
    assert ParseDict(body["data"], PredictionRecord()).prediction_id == over_http
    (delivery,) = receiver.deliveries
    assert delivery.delivery_id == over_grpc
    assert [attempt.result for attempt in http_end.attempts] == ["HTTP 204"]
    assert [attempt.result for attempt in grpc_end.attempts] == ["gRPC OK"]
    assert http_end.attempts[0].delivered and http_end.attempts[0].attempt == 1


async def test_an_inline_callback_is_delivered_to(queue: Queue, settings: Any) -> None:
    secret, _ = make_secret(1)
    async with webhook_receiver() as receiver, running_courier(settings, queue):
        inline = InlineCallback(target=f"http://127.0.0.1:{receiver.port}/", secret=secret)
        choice = CallbackChoice(key="~0123abcd", inline=inline.SerializeToString())
        (prediction,) = await finished(queue, choice)
        await ended(queue, prediction, DELIVERED)

    (received,) = receiver.requests
    Webhook(secret).verify(received.body, received.headers)


async def test_many_results_share_messages(queue: Queue, settings: Any) -> None:
    async with grpc_receiver() as receiver:
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=256)
        ids = [
            prediction
            for partition in range(3)
            for prediction in await finished(queue, callback, 400, partition=partition)
        ]
        async with running_courier(settings, queue):
            for prediction in ids[::100]:
                await ended(queue, prediction, DELIVERED)
            await receiver.wait_for(1200)

    assert sorted(delivery.delivery_id for delivery in receiver.deliveries) == sorted(ids)
    assert max(receiver.batches) == 256
    assert len(receiver.batches) <= 12
    assert receiver.single_calls == 0


async def test_a_row_that_is_refused_does_not_hold_up_its_neighbours(
    queue: Queue, settings: Any
) -> None:
    refused: list[str] = []

    def answer(delivery: Delivery) -> status_pb2.Status:
        if delivery.delivery_id in refused and delivery.attempt < 3:
            return status_pb2.Status(code=Code.INTERNAL)
        return OK

    async with grpc_receiver(answer) as receiver:
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=100)
        ids = await finished(queue, callback, 50)
        refused.append(ids[10])
        async with running_courier(settings, queue):
            late = await ended(queue, ids[10], DELIVERED)
            early = await ended(queue, ids[11], DELIVERED)

    assert [attempt.result for attempt in late.attempts] == [
        "gRPC INTERNAL",
        "gRPC INTERNAL",
        "gRPC OK",
    ]
    assert len(early.attempts) == 1
    records = {
        delivery.prediction_record
        for delivery in receiver.deliveries
        if delivery.delivery_id == ids[10]
    }
    assert len(records) == 1


async def test_a_failure_is_tried_again_with_the_same_id_and_body(
    queue: Queue, settings: Any
) -> None:
    statuses = [503, 302, 200]

    def answer(_: Received) -> web.Response:
        return web.Response(status=statuses.pop(0), headers={"Location": "http://127.0.0.1:1/"})

    async with webhook_receiver(answer) as receiver, running_courier(settings, queue):
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (prediction,) = await finished(queue, callback)
        end = await ended(queue, prediction, DELIVERED)

    assert [attempt.result for attempt in end.attempts] == ["HTTP 503", "HTTP 302", "HTTP 200"]
    assert [attempt.attempt for attempt in end.attempts] == [1, 2, 3]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {prediction}
    assert len({request.body for request in receiver.requests}) == 1


async def test_after_the_last_attempt_a_result_is_a_dead_letter(
    queue: Queue, settings: Any
) -> None:
    async with webhook_receiver(lambda _: web.Response(status=500)) as receiver:
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (prediction,) = await finished(queue, callback)
        async with running_courier(settings, queue):
            end = await ended(queue, prediction, DEAD)
            assert end.dead_reason == "ATTEMPTS_EXHAUSTED"
            assert end.delivery_attempts == 4
            assert await queue.submissions.redrive([prediction]) == [True]
            await receiver.wait_for(8)


async def test_what_is_gone_is_disabled_and_its_deliveries_are_dead(
    queue: Queue, settings: Any
) -> None:
    answers = [500, 500, 410]

    def answer(_: Received) -> web.Response:
        return web.Response(status=answers.pop(0) if len(answers) > 1 else answers[0])

    slow = changed(settings, courier_retry_s=(3600.0,))
    async with webhook_receiver(answer) as receiver:
        callback = await register(
            queue, "hook", f"http://127.0.0.1:{receiver.port}/", max_in_flight=1
        )
        # Two that wait for an hour, and one that is answered with 410.
        ids = await finished(queue, callback, 3, partition=2)
        async with running_courier(slow, queue):
            ends = [await ended(queue, prediction, DEAD) for prediction in ids]
            (later,) = await finished(queue, callback, partition=1)
            ends.append(await ended(queue, later, DEAD))

    assert {end.dead_reason for end in ends} == {"CALLBACK_DISABLED"}
    record = await queue.callbacks.find("acme", "hook")
    assert record is not None and record.disabled_reason == "GONE"
    assert len(receiver.requests) == 3


async def test_a_grpc_receiver_that_is_gone_is_disabled(queue: Queue, settings: Any) -> None:
    gone = status_of(FailedPrecondition("enough", reason=Reason.CALLBACK_GONE))
    async with grpc_receiver(lambda _: gone) as receiver, running_courier(settings, queue):
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}")
        (prediction,) = await finished(queue, callback)
        end = await ended(queue, prediction, DEAD)

    record = await queue.callbacks.find("acme", "grpc")
    assert (end.dead_reason, record and record.disabled_reason) == ("CALLBACK_DISABLED", "GONE")


async def test_retry_after_is_honoured(queue: Queue, settings: Any) -> None:
    def answer(_: Received) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "600"})

    async with webhook_receiver(answer) as receiver, running_courier(settings, queue):
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        before_ms = await queue.submissions.now_ms()
        (prediction,) = await finished(queue, callback)

        async def is_tried() -> bool:
            return (await stored(queue, prediction)).delivery_attempts == 1

        await until(is_tried)
        found = await stored(queue, prediction)

    assert found.delivery_state is PENDING
    assert found.next_attempt_ms is not None
    assert 600_000 <= found.next_attempt_ms - before_ms < 630_000


async def test_a_deleted_callback_takes_its_deliveries_with_it(queue: Queue, settings: Any) -> None:
    # One is due, one waits for an hour.
    slow = changed(settings, courier_retry_s=(3600.0,))
    async with (
        webhook_receiver(lambda _: web.Response(status=500)) as receiver,
        running_courier(slow, queue) as courier,
    ):
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (waiting,) = await finished(queue, callback)
        await receiver.wait_for(1)
        await courier.settler.flush()
        await queue.callbacks.delete("acme", "hook")
        (due,) = await finished(queue, callback, partition=1)

        ends = [await ended(queue, prediction, DEAD) for prediction in (waiting, due)]

    assert {end.dead_reason for end in ends} == {"CALLBACK_DELETED"}


async def test_a_disabled_callback_is_sent_nothing(queue: Queue, settings: Any) -> None:
    async with webhook_receiver() as receiver, running_courier(settings, queue):
        callback = await register(
            queue,
            "hook",
            f"http://127.0.0.1:{receiver.port}/",
            disabled_reason="ADMINISTRATOR",
        )
        (prediction,) = await finished(queue, callback)
        end = await ended(queue, prediction, DEAD)

    assert end.dead_reason == "CALLBACK_DISABLED"
    assert receiver.connections == 0


async def test_a_target_that_may_not_be_called_is_never_connected_to(
    queue: Queue, settings: Any
) -> None:
    strict = changed(settings, callback_allowed_networks=())
    secure = changed(settings, callback_allow_plaintext=False)
    async with webhook_receiver() as receiver:
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (first,) = await finished(queue, callback)
        async with running_courier(strict, queue):
            refused = await ended(queue, first, DEAD)
        (second,) = await finished(queue, callback)
        async with running_courier(secure, queue):
            plaintext = await ended(queue, second, DEAD)

    assert {attempt.result for attempt in refused.attempts} == {"REFUSED_ADDRESS"}
    assert {attempt.result for attempt in plaintext.attempts} == {"BAD_TARGET"}
    assert receiver.connections == 0


async def test_a_rotated_secret_signs_beside_the_old_one(queue: Queue, settings: Any) -> None:
    async with webhook_receiver() as receiver, running_courier(settings, queue):
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/")
        (first,) = await finished(queue, callback)
        await ended(queue, first, DELIVERED)
        new = make_secret(1)[0]
        old = dataclasses.replace(
            callback.secrets[0], retired_ms=int(time.time() * 1000) + 3_600_000
        )
        await queue.callbacks.replace(
            dataclasses.replace(callback, secrets=(Secret(text=new), old))
        )

        async def both_sign() -> bool:
            count = len(receiver.requests)
            await finished(queue, callback)
            await receiver.wait_for(count + 1)
            return len(split_signatures(receiver.requests[-1].headers["webhook-signature"])) == 2

        await until(both_sign)

    headers = receiver.requests[-1].headers
    for secret in (new, old.text):
        verify(
            [secret],
            headers["webhook-id"],
            parse_timestamp(headers["webhook-timestamp"]),
            receiver.requests[-1].body,
            split_signatures(headers["webhook-signature"]),
            time.time(),
        )


async def test_endpoints_in_trouble_delay_no_others(queue: Queue, settings: Any) -> None:
    # Twice as many that hang as there are slots, and some in other kinds of trouble.
    tight = changed(settings, courier_max_in_flight=4, courier_attempt_timeout_ms=30_000)
    async with (
        raw_server(hang) as hanging,
        raw_server(drip) as dripping,
        raw_server(send_a_gigabyte) as endless,
        webhook_receiver() as healthy,
        running_courier(tight, queue) as courier,
    ):
        bad = []
        for number in range(8):
            port = (hanging, dripping)[number % 2].port
            callback = await register(queue, f"bad-{number}", f"http://127.0.0.1:{port}/")
            bad += await finished(queue, callback, 20, partition=number % 3)
        callback = await register(queue, "endless", f"http://127.0.0.1:{endless.port}/")
        await finished(queue, callback, 5)

        async def are_all_stuck() -> bool:
            return courier._parts.slots.slow.taken >= 4

        await until(are_all_stuck)
        good = await register(queue, "good", f"http://127.0.0.1:{healthy.port}/")
        ids = await finished(queue, good, 200)
        await healthy.wait_for(200)
        for prediction in ids[::50]:
            await ended(queue, prediction, DELIVERED)

        troubled = [await stored(queue, prediction) for prediction in bad]
        assert {each.delivery_state for each in troubled} == {PENDING}
        assert {each.delivery_attempts for each in troubled} == {0}
        for line in courier._lines.values():
            for task in line.tasks():
                task.cancel()


async def test_a_callback_has_one_message_in_flight_until_it_has_taken_one(
    queue: Queue, settings: Any
) -> None:
    async with grpc_receiver() as receiver:
        receiver.hold.clear()
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}")
        await finished(queue, callback, 20)
        async with running_courier(settings, queue) as courier:
            await receiver.wait_for(1)
            line = courier._lines[callback.key]
            # One that is found due again and again sends no second one.
            for _ in range(3):
                await courier._look()
            assert len(line.messages) == 1
            assert line.messages.max_in_flight == 1
            receiver.hold.set()
            await receiver.wait_for(20)
            assert line.messages.max_in_flight == 16


async def test_a_callback_that_fails_is_left_alone_and_tried_with_one(
    queue: Queue, settings: Any
) -> None:
    strict = changed(
        settings,
        courier_breaker_failures=3,
        courier_breaker_open_ms=3_600_000,
        courier_retry_s=(3600.0,),
    )
    statuses = [500]

    async with webhook_receiver(lambda _: web.Response(status=statuses[0])) as receiver:
        callback = await register(
            queue, "hook", f"http://127.0.0.1:{receiver.port}/", max_in_flight=1
        )
        ids = await finished(queue, callback, 20)
        async with running_courier(strict, queue) as courier:
            await receiver.wait_for(3)

            async def is_open() -> bool:
                return courier._lines[callback.key].breaker.state == "open"

            await until(is_open)
            assert len(receiver.requests) == 3
            line = courier._lines[callback.key]

            def let_an_hour_pass() -> None:
                line.breaker._open_until_s = 0.0
                line._changed.set()

            # One probe fails, the next one does not, and all that had been left alone go out.
            let_an_hour_pass()
            await receiver.wait_for(4)
            await until(is_open)
            assert len(receiver.requests) == 4
            statuses[0] = 200
            let_an_hour_pass()
            await receiver.wait_for(20)
            states = [await ended(queue, each, DELIVERED) for each in ids[4:]]

    assert all(state.delivery_attempts == 1 for state in states)


async def test_a_changed_target_is_tried_at_once(queue: Queue, settings: Any) -> None:
    patient = changed(settings, courier_breaker_failures=1, courier_breaker_open_ms=3_600_000)
    async with (
        webhook_receiver(lambda _: web.Response(status=500)) as broken,
        webhook_receiver() as good,
        running_courier(patient, queue),
    ):
        callback = await register(queue, "hook", f"http://127.0.0.1:{broken.port}/")
        (prediction,) = await finished(queue, callback)
        await broken.wait_for(1)
        await queue.callbacks.replace(
            dataclasses.replace(callback, target=f"http://127.0.0.1:{good.port}/")
        )
        await ended(queue, prediction, DELIVERED)


async def test_ordered_results_keep_their_order(queue: Queue, settings: Any) -> None:
    failures = [503] * 3

    def answer(_: Received) -> web.Response:
        return web.Response(status=failures.pop() if failures else 204)

    async with webhook_receiver(answer) as receiver, running_courier(settings, queue):
        callback = await register(queue, "hook", f"http://127.0.0.1:{receiver.port}/", ordered=True)
        ids = await finished(queue, callback, 10, ordering_key="plane-1")
        for prediction in ids:
            await ended(queue, prediction, DELIVERED)

    came = [request.headers["webhook-id"] for request in receiver.requests]
    assert came == [ids[0]] * 3 + ids


async def test_results_are_put_into_the_output_stream(
    queue: Queue, settings: Any, queue_settings: Any
) -> None:
    choice = CallbackChoice(key="acme/none")
    ids = await finished(queue, choice, 30) + await finished(queue, choice, 30, partition=1)
    url = queue_settings.queue_redis_url
    client: Any = (
        redis.RedisCluster.from_url(url)
        if queue_settings.queue_redis_cluster
        else redis.Redis.from_url(url)
    )
    async with running_courier(settings, queue):

        async def are_there() -> bool:
            entries = await asyncio.to_thread(client.xrange, "tailrace:predictions")
            return {entry[b"prediction_id"].decode() for _, entry in entries} >= set(ids)

        await until(are_there)
    client.close()


async def test_draining_finishes_what_is_in_flight(queue: Queue, settings: Any) -> None:
    async with grpc_receiver() as receiver:
        receiver.hold.clear()
        callback = await register(
            queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_in_flight=1
        )
        ids = await finished(queue, callback, 2)
        async with running_courier(settings, queue) as courier:
            await receiver.wait_for(1)
            draining = asyncio.create_task(courier.drain(20.0))
            await asyncio.sleep(0)
            receiver.hold.set()
            await draining
            sent = receiver.deliveries[0].delivery_id
            assert (await stored(queue, sent)).delivery_state is DELIVERED
            (other,) = set(ids) - {sent}
            assert (await stored(queue, other)).delivery_state is PENDING
            assert len(receiver.deliveries) == 1


async def test_what_draining_gives_up_is_delivered_by_another_at_once(
    queue: Queue, settings: Any, queue_settings: Any
) -> None:
    # Neither its attempt's time nor its lease ends while the test runs.
    patient = changed(settings, courier_attempt_timeout_ms=3_600_000)
    async with grpc_receiver() as receiver:
        receiver.hold.clear()
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=50)
        ids = await finished(queue, callback, 30) + await finished(queue, callback, 5, partition=1)
        async with running_courier(patient, queue) as courier:
            await receiver.wait_for(35)
            await courier.drain(1.0)
        receiver.hold.set()
        async with (
            open_queue(queue_settings, "other") as second,
            running_courier(settings, second),
        ):
            ends = [await ended(queue, prediction, DELIVERED) for prediction in ids]

    # What was given up was no attempt.
    assert {end.delivery_attempts for end in ends} == {1}


async def test_two_couriers_deliver_each_result_once(
    queue: Queue, settings: Any, queue_settings: Any
) -> None:
    async with grpc_receiver() as receiver:
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=10)
        ids = await finished(queue, callback, 500)
        async with (
            open_queue(queue_settings, "other") as second,
            running_courier(settings, queue),
            running_courier(settings, second),
        ):
            for prediction in ids[::50]:
                await ended(queue, prediction, DELIVERED)
            await receiver.wait_for(500)

    assert sorted(delivery.delivery_id for delivery in receiver.deliveries) == sorted(ids)
