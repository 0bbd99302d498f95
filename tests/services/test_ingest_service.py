"""The ingest service behind its gRPC port."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.client.values import to_value
from tailrace.ingest.app import SERVICE, SERVICE_NAME, build
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.error_mapping import error_of
from tailrace.v1 import batch_pb2, ingest_service_pb2, ingest_service_pb2_grpc, tensor_pb2
from tests.support.hop_server import hop_batch, hop_process, refusal, row_errors, serve_hop
from tests.support.wire_batches import answer_from_proto
from tests.support.written_pipeline import write_pipeline

FIELDS = {
    "x": {"type": "double", "required": True, "minimum": 0},
    "s": {"type": "string", "default": "a"},
    "v": {"type": "tensor", "dtype": "float32", "shape": [2]},
}
STEPS: list[dict[str, Any]] = [
    {"step": "vocabulary", "input": "s", "output": "place", "values": ["a", "b"]},
    {"step": "function", "function": "functions:root", "inputs": ["x"],
     "outputs": [{"name": "root", "dtype": "float32"}]},
]  # fmt: skip
FUNCTIONS = """
import numpy as np

def root(x):
    if (x == 13).any():
        raise ValueError("unlucky")
    return np.sqrt(x)
"""
METHOD = f"/{SERVICE_NAME}/Preprocess"


def request_of(*rows: dict[str, Any], **parts: Any) -> ingest_service_pb2.PreprocessRequest:
    message = ingest_service_pb2.PreprocessRequest(batch=hop_batch(len(rows), **parts))
    for row in rows:
        fields = message.requests.add().fields
        for name, value in row.items():
            if isinstance(value, tensor_pb2.Tensor):
                fields[name].tensor_value.CopyFrom(value)
            else:
                fields[name].CopyFrom(to_value(value, name))
    return message


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path, FIELDS, STEPS, ["place", "root"], functions=FUNCTIONS)


@pytest_asyncio.fixture
async def channel(pipelines: Path) -> AsyncIterator[grpc.aio.Channel]:
    settings = IngestSettings(pipelines_dir=pipelines, drain_grace_ms=100)
    async with serve_hop(settings, build(settings)) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return ingest_service_pb2_grpc.IngestServiceStub(channel)


async def test_good_rows_come_back_as_columns(stub: Any) -> None:
    reply = await stub.Preprocess(request_of({"x": 4.0, "s": "b"}, {"x": 9}), timeout=5)
    batch = answer_from_proto(reply.batch)
    assert not reply.batch.rows.errors
    assert batch.columns["place"].tolist() == [1.0, 0.0]
    assert batch.columns["root"].tolist() == [2.0, 3.0]
    # Whoever asked knows who the rows are.
    assert reply.batch.rows == batch_pb2.RowContexts(count=2)
    assert reply.timing.work_ns > 0
    assert reply.timing.queue_ns >= 0


async def test_bad_rows_have_their_own_errors_and_harm_no_other(stub: Any) -> None:
    bad_shape = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[-1])
    request = request_of(
        {"x": 1.0},
        {"x": -1.0},
        {},
        {"x": 1.0, "speed": 3},
        {"x": float("nan")},
        {"x": 13.0},
        {"x": 1.0, "v": bad_shape},
        {"x": 16.0},
    )
    reply = await stub.Preprocess(request, timeout=5)
    assert row_errors(reply.batch) == {
        1: "3 INVALID_FIELD fields.x",
        2: "3 INVALID_FIELD fields.x",
        3: "3 INVALID_FIELD fields.speed",
        4: "3 INVALID_FIELD fields.x",
        5: "13 USER_FUNCTION_FAILED ",
        6: "3 INVALID_TENSOR fields.v.shape",
    }
    assert "unlucky" not in str(reply)
    roots = answer_from_proto(reply.batch).columns["root"].tolist()
    assert (roots[0], roots[7]) == (1.0, 4.0)
    assert roots[1:7] == [0.0] * 6


async def test_rows_without_time_left_are_not_worked_on(stub: Any) -> None:
    request = request_of({"x": 1.0}, {"x": 4.0}, remaining_us=[-5, 5_000_000])
    reply = await stub.Preprocess(request, timeout=5)
    assert row_errors(reply.batch) == {0: "4 DEADLINE_EXCEEDED "}
    assert answer_from_proto(reply.batch).columns["root"].tolist() == [0.0, 2.0]


async def test_a_batch_of_bad_rows_only_is_answered_without_columns(stub: Any) -> None:
    reply = await stub.Preprocess(request_of({}, {"x": "1"}), timeout=5)
    assert sorted(row_errors(reply.batch)) == [0, 1]
    assert not reply.batch.blocks


async def test_an_unknown_pipeline_is_not_found(stub: Any) -> None:
    request = request_of({"x": 1.0})
    request.batch.pipeline = "under-tset"
    found = await refusal(stub.Preprocess(request, timeout=5))
    assert found == ("NOT_FOUND", "PIPELINE_NOT_FOUND", "pipeline")


async def test_a_version_that_is_not_here_yet_is_unavailable(stub: Any) -> None:
    request = request_of({"x": 1.0}, version="1-ffffffffffff")
    status, reason, _ = await refusal(stub.Preprocess(request, timeout=5))
    assert (status, reason) == ("UNAVAILABLE", "PIPELINE_VERSION_NOT_READY")


async def test_another_number_of_requests_than_rows_is_refused(stub: Any) -> None:
    request = request_of({"x": 1.0}, {"x": 1.0})
    del request.requests[1]
    found = await refusal(stub.Preprocess(request, timeout=5))
    assert found == ("INVALID_ARGUMENT", "INVALID_BATCH", "requests")


async def test_an_oversized_message_is_refused(stub: Any) -> None:
    request = request_of({"x": 1.0, "s": "a" * (17 * 1024 * 1024)})
    status, _, _ = await refusal(stub.Preprocess(request, timeout=10))
    assert status == "RESOURCE_EXHAUSTED"


async def test_mangled_messages_get_a_clean_status(channel: grpc.aio.Channel, stub: Any) -> None:
    call: Any = channel.unary_unary(METHOD)
    good = request_of({"x": 1.0, "s": "b"}, {"x": 2.0}).SerializeToString()
    shuffle = random.Random(7)
    found: set[tuple[str, str]] = set()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(shuffle.randint(1, 4)):
            data[shuffle.randrange(len(data))] = shuffle.randrange(256)
        del data[shuffle.randint(1, len(data)) :]
        try:
            await call(bytes(data), timeout=5)
        except grpc.aio.AioRpcError as error:
            found.add((error.code().name, error_of(error).reason.name))
    assert ("INVALID_ARGUMENT", "INVALID_FIELD") in found
    assert {status for status, _ in found} <= {"INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE"}
    assert not any(reason == "UNSPECIFIED" for _, reason in found)
    assert not (await stub.Preprocess(request_of({"x": 1.0}), timeout=5)).batch.rows.errors


async def test_a_new_version_that_ingest_cannot_run_leaves_the_old_one(
    stub: Any, pipelines: Path
) -> None:
    bad_step = {"step": "log", "input": "s", "output": "place"}
    write_pipeline(pipelines.parent, FIELDS, [bad_step, STEPS[1]], ["place", "root"])
    # An unknown exact version makes the service look at the directory at once.
    request = request_of({"x": 4.0}, version="1-ffffffffffff")
    status, _, _ = await refusal(stub.Preprocess(request, timeout=5))
    assert status == "UNAVAILABLE"
    reply = await stub.Preprocess(request_of({"x": 4.0}), timeout=5)
    assert answer_from_proto(reply.batch).columns["root"].tolist() == [2.0]


async def test_the_process_serves_stays_small_and_drains(tmp_path: Path, pipelines: Path) -> None:
    many = request_of({"x": 1.0, **{f"field_{n}": "value" for n in range(10_000)}}, {"x": 4.0})
    with hop_process(SERVICE, tmp_path, pipelines) as (pid, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            check = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
            health_stub: Any = health_pb2_grpc.HealthStub(channel)
            health = await health_stub.Check(check, timeout=5)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            stub: Any = ingest_service_pb2_grpc.IngestServiceStub(channel)
            process = psutil.Process(pid)
            for _ in range(3):
                await stub.Preprocess(request_of({"x": 4.0}), timeout=10)
            before = process.memory_info().rss
            for _ in range(20):
                reply = await stub.Preprocess(many, timeout=10)
                errors = row_errors(reply.batch)
                assert list(errors) == [0]
                assert errors[0].startswith("3 INVALID_FIELD fields.field_")
            assert process.memory_info().rss - before < 10 * 1024 * 1024
