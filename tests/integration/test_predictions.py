import asyncio
import math
import statistics
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from tailrace.client.values import from_value
from tailrace.v1 import (
    batch_pb2,
    ledger_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)
from tests.support.requests import error_info, predict_request

LIVE = prediction_service_pb2.QUALITY_LIVE
DEFAULTS = prediction_service_pb2.QUALITY_DEFAULT_FEATURES
CODE = grpc.StatusCode


def _echo(x0: Any = 1.0, x1: Any = 2.0, account: Any = "account-1", **parts: Any) -> Any:
    return predict_request("echo", {"x0": x0, "x1": x1, "account": account}, **parts)


async def test_a_prediction_comes_through_every_hop(predictions: Any, mesh: Any) -> None:
    answer = await predictions.Predict(_echo(request_id="r-1"), timeout=5)
    # x0 + 10 x1 + 100 a + 1000 b, with a and b from the feature store.
    assert answer.prediction["score"].double_value == 1 + 20 + 300 + 4000
    assert answer.request_id == "r-1"
    assert answer.pipeline == "echo"
    assert answer.pipeline_version.startswith("1-")
    assert (answer.model.name, answer.model.version) == ("echo_sum", "1")
    assert answer.quality == LIVE
    assert not answer.quality_reasons
    hops = [entry.hop for entry in answer.ledger.entries]
    assert sorted(hops) == [1, 2, 3, 4]


async def test_the_ledger_adds_up_exactly(predictions: Any) -> None:
    shares = []
    for number in range(60):
        answer = await predictions.Predict(_echo(x0=float(number)), timeout=5)
        ledger = answer.ledger
        critical = [entry for entry in ledger.entries if entry.critical]
        in_hops_ns = sum(entry.duration_ns for entry in critical)
        parts_ns = ledger.convoy_wait_ns + in_hops_ns + ledger.unattributed_ns
        assert parts_ns == ledger.total_ns
        assert ledger.unattributed_ns >= 0
        assert ledger.deadline_ns == pytest.approx(5e9, rel=0.05)
        for entry in ledger.entries:
            parts = (entry.queue_ns, entry.network_ns, entry.work_ns)
            assert min(parts) >= 0
            assert sum(parts) == entry.duration_ns
            assert 0 < entry.duration_ns < entry.budget_ns
            assert entry.placement == ledger_pb2.PLACEMENT_REMOTE
            assert entry.attempts == 1
            assert entry.start_ns >= 0
        for before, after in zip(critical, critical[1:], strict=False):
            assert before.start_ns + before.duration_ns <= after.start_ns
        shares.append(ledger.unattributed_ns / ledger.total_ns)
    assert statistics.median(shares) <= 0.10


async def test_the_ledger_shows_which_hop_was_slow(predictions: Any) -> None:
    slow = predict_request("echo", {"x0": 1.0, "account": "account-1", "delay_ms": 150.0})
    answer = await predictions.Predict(slow, timeout=5)
    by_hop = {entry.hop: entry for entry in answer.ledger.entries}
    ingest = by_hop[ledger_pb2.HOP_INGEST]
    assert ingest.work_ns >= 150e6
    assert ingest.critical
    assert not by_hop[ledger_pb2.HOP_FEATURES].critical
    assert by_hop[ledger_pb2.HOP_INFERENCE].start_ns >= 150e6
    assert answer.ledger.total_ns >= 150e6
    assert answer.prediction["waited"].double_value == 150.0


async def test_features_run_beside_ingest_when_keys_come_from_the_request(predictions: Any) -> None:
    slow = predict_request("echo", {"x0": 1.0, "account": "account-1", "delay_ms": 80.0})
    answer = await predictions.Predict(slow, timeout=5)
    by_hop = {entry.hop: entry for entry in answer.ledger.entries}
    features = by_hop[ledger_pb2.HOP_FEATURES]
    ingest = by_hop[ledger_pb2.HOP_INGEST]
    assert features.start_ns + features.duration_ns < ingest.start_ns + ingest.duration_ns


async def test_keys_that_ingest_makes_are_looked_up_after_it_and_fields_survive(
    predictions: Any,
) -> None:
    at = datetime(2013, 7, 4, 12, 30, 15, 123456, tzinfo=UTC)
    number = 2
    request = predict_request(
        "sequential",
        {
            "number": number,
            "vector": np.array([1, 1, 1, 1], np.float32),
            "at": at,
            "flag": True,
            "note": b"\x00\xff",
        },
    )
    answer = await predictions.Predict(request, timeout=5)
    values: dict[str, Any] = {name: from_value(value) for name, value in answer.prediction.items()}
    assert values["score"] == 1111.0
    assert values["a"] == 5.0  # of account-2, whose key ingest made
    assert values["number"] == number
    assert values["at"] == at
    assert values["flag"] is True
    assert np.asarray(values["vector"].numpy()).tolist() == [1, 1, 1, 1]
    by_hop = {entry.hop: entry for entry in answer.ledger.entries}
    ingest = by_hop[ledger_pb2.HOP_INGEST]
    features = by_hop[ledger_pb2.HOP_FEATURES]
    assert features.start_ns >= ingest.start_ns + ingest.duration_ns
    assert ingest.critical
    assert features.critical


