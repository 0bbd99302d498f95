"""Pushes to real gRPC receivers on loopback."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2

from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import Code, FailedPrecondition, Overloaded, Reason
from tailrace.submissions.push import grpc_channels
from tailrace.submissions.push import outcome as results
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.grpc_sender import MAX_MESSAGE_BYTES
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.push.push_item import PushItem
from tailrace.submissions.push.sender import Sender
from tailrace.v1.callback_receiver_pb2 import Delivery
from tailrace.v1.prediction_service_pb2 import PredictionRecord
from tailrace.webhooks.errors import NoMatchingSignature
from tailrace.webhooks.keys import Scheme
from tailrace.webhooks.verifying import verify
from tests.support.grpc_receiver import OK, grpc_receiver
from tests.support.push_fixtures import (
    LOOPBACK,
    Authority,
    keyed_destination,
    make_authority,
    push_item,
)
from tests.support.webhook_receiver import drip, hang, raw_server

ID = "003-01KAN2Z6V3C0M5N4Q8R7S9T1WX"


@contextlib.asynccontextmanager
async def sender(allowed: tuple[str, ...] = LOOPBACK, **options: Any) -> AsyncIterator[Sender]:
    made = Sender(allowed, **options)
    try:
        yield made
    finally:
        await made.close()


async def push(
    made: Sender, destination: Destination, item: PushItem | None = None, timeout_s: float = 5.0
) -> PushOutcome:
    (outcome,) = await made.push(destination, [item or push_item(ID)], timeout_s)
    return outcome


def check(delivery: Delivery, key: str) -> None:
    verify(
        [key],
        delivery.delivery_id,
        delivery.attempt_time.seconds,
        delivery.prediction_record,
        delivery.signatures,
        time.time(),
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.mark.parametrize("scheme", list(Scheme))
async def test_a_result_arrives_signed_and_with_a_deadline(scheme: Scheme) -> None:
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", scheme=scheme)

        outcome = await push(made, keyed.destination, push_item(ID, attempt=2))

    assert outcome == PushOutcome(delivered=True, result="gRPC OK")
    (delivery,) = receiver.deliveries
    assert (delivery.delivery_id, delivery.attempt) == (ID, 2)
    assert delivery.traceparent.startswith("00-0af7651916cd43dd")
    record = PredictionRecord.FromString(delivery.prediction_record)
    assert record.prediction_id == ID
    assert record.response.prediction["score"].double_value == 0.25
    assert not record.HasField("delivery")
    check(delivery, keyed.key)
    delivery.prediction_record += b"\x00"
    with pytest.raises(NoMatchingSignature):
        check(delivery, keyed.key)
    assert receiver.single_calls == 1
    assert receiver.time_left_s[0] is not None and receiver.time_left_s[0] <= 5.0


async def test_every_attempt_has_the_same_id_and_bytes() -> None:
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}")
        for attempt in (1, 2, 3):
            assert (await push(made, keyed.destination, push_item(ID, attempt=attempt))).delivered

    assert {delivery.delivery_id for delivery in receiver.deliveries} == {ID}
    assert len({delivery.prediction_record for delivery in receiver.deliveries}) == 1


async def test_many_results_go_in_one_message_with_a_status_each() -> None:
    gone = status_of(FailedPrecondition("enough", reason=Reason.CALLBACK_GONE))
    busy = status_of(Overloaded("busy", retry_after_ms=7_000))
    answers = {"d-1": gone, "d-2": busy, "d-3": status_pb2.Status(code=Code.INTERNAL)}

    def answer(delivery: Delivery) -> status_pb2.Status:
        return answers.get(delivery.delivery_id, OK)

    async with grpc_receiver(answer) as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=256)
        items = [push_item(f"d-{number}") for number in range(200)]
        outcomes = await made.push(keyed.destination, items, 5.0)

    assert receiver.batches == [200]
    assert [delivery.delivery_id for delivery in receiver.deliveries] == [
        item.delivery_id for item in items
    ]
    for delivery in receiver.deliveries:
        check(delivery, keyed.key)
    assert outcomes[1] == PushOutcome(delivered=False, result="gRPC FAILED_PRECONDITION", gone=True)
    assert outcomes[2] == PushOutcome(
        delivered=False, result="gRPC RESOURCE_EXHAUSTED", retry_after_s=7.0
    )
    assert outcomes[3] == PushOutcome(delivered=False, result="gRPC INTERNAL")
    assert sum(outcome.delivered for outcome in outcomes) == 197


async def test_what_is_too_large_for_one_message_goes_in_several() -> None:
    large = PushItem(
        delivery_id="large",
        attempt=1,
        record=bytes(MAX_MESSAGE_BYTES // 2),
        webhook_body=lambda: b"",
    )
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=256)
        outcomes = await made.push(keyed.destination, [push_item(ID), large, large, large], 5.0)

    assert sorted(receiver.batches) == [1, 1, 2]
    assert all(outcome.delivered for outcome in outcomes)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (
            status_of(FailedPrecondition("enough", reason=Reason.CALLBACK_GONE)),
            PushOutcome(delivered=False, result="gRPC FAILED_PRECONDITION", gone=True),
        ),
        (
            status_of(FailedPrecondition("not now", reason=Reason.DRAINING)),
            PushOutcome(delivered=False, result="gRPC FAILED_PRECONDITION"),
        ),
        (
            status_of(Overloaded("gone?", reason=Reason.CALLBACK_GONE, retry_after_ms=1_500)),
            PushOutcome(delivered=False, result="gRPC RESOURCE_EXHAUSTED", retry_after_s=1.5),
        ),
        (
            status_of(Overloaded("long", retry_after_ms=10**12)),
            PushOutcome(delivered=False, result="gRPC RESOURCE_EXHAUSTED", retry_after_s=86_400.0),
        ),
        (
            status_pb2.Status(
                code=Code.INTERNAL,
                details=[
                    AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
                ],
            ),
            PushOutcome(delivered=False, result="gRPC INTERNAL"),
        ),
    ],
)
@pytest.mark.parametrize("max_batch", [1, 10])
async def test_refusals_are_told_apart(
    status: status_pb2.Status, outcome: PushOutcome, max_batch: int
) -> None:
    async with grpc_receiver(lambda _: status) as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=max_batch)

        assert await push(made, keyed.destination) == outcome


async def test_a_wrong_number_of_statuses_confirms_nothing() -> None:
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=10)
        receiver._take = _two_statuses  # type: ignore[method-assign]

        outcomes = await made.push(keyed.destination, [push_item("d-1")], 5.0)

    assert [outcome.result for outcome in outcomes] == [results.BAD_RESPONSE]


async def _two_statuses(deliveries: Any, context: Any) -> list[status_pb2.Status]:
    return [OK, OK]


@pytest.mark.parametrize("misbehaviour", [hang, drip])
async def test_what_speaks_no_grpc_fails_in_time(misbehaviour: Any) -> None:
    async with raw_server(misbehaviour) as server, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{server.port}")

        outcome = await push(made, keyed.destination, timeout_s=0.5)

    assert outcome.result in (results.TIMEOUT, "gRPC UNAVAILABLE")


async def test_a_receiver_that_hangs_times_out_and_others_go_on() -> None:
    async with grpc_receiver() as slow, grpc_receiver() as quick, sender() as made:
        slow.hold.clear()
        hanging = keyed_destination(f"grpc://127.0.0.1:{slow.port}")
        waiting = asyncio.create_task(push(made, hanging.destination, timeout_s=1.0))
        await slow.wait_for(1)

        keyed = keyed_destination(f"grpc://127.0.0.1:{quick.port}")
        for _ in range(20):
            assert (await push(made, keyed.destination)).delivered
        assert not waiting.done()
        assert (await waiting).result == results.TIMEOUT


async def test_nobody_listening_is_unavailable_and_found_once_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        async with sender() as made:
            keyed = keyed_destination(f"grpc://127.0.0.1:{port}")
            assert (await push(made, keyed.destination)).result == "gRPC UNAVAILABLE"
            held.close()
            async with grpc_receiver(port=port):
                assert (await push(made, keyed.destination)).delivered


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("max_batch", [1, 10])
async def test_an_answer_may_be_compressed(compression: Any, max_batch: int) -> None:
    async with grpc_receiver(compression=compression) as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=max_batch)
        assert (await push(made, keyed.destination)).delivered


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_an_answer_that_unpacks_to_much_is_not_unpacked(compression: Any) -> None:
    # Three megabytes, in a few kilobytes.
    bomb = status_pb2.Status(message="a" * (3 << 20))
    async with (
        grpc_receiver(lambda _: bomb, compression=compression) as receiver,
        sender() as made,
    ):
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=10)
        outcome = await push(made, keyed.destination)

    assert outcome == PushOutcome(delivered=False, result=results.BAD_RESPONSE)


async def test_a_large_answer_is_not_read() -> None:
    large = status_pb2.Status(message="a" * (3 << 20))
    async with grpc_receiver(lambda _: large) as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=10)
        outcome = await push(made, keyed.destination)

    assert outcome == PushOutcome(delivered=False, result="gRPC RESOURCE_EXHAUSTED")


class Resolver:
    """Answers of our choice: no real name server changes its answers on demand."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: object, **_: object) -> list[Any]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        family = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (answer, 0))]


