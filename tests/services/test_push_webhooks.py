"""Webhooks to real endpoints on loopback."""

import asyncio
import contextlib
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from google.protobuf import json_format
from standardwebhooks.webhooks import Webhook

from tailrace.submissions.push import outcome as results
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.push.push_item import PushItem
from tailrace.submissions.push.sender import Sender
from tailrace.submissions.push.target import parse_target
from tailrace.submissions.records import State
from tailrace.v1.prediction_service_pb2 import PredictionRecord, PredictionState
from tailrace.webhooks.keys import Scheme, make_secret
from tailrace.webhooks.signing import Signer
from tailrace.webhooks.verifying import parse_timestamp, split_signatures, verify
from tests.support.push_fixtures import (
    LOOPBACK,
    Authority,
    keyed_destination,
    make_authority,
    push_item,
)
from tests.support.webhook_receiver import (
    Received,
    drip,
    drip_body,
    hang,
    raw_server,
    send_a_gigabyte,
    webhook_receiver,
)

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


def check(received: Received, key: str) -> None:
    headers = received.headers
    verify(
        [key],
        headers["webhook-id"],
        parse_timestamp(headers["webhook-timestamp"]),
        received.body,
        split_signatures(headers["webhook-signature"]),
        time.time(),
    )


async def test_a_result_arrives_signed_as_the_reference_library_wants_it() -> None:
    async with webhook_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/hook?token=a%2Fb")

        outcome = await push(made, keyed.destination)

    assert outcome == PushOutcome(delivered=True, result="HTTP 204")
    (received,) = receiver.requests
    assert received.path == "/hook?token=a%2Fb"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["webhook-id"] == ID
    assert received.headers["traceparent"].startswith("00-0af7651916cd43dd")
    body = Webhook(keyed.key).verify(received.body, received.headers)
    assert (body["type"], body["timestamp"]) == (
        "prediction.succeeded",
        "2026-09-21T14:13:20.500Z",
    )
    record = json_format.ParseDict(body["data"], PredictionRecord())
    assert record.prediction_id == ID
    assert record.response.prediction["label"].string_value == "grün"
    assert not record.HasField("delivery")


@pytest.mark.parametrize(
    ("state", "event_type", "code"),
    [
        (State.FAILED, "prediction.failed", 13),
        (State.EXPIRED, "prediction.expired", 4),
        (State.CANCELLED, "prediction.cancelled", 1),
    ],
)
async def test_every_final_state_has_its_type(state: State, event_type: str, code: int) -> None:
    async with webhook_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")

        assert (await push(made, keyed.destination, push_item(ID, state=state))).delivered

    body = json.loads(receiver.requests[0].body)
    record = json_format.ParseDict(body["data"], PredictionRecord())
    assert body["type"] == event_type
    assert PredictionState.Name(record.state) == f"PREDICTION_STATE_{state.name}"
    assert record.error.code == code


async def test_every_attempt_has_the_same_id_and_body() -> None:
    async with webhook_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/", scheme=Scheme.ED25519)
        for attempt in (1, 2, 3):
            assert (await push(made, keyed.destination, push_item(ID, attempt=attempt))).delivered

    assert {received.headers["webhook-id"] for received in receiver.requests} == {ID}
    assert len({received.body for received in receiver.requests}) == 1
    for received in receiver.requests:
        check(received, keyed.key)
    assert receiver.connections == 1


