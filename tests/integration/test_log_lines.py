"""Log lines of a real mesh: what they tell of requests, and what they keep to themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.runtime.log_fields import FIELDS
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.mesh_fixtures import StartMesh
from tests.support.requests import predict_request
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

SECRET = "SECRET-4711"
TRACE = "0af7651916cd43dd8448eb211c80319c"
HOPS = ("ingest", "features", "inference", "postprocess")


@pytest.fixture(scope="module")
def logged_mesh(
    start_module_mesh: StartMesh, redis_server: LocalRedis, triton_server: LocalTriton
) -> RunningMesh:
    """One whose lines tell all requests, and show all fields but those that are redacted."""
    shown = {
        "TAILRACE_LOG_SAMPLE_RATE": "1",
        "TAILRACE_LOG_PAYLOAD_FIELDS": '["*"]',
        "TAILRACE_LOG_REDACTED_FIELDS": '["account", "delay_ms", "unknown"]',
    }
    return start_module_mesh(redis_server, triton_server, {"all": shown}, placement="remote")


def ask(mesh: RunningMesh, pipeline: str, fields: Mapping[str, Any], timeout: float = 10) -> str:
    """Asks for a prediction, and returns the id that its lines have."""
    ask.number += 1  # type: ignore[attr-defined]
    request_id = f"asked-{ask.number}"  # type: ignore[attr-defined]
    metadata = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
    with mesh.channel("gateway") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            stub.Predict(
                predict_request(pipeline, fields, request_id=request_id),
                timeout=timeout,
                metadata=metadata,
            )
        except grpc.RpcError as error:
            assert error.code() is not grpc.StatusCode.UNKNOWN
    return request_id


ask.number = 0  # type: ignore[attr-defined]


def lines_of(mesh: RunningMesh, processes: Sequence[str]) -> list[dict[str, Any]]:
    text = "".join(mesh.log(name) for name in processes)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def line_of(mesh: RunningMesh, request_id: str, process: str = "gateway") -> dict[str, Any]:
    """Returns the line of a request, once it is there."""

    def found() -> list[dict[str, Any]]:
        lines = lines_of(mesh, [process])
        return [one for one in lines if one.get("labels", {}).get("request_id") == request_id]

    wait_for(lambda: bool(found()))
    (line,) = found()
    return line


def test_a_request_leaves_one_line_with_its_whole_ledger(logged_mesh: RunningMesh) -> None:
    request_id = ask(logged_mesh, "echo", {"x0": 1.5, "x1": 2.0, "account": SECRET})
    line = line_of(logged_mesh, request_id)
    told = line["tailrace"]
    assert line["message"] == "prediction made"
    assert line["trace"]["id"] == TRACE
    assert line["labels"]["model"] == "echo_sum"
    assert line["labels"]["quality"] == "DEFAULT_FEATURES"
    assert line["labels"]["quality_reasons"] == ["account: missing"]
    assert line["labels"]["view_state"] == "MISSING"
    assert told["views"] == {"account": "MISSING"}
    assert told["ledger.deadline_ns"] > 0
    critical = 0
    for hop in HOPS:
        parts = [told[f"hop.{hop}.{part}_ns"] for part in ("queue", "network", "work")]
        assert sum(parts) == told[f"hop.{hop}.duration_ns"]
        assert told[f"hop.{hop}.code"] == "OK"
        critical += told[f"hop.{hop}.duration_ns"] if told[f"hop.{hop}.critical"] else 0
    whole = told["ledger.convoy_wait_ns"] + critical + told["ledger.unattributed_ns"]
    assert whole == told["ledger.total_ns"]
    assert told["request"] == {"x0": "1.5", "x1": "2.0"}


def test_lines_of_all_services_about_a_request_have_its_trace(logged_mesh: RunningMesh) -> None:
    request_id = ask(logged_mesh, "echo", {"x0": 1.0})
    own = line_of(logged_mesh, request_id)
    for hop in HOPS:
        line = line_of(logged_mesh, request_id, hop)
        assert line["trace"]["id"] == own["trace"]["id"] == TRACE


def test_a_request_that_runs_out_of_time_tells_where(logged_mesh: RunningMesh) -> None:
    request_id = ask(logged_mesh, "echo", {"x0": 1.0, "delay_ms": 2_000.0}, timeout=0.3)
    line = line_of(logged_mesh, request_id)
    assert line["error"]["code"] in ("DEADLINE_EXCEEDED", "CANCELLED")
    assert line["labels"]["failed_hop"] == "ingest"
    # As the deadline's watch or the hop's own timeout was first.
    assert line["tailrace"]["hop.ingest.code"] in ("RUNNING", "DEADLINE_EXCEEDED")
    assert line["tailrace"]["hop.ingest.duration_ns"] > 100_000_000
    assert line["tailrace"]["ledger.convoy_rows"] == 1


def test_a_bad_field_is_told_of_the_hop_that_found_it(logged_mesh: RunningMesh) -> None:
    # The lookup beside it is broken off, which is no failure of its own.
    request_id = ask(logged_mesh, "echo", {"x0": "text", "account": "account-1"})
    line = line_of(logged_mesh, request_id)
    assert line["error"]["code"] == "INVALID_ARGUMENT"
    assert line["tailrace"]["hop.ingest.code"] == "OK"
    assert line["labels"]["failed_hop"] == "ingest"


def test_no_process_shows_a_redacted_value_whatever_is_wrong_with_the_request(
    logged_mesh: RunningMesh,
) -> None:
    good: dict[str, Any] = {"x0": 1.0, "account": SECRET}
    asked = [
        ask(logged_mesh, pipeline, fields)
        for pipeline, fields in (
            ("echo", good),
            ("echo", {**good, "account": SECRET * 100}),
            ("echo", {**good, "account": SECRET.encode()}),
            ("echo", {**good, "delay_ms": SECRET}),
            ("echo", {**good, "x1": 5_000.0}),
            ("echo", {**good, "unknown": SECRET}),
            ("echo", {"account": SECRET}),
            ("nan", {"mode": 1.0, "value": 1.0, "account": SECRET}),
            ("no-such-pipeline", good),
        )
    ]
    for request_id in asked:
        line_of(logged_mesh, request_id)
    written = {name: logged_mesh.log(name) for name in logged_mesh.processes}
    assert [name for name, text in written.items() if SECRET in text] == []


def test_every_line_has_none_but_known_fields(logged_mesh: RunningMesh) -> None:
    line_of(logged_mesh, ask(logged_mesh, "echo", {"x0": 1.0}))
    lines = lines_of(logged_mesh, list(logged_mesh.processes))
    assert len(lines) > 20
    for line in lines:
        assert set(_names(line)) <= set(FIELDS), line


def _names(value: Mapping[str, Any], before: str = "") -> list[str]:
    found = []
    for name, each in value.items():
        whole = f"{before}{name}"
        if isinstance(each, dict) and FIELDS.get(whole) != "flattened":
            found += _names(each, f"{whole}.")
        else:
            found.append(whole)
    return found


def test_a_request_whose_fields_can_hardly_be_shown_is_answered_and_told(
    logged_mesh: RunningMesh,
) -> None:
    request = predict_request("echo", {"x0": 1.0}, request_id="hardly-shown")
    # Past the year 9999; names and texts with characters that some readers refuse.
    request.fields["at"].timestamp_value.seconds = 10**15
    request.fields["null\0byte"].string_value = "\0\u2028"
    with logged_mesh.channel("gateway") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(request, timeout=10)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    line = line_of(logged_mesh, "hardly-shown")
    assert line["tailrace"]["request"] == {
        "x0": "1.0", "at": f"{10**15} s since 1970", "null\\0byte": "\0\u2028",
    }  # fmt: skip