async def test_a_name_is_verified_over_tls_though_an_address_is_connected_to(
    authority: Authority,
) -> None:
    pair = authority.server_pair("receiver.example")
    resolver = Resolver("127.0.0.1")
    async with (
        grpc_receiver(tls=pair) as receiver,
        sender(ca_file=authority.file, get_addr_info=resolver) as made,
        sender(get_addr_info=resolver) as strict,
    ):
        good = keyed_destination(f"grpcs://receiver.example:{receiver.port}")
        other = keyed_destination(f"grpcs://other.example:{receiver.port}")

        assert (await push(made, good.destination)).delivered
        assert (await push(made, other.destination)).result == "gRPC UNAVAILABLE"
        assert (await push(strict, good.destination)).result == "gRPC UNAVAILABLE"
    assert len(receiver.deliveries) == 1


async def test_an_address_is_verified_over_tls(authority: Authority) -> None:
    async with (
        grpc_receiver(tls=authority.server_pair("127.0.0.1")) as receiver,
        sender(ca_file=authority.file) as made,
    ):
        keyed = keyed_destination(f"grpcs://127.0.0.1:{receiver.port}")
        assert (await push(made, keyed.destination)).delivered


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
async def test_loopback_is_never_connected_to_unless_allowed(host: str) -> None:
    async with raw_server(hang) as server, sender(()) as made:
        keyed = keyed_destination(f"grpc://{host}:{server.port}")

        assert (await push(made, keyed.destination)).result == results.REFUSED_ADDRESS
        assert server.connections == 0


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked() -> None:
    resolver = Resolver("127.0.0.2", "127.0.0.1")
    async with (
        grpc_receiver(host="127.0.0.2") as allowed,
        grpc_receiver(host="127.0.0.1", port=allowed.port) as forbidden,
        sender(("127.0.0.2/32",), get_addr_info=resolver) as made,
    ):
        keyed = keyed_destination(f"grpc://rebind.example:{allowed.port}")
        for _ in range(3):
            assert (await push(made, keyed.destination)).delivered
        assert resolver.asked == 1
        assert (len(allowed.deliveries), len(forbidden.deliveries)) == (3, 0)
    async with (
        raw_server(hang) as server,
        sender(("127.0.0.2/32",), get_addr_info=resolver) as made,
    ):
        keyed = keyed_destination(f"grpc://rebind.example:{server.port}")
        assert (await push(made, keyed.destination)).result == results.REFUSED_ADDRESS
        assert server.connections == 0