async def test_a_64_bit_integer_survives_the_whole_chain(predictions: Any) -> None:
    number = 2**63 - 25
    request = predict_request("sequential", {"number": number, "vector": np.zeros(4, np.float32)})
    answer = await predictions.Predict(request, timeout=5)
    assert from_value(answer.prediction["number"]) == number
    assert from_value(answer.prediction["at"]) is None
    assert answer.quality == DEFAULTS


async def test_a_batch_answers_every_row_for_itself(predictions: Any) -> None:
    requests = [_echo(x0=float(number), request_id=f"r-{number}") for number in range(40)]
    requests[7] = predict_request("echo", {"x1": 2.0}, request_id="r-7")
    requests[9] = _echo(x1=5000.0, request_id="r-9")
    requests[11] = predict_request("ecko", {}, request_id="r-11")
    requests[13] = predict_request("nan", {"mode": 1.0}, request_id="r-13")
    requests[15] = _echo(x0=15.0, account="unknown", request_id="r-15")
    batch = prediction_service_pb2.PredictBatchRequest(requests=requests)
    results = (await predictions.PredictBatch(batch, timeout=10)).results
    assert len(results) == 40
    expected_errors = {
        7: ("INVALID_FIELD", "fields.x0"),
        9: ("INVALID_FIELD", "fields.x1"),
        11: ("PIPELINE_NOT_FOUND", "pipeline"),
        13: ("MODEL_OUTPUT_INVALID", ""),
    }
    for number, result in enumerate(results):
        if number in expected_errors:
            info = error_info(result.error)
            assert (info.reason, info.metadata["field"]) == expected_errors[number]
            continue
        response = result.response
        assert response.request_id == f"r-{number}"
        degraded = number == 15
        features = (-1.0, -2.0) if degraded else (3.0, 4.0)
        expected = number + 20 + 100 * features[0] + 1000 * features[1]
        assert response.prediction["score"].double_value == expected
        assert response.quality == (DEFAULTS if degraded else LIVE)
        details = [reason.detail for reason in response.quality_reasons]
        assert details == (["account: missing"] if degraded else [])


async def test_rows_of_a_batch_have_their_own_timeouts(predictions: Any) -> None:
    hurried = _echo(request_id="hurried")
    hurried.timeout.CopyFrom(Duration(nanos=1_000_000))
    patient = predict_request(
        "echo", {"x0": 1.0, "account": "account-1", "delay_ms": 50.0}, request_id="patient"
    )
    batch = prediction_service_pb2.PredictBatchRequest(requests=[hurried, patient])
    first, second = (await predictions.PredictBatch(batch, timeout=5)).results
    assert first.error.code == CODE.DEADLINE_EXCEEDED.value[0]
    assert second.response.prediction["waited"].double_value == 50.0


@pytest.mark.parametrize(
    ("pipeline", "version", "reason"),
    [
        ("no-such", "", "PIPELINE_NOT_FOUND"),
        ("", "", "PIPELINE_NOT_FOUND"),
        ("echo", "99", "PIPELINE_VERSION_NOT_FOUND"),
        ("echo", "1-ffffffffffff", "PIPELINE_VERSION_NOT_FOUND"),
    ],
)
async def test_an_unknown_pipeline_or_version_is_not_found(
    predictions: Any, pipeline: Any, version: Any, reason: Any
) -> None:
    request = predict_request(pipeline, {"x0": 1.0}, pipeline_version=version)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await predictions.Predict(request, timeout=5)
    assert caught.value.code() is CODE.NOT_FOUND
    assert error_info(caught.value).reason == reason


async def test_declared_and_exact_version_both_name_the_pipeline(predictions: Any) -> None:
    exact = (await predictions.Predict(_echo(), timeout=5)).pipeline_version
    for version in ("1", exact):
        answer = await predictions.Predict(_echo(pipeline_version=version), timeout=5)
        assert answer.pipeline_version == exact


async def test_priority_tenant_and_trace_reach_every_hop_log(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    mesh = start_mesh(redis_server, triton_server, {"all": {"TAILRACE_LOG_SAMPLE_RATE": "1"}})
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = _echo(request_id="seen-everywhere", priority=batch_pb2.PRIORITY_CRITICAL)
        await stub.Predict(request, timeout=5)
    for name in mesh.processes:
        mesh.processes[name].stop()
        lines = [line for line in mesh.log(name).splitlines() if "seen-everywhere" in line]
        assert len(lines) == 1, name
        assert '"ecs.version"' in lines[0] or '"ecs":{"version"' in lines[0].replace(" ", "")
        assert '"echo"' in lines[0]


async def test_concurrent_callers_each_get_their_own_answer(predictions: Any) -> None:
    async def ask(number: Any) -> Any:
        answer = await predictions.Predict(
            _echo(x0=float(number), request_id=f"c-{number}"), timeout=10
        )
        return number, answer

    for number, answer in await asyncio.gather(*(ask(number) for number in range(100))):
        assert answer.request_id == f"c-{number}"
        assert math.isclose(answer.prediction["score"].double_value, number + 20 + 4300)
