"""A load on a real mesh tells its hops, its quality and its goodput."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.options.command import main
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.run import run_load
from tailrace.runtime.placement import HOPS
from tests.support.html_document import html_document
from tests.support.requests import predict_request
from tests.support.running_mesh import RunningMesh

SERVICE = "tailrace.v1.PredictionService"


def _request(number: float, account: str = "account-1") -> dict[str, Any]:
    return dict(MessageToDict(predict_request("echo", {"x0": number, "account": account})))


def _options(mesh: RunningMesh, method: str, data: Any, **options: Any) -> LoadOptions:
    whole = LoadOptions(
        host=mesh.target,
        call=f"{SERVICE}/{method}",
        insecure=True,
        concurrency=4,
        timeout=10.0,
        total=40,
        data=json.dumps(data),
    )
    return replace(whole, **options)


async def _answers(options: LoadOptions) -> HopTally:
    result = await run_load(options)
    assert result.tally.statuses == {"OK": options.total}
    assert isinstance(result.tally.answers, HopTally)
    assert result.tally.answers.unreadable == 0
    return result.tally.answers


async def test_predictions_tell_each_hop(mesh: RunningMesh) -> None:
    answers = await _answers(_options(mesh, "Predict", _request(1.0), cpus=2))

    assert (answers.answered, answers.failed) == (40, 0)
    assert answers.qualities == {"LIVE": 40}
    assert answers.good + answers.late == 40
    for hop in HOPS:
        assert answers.span(hop).count == answers.hops[hop].answers == 40
        assert answers.hops[hop].failed == 0
        assert 0 < answers.span(f"{hop}.work").maximum_ns <= answers.span(hop).maximum_ns
    assert answers.span("outside").count == 40
    whole = answers.bands.breakdown()
    assert whole is not None
    # The parts make up the calls' mean latency.
    mean_ns = answers.span("total").mean_ns + answers.span("outside").mean_ns
    assert sum(whole.costs_ns.values()) == pytest.approx(mean_ns)


async def test_rows_of_batches_are_answers_of_their_own(mesh: RunningMesh) -> None:
    rows = [_request(1.0), _request(2.0, "account-of-nobody"), {"pipeline": "nothing"}]
    answers = await _answers(_options(mesh, "PredictBatch", {"requests": rows}, total=10))

    assert answers.qualities == {"LIVE": 10, "DEFAULT_FEATURES": 10}
    assert sum(answers.reasons.values()) == 10
    (error,) = answers.errors
    assert error.startswith("NOT_FOUND ")
    assert answers.failed == 10
    assert answers.goodput() == answers.good / 30


async def test_rows_of_streams_are_answers_of_their_own(mesh: RunningMesh) -> None:
    messages = [{"requests": [_request(1.0), _request(2.0)]}, {"requests": [_request(3.0)]}]
    answers = await _answers(_options(mesh, "PredictStream", messages, total=6))

    assert answers.answered == 18
    assert answers.span("features").count == 18
    assert answers.span("outside").count == 0


async def test_other_methods_have_no_answers_to_read(mesh: RunningMesh) -> None:
    result = await run_load(_options(mesh, "ListPipelines", {}, total=4))

    assert result.tally.answers is None


def test_the_html_report_of_a_load_has_its_hops(mesh: RunningMesh, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    arguments = ["--insecure", f"--call={SERVICE}/Predict", f"-d{json.dumps(_request(1.0))}"]
    arguments += ["-n30", "-c3", "--progress=off", "-Ohtml", f"-o{file}"]
    status = main([*arguments, "--slo=live>=1%", "--slo=features.p50<1ns", mesh.target])
    document = html_document(file.read_text(encoding="utf-8"))

    assert status == 1
    assert document.loaded == []
    objectives = document.by_id("objectives")
    assert [line.text.split()[1] for line in objectives.all("li")] == ["met", "missed"]
    assert document.by_id("hops").table("Calls of hops")["features"][0] == "30"
    assert document.by_id("quality").table("Quality of answers") == {"LIVE": ["30", "100 %"]}