async def test_a_name_is_looked_up_anew_once_its_address_fails() -> None:
    resolver = Resolver("127.0.0.3", "127.0.0.1")
    async with grpc_receiver() as receiver, sender(get_addr_info=resolver) as made:
        keyed = keyed_destination(f"grpc://moved.example:{receiver.port}")

        assert (await push(made, keyed.destination)).result == "gRPC UNAVAILABLE"
        assert (await push(made, keyed.destination)).delivered


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(hang) as proxy, grpc_receiver() as receiver, sender() as made:
        for name in ("grpc_proxy", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}")
        assert (await push(made, keyed.destination)).delivered
        assert proxy.connections == 0


async def test_channels_that_are_not_used_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}")
        await push(made, keyed.destination)
        channels = made._grpc._channels

        await made.close_idle()
        assert len(channels._kept) == 1
        monkeypatch.setattr(grpc_channels, "IDLE_CLOSE_S", -1.0)
        await made.close_idle()
        assert len(channels._kept) == 0
        assert (await push(made, keyed.destination)).delivered


async def test_a_ping_says_what_it_is() -> None:
    async with grpc_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"grpc://127.0.0.1:{receiver.port}", max_batch=10)
        assert (await made.ping(keyed.destination, 1_790_000_000_123, 5.0)).delivered

    (delivery,) = receiver.deliveries
    check(delivery, keyed.key)
    assert delivery.delivery_id.startswith("ping-")
    record = PredictionRecord.FromString(delivery.prediction_record)
    assert record == PredictionRecord(prediction_id=delivery.delivery_id)