@pytest.mark.parametrize("scheme", list(Scheme))
async def test_while_a_secret_is_rotated_both_keys_verify(scheme: Scheme) -> None:
    new, old, retired = (make_secret(scheme) for _ in range(3))
    async with webhook_receiver() as receiver, sender() as made:
        destination = Destination(
            target=parse_target(f"http://127.0.0.1:{receiver.port}/", allow_plaintext=True),
            signers=(
                (Signer(new[0]), None),
                (Signer(old[0]), int(time.time() * 1000) + 60_000),
                (Signer(retired[0]), int(time.time() * 1000) - 1),
            ),
        )
        assert (await push(made, destination)).delivered

    (received,) = receiver.requests
    assert len(split_signatures(received.headers["webhook-signature"])) == 2
    for secret, public in (new, old):
        check(received, public or secret)
    with pytest.raises(Exception, match="no signature matches"):
        check(received, retired[1] or retired[0])


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s", "gone"),
    [
        (400, {}, None, False),
        (410, {}, None, True),
        (429, {"Retry-After": "7"}, 7.0, False),
        (503, {"Retry-After": "999999"}, 86_400.0, False),
        (502, {"Retry-After": "later"}, None, False),
        (302, {"Location": "/elsewhere"}, None, False),
        (307, {"Location": "/elsewhere"}, None, False),
    ],
)
async def test_failures_are_told_apart(
    status: int, headers: dict[str, str], retry_after_s: float | None, gone: bool
) -> None:
    def answer(_: Received) -> web.Response:
        return web.Response(status=status, headers=headers)

    async with webhook_receiver(answer) as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")
        outcome = await push(made, keyed.destination)

    assert outcome == PushOutcome(
        delivered=False, result=f"HTTP {status}", retry_after_s=retry_after_s, gone=gone
    )
    assert [received.path for received in receiver.requests] == ["/"]


@pytest.mark.parametrize("misbehaviour", [hang, drip])
async def test_an_endpoint_that_does_not_come_to_an_answer_times_out(misbehaviour: Any) -> None:
    async with raw_server(misbehaviour) as server, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{server.port}/")

        outcome = await push(made, keyed.destination, timeout_s=0.3)

        # The connection is given up, too.
        await asyncio.wait_for(server.closed.wait(), 30) if misbehaviour is drip else None
    assert outcome.result == results.TIMEOUT


async def test_a_body_that_drips_is_not_waited_for() -> None:
    async with raw_server(drip_body) as server, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{server.port}/")

        outcome = await push(made, keyed.destination, timeout_s=60.0)

        await asyncio.wait_for(server.closed.wait(), 30)
    assert outcome == PushOutcome(delivered=True, result="HTTP 200")
    assert server.bytes_sent < 1_000


async def test_a_body_of_a_gigabyte_is_left_unread() -> None:
    async with raw_server(send_a_gigabyte) as server, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{server.port}/")

        outcome = await push(made, keyed.destination)

        await asyncio.wait_for(server.closed.wait(), 30)
    assert outcome == PushOutcome(delivered=True, result="HTTP 200")
    # What the two sockets and the reader hold; the reader stops reading at twice 64 KiB.
    assert server.bytes_sent < 16 << 20


async def test_a_gzip_bomb_is_not_unpacked() -> None:
    # Two gigabytes, in two megabytes; of which 64 KiB are read, and left as they are.
    bomb = gzip.compress(bytes(1 << 25)) * 64
    # What unpacks would stumble over this, and could not use the connection again.
    rubbish = b"this is not gzip"
    bodies = [rubbish, rubbish, bomb]

    def answer(_: Received) -> web.Response:
        return web.Response(body=bodies.pop(0), headers={"Content-Encoding": "gzip"})

    async with webhook_receiver(answer) as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")
        for _ in range(3):
            assert (await push(made, keyed.destination)).delivered

    assert receiver.requests[0].headers["Accept-Encoding"] == "identity"
    assert receiver.connections == 1


