"""Both receivers, as the courier's own senders and strangers find them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
import trustme
from standardwebhooks import Webhook

from tailrace.client import SubmissionState
from tailrace.client.receiver import (
    CallbackGone,
    Duplicate,
    GrpcReceiver,
    Handler,
    MalformedDelivery,
    MalformedKey,
    NoMatchingSignature,
    Ping,
    PushedPrediction,
    SeenDeliveries,
    TimestampTooOld,
    TryLater,
    WebhookReceiver,
)
from tailrace.submissions.push.address_rules import AddressRules
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.grpc_sender import GrpcSender
from tailrace.submissions.push.name_lookup import NameLookup
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.push.push_item import PushItem, ping_item, webhook_body
from tailrace.submissions.push.target import parse_target
from tailrace.submissions.push.webhook_sender import WebhookSender
from tailrace.v1 import callback_receiver_pb2_grpc
from tailrace.v1.callback_receiver_pb2 import DeliverPredictionsRequest, Delivery
from tailrace.v1.prediction_service_pb2 import (
    PREDICTION_STATE_SUCCEEDED,
    PredictionRecord,
    PredictResponse,
)
from tailrace.v1.tensor_pb2 import Value
from tailrace.webhooks.keys import Scheme, make_secret
from tailrace.webhooks.signing import Signer, sign

SECRET, _ = make_secret(Scheme.HMAC_SHA256)
OTHER_SECRET, _ = make_secret(Scheme.HMAC_SHA256)
ED25519_SECRET, ED25519_PUBLIC = make_secret(Scheme.ED25519)
TIMEOUT_S = 10.0


def result(name: str) -> PushItem:
    """A result on its way, of a prediction of that id."""
    record = PredictionRecord(
        prediction_id=name,
        pipeline="flight-delay",
        state=PREDICTION_STATE_SUCCEEDED,
        response=PredictResponse(prediction={"probability": Value(double_value=0.25)}),
    ).SerializeToString(deterministic=True)
    return PushItem(
        delivery_id=name,
        attempt=1,
        record=record,
        webhook_body=lambda: webhook_body("prediction.succeeded", 1_000, record),
    )


@dataclass
class Courier:
    """Pushes to one receiver as the courier does.

    Attributes:
        push: makes an attempt with these results, signed with these secrets.
        handled: ids in the order in which the handler was called.
        troubles: what the handler raises, in turn; then nothing.
        hold: while this is clear, the handler waits.
        entered: set when the handler has been called.
    """

    handled: list[str] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    keys: Sequence[str] = (SECRET,)
    _push: Callable[[Destination, list[PushItem]], asyncio.Future[list[PushOutcome]]] = field(
        init=False
    )
    _target: str = ""

    async def handle(self, pushed: PushedPrediction) -> None:
        """The handler."""
        assert pushed.prediction.state is SubmissionState.SUCCEEDED
        assert pushed.prediction.prediction.values == {"probability": 0.25}
        self.handled.append(pushed.delivery_id)
        self.entered.set()
        await self.hold.wait()
        if self.troubles:
            raise self.troubles.pop(0)

    async def push(self, *items: PushItem, secrets: Sequence[str] = (SECRET,)) -> list[PushOutcome]:
        """Makes one attempt."""
        destination = Destination(
            target=parse_target(self._target, allow_plaintext=True),
            signers=tuple((Signer(secret), None) for secret in secrets),
            max_batch=max(1, len(items)),
        )
        return await self._push(destination, list(items))


@contextlib.asynccontextmanager
async def courier_to(
    kind: str,
    *,
    keys: Sequence[str] = (SECRET,),
    handler: Handler | None = None,
    seen: SeenDeliveries | None = None,
    certificate: Path | None = None,
    ca_file: Path | None = None,
) -> AsyncIterator[Courier]:
    """A courier, and the receiver that it pushes to."""
    courier = Courier()
    courier.hold.set()
    rules = AddressRules(["127.0.0.0/8"])
    names = NameLookup(rules)
    handler = handler or courier.handle
    async with contextlib.AsyncExitStack() as stack:
        if kind == "grpc":
            grpc_receiver = GrpcReceiver(handler, keys, seen=seen)
            serving = grpc_receiver.serving(
                "127.0.0.1:0", certificate_file=certificate, key_file=certificate
            )
            sender = GrpcSender(rules, names, ca_file=ca_file)
            stack.push_async_callback(sender.close)
            courier._push = lambda destination, items: asyncio.ensure_future(
                sender.push(destination, items, TIMEOUT_S)
            )
        else:
            receiver = WebhookReceiver(handler, keys, seen=seen)
            serving = receiver.serving(certificate_file=certificate, key_file=certificate)
            poster = WebhookSender(rules, names, ca_file=ca_file)
            stack.push_async_callback(poster.close)

            async def post(destination: Destination, items: list[PushItem]) -> list[PushOutcome]:
                return [await poster.push(destination, item, TIMEOUT_S) for item in items]

            courier._push = lambda destination, items: asyncio.ensure_future(
                post(destination, items)
            )
        courier._target = await stack.enter_async_context(serving)
        yield courier


KINDS = pytest.mark.parametrize("kind", ["webhook", "grpc"])


@KINDS
async def test_result_is_handled_once_however_often_it_comes(kind: str) -> None:
    async with courier_to(kind) as courier:
        for _ in range(3):
            (outcome,) = await courier.push(result("a"))
            assert outcome.delivered
    assert courier.handled == ["a"]


@KINDS
async def test_result_whose_handler_failed_comes_again(kind: str) -> None:
    async with courier_to(kind) as courier:
        courier.troubles = [RuntimeError("secret of the handler")]
        (first,) = await courier.push(result("a"))
        (second,) = await courier.push(result("a"))
        (third,) = await courier.push(result("a"))
    assert not first.delivered
    assert first.result == ("HTTP 500" if kind == "webhook" else "gRPC INTERNAL")
    assert second.delivered and third.delivered
    assert courier.handled == ["a", "a"]


@KINDS
async def test_result_that_comes_while_it_is_handled_shares_the_outcome(kind: str) -> None:
    async with courier_to(kind) as courier:
        courier.hold.clear()
        first = asyncio.create_task(courier.push(result("a")))
        await courier.entered.wait()
        second = asyncio.create_task(courier.push(result("a")))
        courier.troubles = [RuntimeError("failed")]
        # Whether it is there yet or not: it may not be handled beside the first.
        await courier.push(ping_item("ping-1", 0))
        courier.hold.set()
        outcomes = [*await first, *await second]
    assert outcomes[0].delivered is False
    assert courier.handled.count("a") == len(courier.handled) <= 2
    assert outcomes[1].delivered is (len(courier.handled) == 2)


@KINDS
async def test_sender_that_gave_up_finds_the_result_handled(kind: str) -> None:
    async with courier_to(kind) as courier:
        courier.hold.clear()
        gives_up = asyncio.create_task(courier.push(result("a")))
        await courier.entered.wait()
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)
        courier.hold.set()
        (outcome,) = await courier.push(result("a"))
    assert outcome.delivered
    assert courier.handled == ["a"]


@KINDS
async def test_ping_is_confirmed_and_not_handled(kind: str) -> None:
    async with courier_to(kind) as courier:
        (outcome,) = await courier.push(ping_item("ping-1", 0))
    assert outcome.delivered
    assert courier.handled == []


@KINDS
async def test_foreign_signature_is_refused(kind: str) -> None:
    async with courier_to(kind) as courier:
        (outcome,) = await courier.push(result("a"), secrets=[OTHER_SECRET])
    assert outcome.result == ("HTTP 401" if kind == "webhook" else "gRPC UNAUTHENTICATED")
    assert courier.handled == []


@KINDS
@pytest.mark.parametrize("secrets", [[OTHER_SECRET], [SECRET], [SECRET, OTHER_SECRET]])
async def test_while_a_secret_is_rotated_either_verifies(kind: str, secrets: list[str]) -> None:
    async with courier_to(kind, keys=[SECRET, OTHER_SECRET]) as courier:
        (outcome,) = await courier.push(result("a"), secrets=secrets)
    assert outcome.delivered


@KINDS
async def test_ed25519_needs_the_public_key_only(kind: str) -> None:
    async with courier_to(kind, keys=[ED25519_PUBLIC]) as courier:
        (signed,) = await courier.push(result("a"), secrets=[ED25519_SECRET])
        (foreign,) = await courier.push(result("b"), secrets=[make_secret(Scheme.ED25519)[0]])
    assert signed.delivered and not foreign.delivered
    assert courier.handled == ["a"]


@KINDS
async def test_handler_may_ask_for_time_or_say_that_it_has_gone(kind: str) -> None:
    async with courier_to(kind) as courier:
        courier.troubles = [TryLater(7), CallbackGone()]
        (later,) = await courier.push(result("a"))
        (gone,) = await courier.push(result("a"))
    assert (later.delivered, later.retry_after_s, later.gone) == (False, 7, False)
    assert (gone.delivered, gone.gone) == (False, True)


@KINDS
async def test_plain_function_handles_too(kind: str) -> None:
    handled: list[str] = []

    def handle(pushed: PushedPrediction) -> None:
        # On the event loop this would raise.
        asyncio.run(asyncio.sleep(0))
        handled.append(pushed.delivery_id)

    async with courier_to(kind, handler=handle) as courier:
        outcomes = await courier.push(result("a"), result("b"), result("a"))
    assert [outcome.delivered for outcome in outcomes] == [True, True, True]
    assert handled == ["a", "b"]


@KINDS
async def test_tls_is_served(kind: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, ca_file = tmp_path / "receiver.pem", tmp_path / "ca.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(ca_file)
    async with courier_to(kind, certificate=certificate, ca_file=ca_file) as courier:
        assert courier._target.startswith(("https://", "grpcs://"))
        (outcome,) = await courier.push(result("a"))
    assert outcome.delivered


class Ledger:
    """Ids in a place that may have to be waited for."""

    blocks = True

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.down = False

    def seen(self, delivery_ids: Sequence[str]) -> set[str]:
        """Returns those that are there."""
        if self.down:
            raise OSError("the database is down")
        return self.ids & set(delivery_ids)

    def remember(self, delivery_ids: Sequence[str]) -> None:
        """Keeps them."""
        self.ids |= set(delivery_ids)


@KINDS
async def test_receivers_share_what_was_seen_and_take_nothing_while_they_cannot_ask(
    kind: str,
) -> None:
    ledger = Ledger()
    async with courier_to(kind, seen=ledger) as first, courier_to(kind, seen=ledger) as second:
        await first.push(result("a"))
        (again,) = await second.push(result("a"))
        ledger.down = True
        (refused,) = await second.push(result("b"))
    assert again.delivered
    assert not refused.delivered
    assert (first.handled, second.handled) == (["a"], [])


async def test_each_of_many_deliveries_has_its_own_status() -> None:
    handled: list[str] = []

    async def handle(pushed: PushedPrediction) -> None:
        if pushed.delivery_id == "fails":
            raise RuntimeError
        handled.append(pushed.delivery_id)

    def delivery(name: str, secret: str = SECRET) -> Delivery:
        item, now_s = result(name), int(time.time())
        message = Delivery(
            delivery_id=name,
            prediction_record=item.record,
            signatures=[sign(secret, name, now_s, item.record)],
        )
        message.attempt_time.FromSeconds(now_s)
        return message

    sent = [delivery("a"), delivery("fails"), delivery("foreign", OTHER_SECRET), delivery("b")]
    async with GrpcReceiver(handle, [SECRET]).serving() as target:
        async with grpc.aio.insecure_channel(target.removeprefix("grpc://")) as channel:
            stub = callback_receiver_pb2_grpc.CallbackReceiverStub(channel)
            answer = await stub.DeliverPredictions(DeliverPredictionsRequest(deliveries=sent))
    codes = [status.code for status in answer.statuses]
    assert codes == [
        code.value[0]
        for code in (
            grpc.StatusCode.OK,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.OK,
        )
    ]
    assert sorted(handled) == ["a", "b"]


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """One whose handler is never called."""

    def handle(pushed: PushedPrediction) -> None:
        raise AssertionError(pushed)

    yield WebhookReceiver(handle, [SECRET], max_body_bytes=2000)


def signed(name: str, body: bytes, at_s: float | None = None) -> dict[str, str]:
    """Headers as the reference library makes them."""
    now = time.time() if at_s is None else at_s
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(int(now), UTC)
    signature = Webhook(SECRET).sign(name, moment, body.decode())
    return {
        "Webhook-Id": name,
        "Webhook-Timestamp": str(int(now)),
        "Webhook-Signature": signature,
    }


def test_webhooks_of_the_reference_library_are_received(receiver: WebhookReceiver) -> None:
    body = result("a").webhook_body()
    pushed = receiver.receive(signed("a", body), body)
    assert isinstance(pushed, PushedPrediction)
    assert pushed.prediction.prediction.values == {"probability": 0.25}
    # Until it is done, it is none that was handled.
    assert isinstance(receiver.receive(signed("a", body), body), PushedPrediction)
    receiver.done(pushed)
    assert receiver.receive(signed("a", body), body) == Duplicate("a")
    other = b'{"type":"invoice.paid","timestamp":"2026-01-01T00:00:00Z","data":{}}'
    assert receiver.receive(signed("b", other), other) == Ping("b", "invoice.paid")


def test_altered_and_replayed_webhooks_are_refused(receiver: WebhookReceiver) -> None:
    body = result("a").webhook_body()
    headers = signed("a", body)
    with pytest.raises(NoMatchingSignature):
        receiver.receive(headers, body.replace(b"0.25", b"0.95"))
    with pytest.raises(NoMatchingSignature):
        receiver.receive({**headers, "Webhook-Id": "b"}, body)
    with pytest.raises(TimestampTooOld):
        receiver.receive(signed("a", body, time.time() - 301), body)


def test_receiver_without_a_usable_key_is_refused() -> None:
    with pytest.raises(MalformedKey):
        WebhookReceiver(print, [])
    with pytest.raises(MalformedKey):
        GrpcReceiver(print, [ED25519_SECRET])


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("POST", b"x" * 2001, 413),
        ("POST", b"not signed", 400),
        ("GET", b"", 405),
    ],
)
async def test_what_is_no_webhook_is_refused(
    receiver: WebhookReceiver, method: str, body: bytes, status: int
) -> None:
    async with receiver.serving() as url, aiohttp.ClientSession() as session:
        async with session.request(method, url, data=body) as response:
            assert response.status == status


def test_signed_json_that_is_nested_without_end_is_refused(receiver: WebhookReceiver) -> None:
    body = b"[" * 100_000
    with pytest.raises(MalformedDelivery):
        receiver.receive(signed("nested", body), body)


async def asgi_call(
    receiver: WebhookReceiver, headers: dict[str, str], body: bytes, method: str = "POST"
) -> int:
    """Returns the status that a server of ASGI applications gets."""
    parts = [body[:10], body[10:]]
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await receiver({"type": "http", "method": method, "headers": raw}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status


async def test_receiver_is_an_asgi_application() -> None:
    handled: list[str] = []
    receiver = WebhookReceiver(lambda pushed: handled.append(pushed.delivery_id), [SECRET])
    body = result("a").webhook_body()
    assert await asgi_call(receiver, signed("a", body), body) == 204
    assert await asgi_call(receiver, signed("a", body), body) == 204
    assert await asgi_call(receiver, signed("a", body), body + b" ") == 401
    assert await asgi_call(receiver, {}, b"", "GET") == 405
    assert handled == ["a"]


async def test_asgi_server_ends_once_all_is_handled() -> None:
    receiver = WebhookReceiver(print, [SECRET])
    messages = ["lifespan.startup", "lifespan.shutdown"]
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": messages.pop(0)}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await receiver({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_body_is_json_that_others_can_read() -> None:
    content = json.loads(result("a").webhook_body())
    assert content["type"] == "prediction.succeeded"
    assert content["data"]["predictionId"] == "a"
