"""Both clients against a real server: what they send, how they connect, what they raise."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
import trustme

import tailrace.client
from tailrace.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Fields,
    InputValue,
    InvalidRequest,
    NotFound,
    Overloaded,
    Prediction,
    PredictionError,
    Priority,
    Quality,
    ServerFault,
    Tensor,
    Tls,
    Unavailable,
)
from tailrace.v1.batch_pb2 import PRIORITY_SHEDDABLE
from tailrace.v1.pipeline_pb2 import PipelineDescription, RequestField
from tests.support.small_gateway import SmallGateway, small_gateway


def assert_close(remaining_s: float, timeout_s: float) -> None:
    """A deadline as it arrives: some of it is spent, and gRPC rounds it up by up to 1 %."""
    assert timeout_s - 1 < remaining_s <= timeout_s * 1.01


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    """A small gateway of this test's own."""
    async with small_gateway() as running:
        yield running


@pytest.fixture
def unused_target() -> Iterator[str]:
    """An address that this test holds without listening on it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest_asyncio.fixture
async def client(gateway: SmallGateway) -> AsyncIterator[AsyncClient]:
    """A client of it."""
    async with AsyncClient(gateway.target) as connected:
        yield connected


async def test_prediction_holds_what_was_sent(client: AsyncClient) -> None:
    fields: dict[str, InputValue] = {
        "text": "ü",
        "count": 2**53 + 1,
        "ratio": 0.1,
        "flag": True,
        "when": datetime(2013, 9, 1, 9, 15, 0, 1, UTC),
        "blob": b"\0\xff",
        "nothing": None,
        "grid": Tensor.of([[1, 2]], "int16"),
    }

    prediction = await client.predict("echo", {**fields, "array": np.array([1.5])})

    assert prediction.values == {**fields, "array": Tensor.of([1.5], "float64")}
    assert prediction.quality is Quality.LIVE
    assert (prediction.model_name, prediction.model_version) == ("echo", "1")
    assert prediction.pipeline_version == "1-abc"
    assert prediction.ledger.total_ms == 1.5


async def test_request_carries_all_that_the_caller_said(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    prediction = await client.predict(
        "echo",
        {},
        pipeline_version="2",
        request_id="request-1",
        priority=Priority.SHEDDABLE,
        tenant="acme",
    )

    request = gateway.seen[0].request
    assert (request.pipeline, request.pipeline_version) == ("echo", "2")
    assert (request.request_id, request.tenant) == ("request-1", "acme")
    assert request.priority == PRIORITY_SHEDDABLE
    assert prediction.request_id == "request-1"


async def test_request_without_an_id_gets_a_fresh_one(client: AsyncClient) -> None:
    first = await client.predict("echo", {})
    second = await client.predict("echo", {})

    assert len({first.request_id, second.request_id, ""}) == 3


async def test_sync_client_does_the_same(gateway: SmallGateway) -> None:
    def calls() -> tuple[Prediction, list[Prediction | PredictionError], list[str]]:
        with Client(gateway.target) as client:
            return (
                client.predict("echo", {"n": 1}, timeout=3.0),
                client.predict_batch("echo", [{"n": 1}, {"reject": True}]),
                [summary.name for summary in client.list_pipelines()],
            )

    gateway.descriptions["echo"] = PipelineDescription(name="echo", version="1-abc")
    prediction, outcomes, names = await asyncio.to_thread(calls)

    assert prediction.values == {"n": 1}
    assert_close(gateway.seen[0].time_remaining_s, 3.0)
    assert [type(outcome) for outcome in outcomes] == [Prediction, InvalidRequest]
    assert names == ["echo"]


async def test_sync_client_serves_many_threads(gateway: SmallGateway) -> None:
    def calls() -> set[object]:
        values: set[object] = set()
        with Client(gateway.target, connections=2) as client:

            def call(number: int) -> None:
                values.add(client.predict("echo", {"n": number}).values["n"])

            threads = [threading.Thread(target=call, args=(n,)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return values

    assert await asyncio.to_thread(calls) == set(range(20))


# --- deadlines -----------------------------------------------------------------------------


async def test_deadline_is_the_default_where_none_is_named(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    await client.predict("echo", {})
    await client.predict_batch("echo", [{}])
    await client.list_pipelines()

    for call in gateway.seen:
        assert_close(call.time_remaining_s, tailrace.client.DEFAULT_TIMEOUT_S)


async def test_deadline_of_the_client_and_of_the_call_come_first(gateway: SmallGateway) -> None:
    async with AsyncClient(gateway.target, timeout=60) as client:
        await client.predict("echo", {})
        await client.predict("echo", {}, timeout=20)

    assert_close(gateway.seen[0].time_remaining_s, 60)
    assert_close(gateway.seen[1].time_remaining_s, 20)


async def test_late_answer_is_deadline_exceeded(client: AsyncClient) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await client.predict("slow", {}, timeout=0.1, request_id="request-1")

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.request_id == "request-1"


@pytest.mark.parametrize("seconds", [0, -1.0])
async def test_spent_deadline_sends_nothing(
    client: AsyncClient, gateway: SmallGateway, seconds: float
) -> None:
    with pytest.raises(DeadlineExceeded, match="nothing was sent"):
        await client.predict("echo", {}, timeout=seconds)

    assert gateway.seen == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
async def test_endless_deadline_is_refused(client: AsyncClient, seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        await client.predict("echo", {}, timeout=seconds)


@pytest.mark.parametrize("kind", [AsyncClient, Client])
@pytest.mark.parametrize("timeout", [float("inf"), 0.0, -1.0])
def test_client_without_a_deadline_is_refused(
    kind: type[AsyncClient] | type[Client], timeout: float
) -> None:
    with pytest.raises(ValueError, match="finite number of seconds above zero"):
        kind("127.0.0.1:1", timeout=timeout)


async def test_cancelled_call_is_cancelled_at_the_server(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    call = asyncio.create_task(client.predict("slow", {}, timeout=30))
    await asyncio.wait_for(gateway.entered.wait(), 30)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(gateway.cancelled.wait(), 30)


# --- batches -------------------------------------------------------------------------------


async def test_each_row_of_a_batch_has_its_own_outcome(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    rows: list[Fields] = [{"n": 1}, {"reject": True}, {"n": 3}]

    first, second, third = await client.predict_batch(
        "echo", rows, request_ids=["a", "b", "c"], tenant="acme"
    )

    assert isinstance(first, Prediction) and first.values == {"n": 1}
    assert isinstance(third, Prediction) and third.request_id == "c"
    assert isinstance(second, InvalidRequest)
    assert (second.field, second.request_id) == ("fields.reject", "b")
    assert {request.tenant for request in gateway.seen[0].request.requests} == {"acme"}


async def test_row_that_cannot_be_sent_fails_alone(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    first, second = await client.predict_batch(
        "echo", [{"when": datetime(2013, 9, 1)}, {"n": 2}], request_ids=["a", "b"]
    )

    assert isinstance(first, InvalidRequest)
    assert (first.field, first.request_id) == ("fields.when", "a")
    assert isinstance(second, Prediction) and second.request_id == "b"
    assert len(gateway.seen[0].request.requests) == 1


async def test_batch_without_a_row_to_send_makes_no_call(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    assert await client.predict_batch("echo", []) == []
    (outcome,) = await client.predict_batch("echo", [{"when": datetime(2013, 9, 1)}])

    assert isinstance(outcome, InvalidRequest)
    assert gateway.seen == []


async def test_batch_that_fails_as_a_whole_raises(client: AsyncClient) -> None:
    with pytest.raises(Overloaded):
        await client.predict_batch("full", [{}, {}])


async def test_batch_with_too_few_results_is_a_fault_of_the_server(client: AsyncClient) -> None:
    with pytest.raises(ServerFault, match="1 results for 2 requests"):
        await client.predict_batch("short", [{}, {}])


async def test_batch_needs_one_id_per_row(client: AsyncClient) -> None:
    with pytest.raises(ValueError):
        await client.predict_batch("echo", [{}, {}], request_ids=["a"])


# --- pipelines -----------------------------------------------------------------------------


async def test_pipelines_are_listed_and_described(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    described = PipelineDescription(
        name="echo",
        version="1-abc",
        request_fields=[RequestField(name="when", type="timestamp", required=True)],
    )
    gateway.descriptions = {"echo": described, "broken": PipelineDescription(name="broken")}

    summaries = await client.list_pipelines()

    assert [(s.name, s.version, s.load_error) for s in summaries] == [
        ("broken", "", "cannot be read"),
        ("echo", "1-abc", ""),
    ]
    assert await client.describe_pipeline("echo") == described
    with pytest.raises(NotFound):
        await client.describe_pipeline("ecko")


# --- trouble -------------------------------------------------------------------------------


async def test_error_of_the_server_is_typed_with_its_details(client: AsyncClient) -> None:
    with pytest.raises(Overloaded) as caught:
        await client.predict("full", {}, request_id="request-1")

    assert caught.value.reason == "MODEL_QUEUE_FULL"
    assert caught.value.retry_after_s == 0.25
    assert caught.value.request_id == "request-1"


async def test_unexpected_error_tells_no_secret(client: AsyncClient) -> None:
    with pytest.raises(ServerFault) as caught:
        await client.predict("broken", {})

    assert caught.value.reason == "INTERNAL"
    assert "secret" not in str(caught.value)


async def test_value_that_cannot_be_sent_raises_before_any_call(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.predict("echo", {"when": datetime(2013, 9, 1)}, request_id="request-1")

    assert (caught.value.field, caught.value.request_id) == ("fields.when", "request-1")
    assert gateway.seen == []


async def test_nobody_there_is_unavailable(unused_target: str) -> None:
    async with AsyncClient(unused_target) as client:
        with pytest.raises(Unavailable) as caught:
            await client.predict("echo", {}, timeout=5)

    assert caught.value.reason == ""


def test_nobody_there_is_unavailable_to_the_sync_client(unused_target: str) -> None:
    with Client(unused_target) as client, pytest.raises(Unavailable):
        client.predict("echo", {}, timeout=5)


async def test_another_grpc_server_is_an_error_with_its_code() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(PredictionError) as caught:
                await client.predict("echo", {})
    finally:
        await server.stop(None)

    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


async def test_server_without_grpc_is_unavailable() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(Unavailable):
                await client.predict("echo", {}, timeout=5)


async def test_answer_above_the_limit_is_refused(gateway: SmallGateway) -> None:
    async with AsyncClient(gateway.target, max_message_bytes=1024) as client:
        await client.predict("echo", {"blob": b"x" * 512})
        with pytest.raises(Overloaded):
            await client.predict("echo", {"blob": b"x" * 2048})


# --- connections ---------------------------------------------------------------------------


async def test_connections_are_used_in_turn(gateway: SmallGateway) -> None:
    async with AsyncClient(gateway.target, connections=3) as client:
        for _ in range(6):
            await client.predict("echo", {})

    assert sorted(Counter(call.peer for call in gateway.seen).values()) == [2, 2, 2]


async def test_one_connection_is_the_default(client: AsyncClient, gateway: SmallGateway) -> None:
    for _ in range(4):
        await client.predict("echo", {})

    assert len({call.peer for call in gateway.seen}) == 1


async def test_metadata_goes_with_every_call(gateway: SmallGateway) -> None:
    async with AsyncClient(gateway.target, metadata=[("authorization", "Bearer x")]) as client:
        await client.predict("echo", {})
        await client.list_pipelines()

    assert [call.metadata["authorization"] for call in gateway.seen] == ["Bearer x"] * 2


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_client_needs_a_target_and_a_connection(
    kind: type[AsyncClient] | type[Client],
) -> None:
    with pytest.raises(ValueError, match="target"):
        kind("")
    with pytest.raises(ValueError, match="at least 1"):
        kind("127.0.0.1:1", connections=0)


async def test_closed_client_makes_no_call(gateway: SmallGateway) -> None:
    client = AsyncClient(gateway.target)
    await client.predict("echo", {})
    await client.close()
    await client.close()

    with pytest.raises(RuntimeError, match="closed"):
        await client.predict("echo", {})


def test_closed_sync_client_makes_no_call() -> None:
    client = Client("127.0.0.1:1")
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.predict("echo", {})


async def test_async_client_may_be_made_outside_of_a_loop(gateway: SmallGateway) -> None:
    client = await asyncio.to_thread(AsyncClient, gateway.target)

    async with client:
        assert (await client.predict("echo", {"n": 1})).values == {"n": 1}


async def test_mutual_tls_lets_the_right_client_in(tmp_path: Path) -> None:
    ca = trustme.CA()
    server, caller = ca.issue_cert("gateway.test"), ca.issue_cert("caller.test")
    ca_pem = ca.cert_pem.bytes()
    key = server.private_key_pem.bytes()
    chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(key, chain)], root_certificates=ca_pem, require_client_auth=True
    )
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    caller.private_key_pem.write_to_path(tmp_path / "key.pem")
    caller.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    name = "gateway.test"
    tls = Tls.from_files(
        ca=tmp_path / "ca.pem",
        certificate=tmp_path / "certificate.pem",
        key=tmp_path / "key.pem",
        server_name=name,
    )

    async with small_gateway(credentials) as gateway:
        async with AsyncClient(gateway.target, tls=tls) as client:
            assert (await client.predict("echo", {"n": 1})).values == {"n": 1}

        def sync_call() -> object:
            with Client(gateway.target, tls=tls) as client:
                return client.predict("echo", {"n": 1}).values["n"]

        assert await asyncio.to_thread(sync_call) == 1
        for wrong in (
            None,
            Tls(ca=ca_pem, server_name=name),
            Tls(ca=trustme.CA().cert_pem.bytes(), server_name=name),
            Tls(ca=ca_pem, certificate=tls.certificate, key=tls.key, server_name="other.test"),
        ):
            async with AsyncClient(gateway.target, tls=wrong) as client:
                with pytest.raises(Unavailable):
                    await client.predict("echo", {}, timeout=5)


def test_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="go together"):
        Tls(certificate=b"certificate")


def test_key_is_kept_out_of_logs() -> None:
    assert "secret" not in repr(Tls(certificate=b"certificate", key=b"secret"))


async def test_example_of_the_documentation_runs(gateway: SmallGateway) -> None:
    documentation = tailrace.client.__doc__ or ""
    lines = [line for line in documentation.splitlines() if line.startswith("    ") or not line]
    example = textwrap.dedent("\n".join(lines)).strip()
    assert len([line for line in example.splitlines() if line]) <= 10

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        program = example.replace("127.0.0.1:50050", gateway.target)
        await asyncio.to_thread(exec, compile(program, "example", "exec"), {})

    assert "'carrier': 'UA'" in output.getvalue()
    assert output.getvalue().endswith("LIVE 1.5\n")