PROVISIONAL = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
CONFIRMATION = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", results.BAD_RESPONSE),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", results.BAD_RESPONSE),
        # More than are read, though an answer comes after them.
        (PROVISIONAL * 20_000 + CONFIRMATION, results.BAD_RESPONSE),
        (PROVISIONAL * 17 + CONFIRMATION, results.BAD_RESPONSE),
        (PROVISIONAL * 16 + CONFIRMATION, "HTTP 204"),
        (b"", results.CONNECTION_LOST),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, result: str) -> None:
    async def respond(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_server(respond) as server, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{server.port}/")
        assert (await push(made, keyed.destination)).result == result


async def test_nobody_listening_is_a_connect_error() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening
        async with sender() as made:
            keyed = keyed_destination(f"http://127.0.0.1:{held.getsockname()[1]}/")
            assert (await push(made, keyed.destination)).result == results.CONNECT_ERROR


class Resolver:
    """Answers of our choice: no real name server changes its answers on demand."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: object, **_: object) -> list[Any]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        family = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (answer, 0))]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


async def test_a_name_is_verified_over_tls_though_an_address_is_connected_to(
    authority: Authority,
) -> None:
    context = authority.server_context("hook.example")
    async with (
        webhook_receiver(tls=context) as receiver,
        sender(ca_file=authority.file, get_addr_info=Resolver("127.0.0.1")) as made,
    ):
        good = keyed_destination(f"https://hook.example:{receiver.port}/")
        other = keyed_destination(f"https://other.example:{receiver.port}/")

        assert (await push(made, good.destination)).delivered
        assert (await push(made, other.destination)).result == results.TLS_ERROR
    async with (
        webhook_receiver(tls=context) as receiver,
        sender(get_addr_info=Resolver("127.0.0.1")) as strict,
    ):
        good = keyed_destination(f"https://hook.example:{receiver.port}/")
        assert (await push(strict, good.destination)).result == results.TLS_ERROR
        assert receiver.requests == []


async def test_a_name_that_is_unknown_is_told_apart() -> None:
    async with sender(get_addr_info=Resolver("")) as made:
        keyed = keyed_destination("http://none.example/")
        assert (await push(made, keyed.destination)).result == results.NO_ADDRESS


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
async def test_loopback_is_never_connected_to_unless_allowed(host: str) -> None:
    async with webhook_receiver(host="127.0.0.1") as receiver, sender(()) as made:
        keyed = keyed_destination(f"http://{host}:{receiver.port}/")

        assert (await push(made, keyed.destination)).result == results.REFUSED_ADDRESS
        assert receiver.connections == 0
        async with sender() as permissive:
            assert (await push(permissive, keyed.destination)).delivered


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "fd12:3456::1", "fd00:ec2::254", "::", "0.0.0.0"]
)
async def test_private_addresses_are_refused_as_addresses_and_behind_names(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *args, **_: opened.append(args))
    async with sender((), get_addr_info=Resolver(address)) as made:
        host = f"[{address}]" if ":" in address else address
        for url in (f"http://{host}/", "http://hook.example/"):
            outcome = await push(made, keyed_destination(url).destination)
            assert outcome.result == results.REFUSED_ADDRESS
    assert opened == []


async def test_a_redirect_to_the_metadata_address_is_not_followed() -> None:
    def answer(_: Received) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/"})

    async with webhook_receiver(answer) as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")
        assert (await push(made, keyed.destination)).result == "HTTP 302"
        assert len(receiver.requests) == 1


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked() -> None:
    # The second address is not allowed; a guard that looks the name up apart from the connection
    # would be answered with the first, and connect to the second.
    resolver = Resolver("127.0.0.2", "127.0.0.1")
    async with (
        webhook_receiver(host="127.0.0.2") as allowed,
        webhook_receiver(host="127.0.0.1", port=allowed.port) as forbidden,
        sender(("127.0.0.2/32",), get_addr_info=resolver) as made,
    ):
        keyed = keyed_destination(f"http://rebind.example:{allowed.port}/")

        assert (await push(made, keyed.destination)).delivered
        assert (resolver.asked, allowed.connections, forbidden.connections) == (1, 1, 0)
    async with (
        webhook_receiver(host="127.0.0.1") as forbidden,
        sender(("127.0.0.2/32",), get_addr_info=resolver) as made,
    ):
        keyed = keyed_destination(f"http://rebind.example:{forbidden.port}/")
        assert (await push(made, keyed.destination)).result == results.REFUSED_ADDRESS
        assert forbidden.connections == 0


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with webhook_receiver() as proxy, webhook_receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with sender() as made:
            keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")
            assert (await push(made, keyed.destination)).delivered
        assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_ping_is_signed_and_says_what_it_is() -> None:
    async with webhook_receiver() as receiver, sender() as made:
        keyed = keyed_destination(f"http://127.0.0.1:{receiver.port}/")
        outcome = await made.ping(keyed.destination, 1_790_000_000_123, 5.0)

    (received,) = receiver.requests
    assert outcome.delivered
    check(received, keyed.key)
    assert received.headers["webhook-id"].startswith("ping-")
    body = json.loads(received.body)
    assert (body["type"], body["timestamp"]) == ("ping", "2026-09-21T14:13:20.123Z")
