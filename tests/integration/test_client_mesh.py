"""The Python client and the command line against a whole mesh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from tailrace.cli.main import app
from tailrace.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Fields,
    InvalidRequest,
    NotFound,
    Prediction,
    Quality,
    ServerFault,
    Tensor,
)
from tests.support.running_mesh import RunningMesh

# score = x0 + 10 x1 + 100 a + 1000 b, and account-1 has a = 3, b = 4.
ROW: Fields = {"x0": 1.0, "x1": 2.0, "account": "account-1"}
SCORE = 1.0 + 20.0 + 300.0 + 4000.0


@pytest_asyncio.fixture
async def client(mesh: RunningMesh) -> AsyncIterator[AsyncClient]:
    """A client of the shared mesh."""
    async with AsyncClient(mesh.target, connections=2) as connected:
        yield connected


async def test_prediction_is_the_expected_one(client: AsyncClient) -> None:
    prediction = await client.predict("echo", ROW, request_id="request-1", timeout=5)

    assert prediction.values == {"score": SCORE, "waited": 0.0}
    assert prediction.quality is Quality.LIVE
    assert prediction.quality_reasons == ()
    assert prediction.request_id == "request-1"
    assert prediction.pipeline == "echo"
    assert prediction.pipeline_version.startswith("1-")
    assert (prediction.model_name, prediction.model_version) == ("echo_sum", "1")


async def test_ledger_accounts_for_all_of_the_time(client: AsyncClient) -> None:
    ledger = (await client.predict("echo", ROW, timeout=5)).ledger

    assert {entry.hop for entry in ledger.entries} == {
        "ingest",
        "features",
        "inference",
        "postprocess",
    }
    critical = sum(entry.duration_ms for entry in ledger.entries if entry.critical)
    accounted = ledger.convoy_wait_ms + critical + ledger.unattributed_ms
    assert accounted == pytest.approx(ledger.total_ms, abs=1e-6)
    for entry in ledger.entries:
        parts = entry.queue_ms + entry.network_ms + entry.work_ms
        assert parts == pytest.approx(entry.duration_ms, abs=1e-6)
        assert (entry.attempts, entry.placement, entry.code.name) == (1, "remote", "OK")
    assert 4_000 < ledger.deadline_ms <= 5_050


async def test_degraded_answer_says_why(client: AsyncClient) -> None:
    prediction = await client.predict("echo", {**ROW, "account": "nobody"})

    assert prediction.quality is Quality.DEFAULT_FEATURES
    (reason,) = prediction.quality_reasons
    assert reason.hop == "features"
    assert "account" in reason.detail


async def test_every_type_comes_back_without_loss(client: AsyncClient) -> None:
    at = datetime(2013, 9, 1, 9, 15, 0, 1, UTC)
    fields: Fields = {
        "number": 1,
        "vector": np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32),
        "note": b"\0\xff",
        "at": at,
        "flag": True,
    }

    prediction = await client.predict("sequential", fields)

    assert prediction.values["number"] == 1
    assert prediction.values["at"] == at
    assert prediction.values["vector"] == Tensor.of([1.0, 0.0, 0.0, 0.0], "float32")


async def test_each_row_of_a_batch_has_its_own_outcome(client: AsyncClient) -> None:
    rows: list[Fields] = [ROW, {"x1": 1.0}, {"x0": "one"}, {**ROW, "x1": 5000.0}]

    good, missing, wrong, beyond = await client.predict_batch("echo", rows)

    assert isinstance(good, Prediction) and good.values["score"] == SCORE
    for outcome, field in ((missing, "fields.x0"), (wrong, "fields.x0"), (beyond, "fields.x1")):
        assert isinstance(outcome, InvalidRequest)
        assert (outcome.reason, outcome.field) == ("INVALID_FIELD", field)
        assert outcome.request_id


@pytest.mark.parametrize("ordered", [False, True])
async def test_each_row_of_a_stream_has_its_own_outcome(client: AsyncClient, ordered: bool) -> None:
    rows: list[Fields] = [{**ROW, "x0": float(number)} for number in range(500)]
    rows[3], rows[444] = {"x0": "one"}, {**ROW, "x1": 5000.0}

    stream = client.predict_stream("echo", rows, timeout=5, max_unanswered=128, ordered=ordered)
    results = [result async for result in stream]

    places = [result.place for result in results]
    assert (places if ordered else sorted(places)) == list(range(500))
    outcomes = {result.place: result.outcome for result in results}
    for place, field in ((3, "fields.x0"), (444, "fields.x1")):
        refused = outcomes.pop(place)
        assert isinstance(refused, InvalidRequest)
        assert refused.field == field
    for place, outcome in outcomes.items():
        assert isinstance(outcome, Prediction)
        assert outcome.values["score"] == SCORE - 1.0 + place
        assert 4_000 < outcome.ledger.deadline_ms <= 5_050


def test_sync_stream_gets_the_same_predictions(mesh: RunningMesh) -> None:
    with Client(mesh.target) as client:
        results = list(client.predict_stream("echo", [ROW] * 100, timeout=5, ordered=True))

    scores = [r.outcome.values["score"] for r in results if isinstance(r.outcome, Prediction)]
    assert scores == [SCORE] * 100


async def test_unknown_pipeline_is_not_found(client: AsyncClient) -> None:
    with pytest.raises(NotFound) as caught:
        await client.predict("ecko", ROW)

    assert caught.value.reason == "PIPELINE_NOT_FOUND"
    assert "did you mean 'echo'?" in caught.value.message


async def test_late_answer_is_deadline_exceeded(client: AsyncClient) -> None:
    with pytest.raises(DeadlineExceeded):
        await client.predict("echo", {**ROW, "delay_ms": 2_000.0}, timeout=0.2)


async def test_model_that_answers_nan_is_a_fault_of_the_server(client: AsyncClient) -> None:
    with pytest.raises(ServerFault) as caught:
        await client.predict("nan", {"mode": 1.0})

    assert caught.value.reason == "MODEL_OUTPUT_INVALID"


async def test_pipelines_are_listed_and_described(client: AsyncClient) -> None:
    summaries = await client.list_pipelines()
    description = await client.describe_pipeline("echo")

    by_name = {summary.name: summary for summary in summaries}
    assert {"echo", "sequential"} <= set(by_name)
    assert by_name["echo"].version == description.version
    assert [field.name for field in description.request_fields] == [
        "x0",
        "x1",
        "account",
        "delay_ms",
    ]
    assert description.request_fields[0].required
    assert description.request_fields[1].minimum.double_value == -1000
    assert [output.name for output in description.outputs] == ["score", "waited"]
    assert [view.name for view in description.views] == ["account"]
    assert description.default_deadline_ms == 5000


def test_sync_client_gets_the_same_prediction(mesh: RunningMesh) -> None:
    with Client(mesh.target) as client:
        assert client.predict("echo", ROW).values["score"] == SCORE


# --- the command line ----------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and standard output of `tailrace`."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(part) for part in arguments])
    return result.exit_code, result.stdout


def test_prediction_is_printed_with_its_waterfall(mesh: RunningMesh) -> None:
    status, output = run(
        "predict", "echo", "--json", json.dumps(ROW), "--target", mesh.target, "--timeout", "5s"
    )

    assert status == 0
    assert f"score    {SCORE}" in output
    assert "waited   0.0 ms" in output
    assert "quality  LIVE" in output
    for hop in ("ingest", "features", "inference", "postprocess", "unattributed", "total"):
        assert f"\n{hop}" in output


def test_timestamps_and_tensors_are_read_from_json(mesh: RunningMesh) -> None:
    request = (
        '{"number": 1, "vector": [1, 0, 0, 0], "note": "AP8=", "at": "2013-09-01T05:15:00-04:00"}'
    )

    status, output = run(
        "predict", "sequential", "--json", request, "--target", mesh.target, "--output", "json"
    )

    assert status == 0
    values = json.loads(output)["values"]
    assert values["at"] == "2013-09-01T09:15:00Z"
    assert values["vector"] == [1.0, 0.0, 0.0, 0.0]


def test_file_is_predicted_line_by_line(mesh: RunningMesh, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    rows = [{"x0": number, "account": "account-1"} for number in range(500)]
    rows[123] = {"x1": 1}
    file.write_text("\n".join(map(json.dumps, rows)))

    status, output = run(
        "predict", "echo", "--file", file, "--target", mesh.target, "--timeout", "20s"
    )

    assert status == 1
    documents = [json.loads(line) for line in output.splitlines()]
    assert [document["line"] for document in documents] == list(range(1, 501))
    assert [d["line"] for d in documents if "error" in d] == [124]
    assert documents[10]["values"]["score"] == 10 + 4300


def test_served_pipeline_is_shown(mesh: RunningMesh) -> None:
    status, output = run("pipelines", "show", "echo", "--target", mesh.target)

    assert status == 0
    assert "x1 double, default 0.0, -1000.0 to 1000.0" in output
    assert "account by account_id = request.account" in output
    assert "model echo_sum, version 1" in output


def test_served_pipelines_are_listed(mesh: RunningMesh) -> None:
    status, output = run("pipelines", "list", "--target", mesh.target)

    assert status == 0
    assert "Weighs two request fields and two features." in output
