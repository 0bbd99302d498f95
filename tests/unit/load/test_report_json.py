"""The JSON report: one document, ghz's keys, and one of ours."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailrace.loadtest.measure.run_result import EndReason, GeneratorLimit, RunResult
from tailrace.loadtest.options.load_options import Format
from tailrace.loadtest.report.write import write_report
from tailrace.loadtest.verdict.baseline import compare, read_baseline
from tailrace.loadtest.verdict.judge import judge
from tailrace.loadtest.verdict.objective import parse_objective
from tests.support.load_results import UNAVAILABLE, hop_tally, load_result, written_details

SECOND = 1_000_000_000
ERROR = 'rpc error: code = Unknown desc = "quoted", größer, \n→'


class Pieces(io.StringIO):
    """Remembers how much was written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def write(self, text: str) -> int:
        self.largest = max(self.largest, len(text))
        return super().write(text)


def document(result: RunResult, form: Format = Format.JSON) -> Any:
    return json.loads(text(result, form))


def text(result: RunResult, form: Format = Format.JSON) -> str:
    file = io.StringIO()
    write_report(told_as(result, form), [], [], file)
    return file.getvalue()


def told_as(result: RunResult, form: Format) -> RunResult:
    return dataclasses.replace(result, options=dataclasses.replace(result.options, format=form))


def with_details(result: RunResult, calls: int) -> RunResult:
    due, latencies = np.arange(calls) * SECOND // 4, np.full(calls, 2_500_000)
    kinds = [("OK", ""), ("Unknown", ERROR)]
    details = written_details(due, latencies, np.arange(calls) % 2, kinds)
    return dataclasses.replace(result, details=details)


def test_keys_are_ghzs_and_one_of_ours() -> None:
    assert list(document(load_result(tags={"env": "test"}))) == [
        *("date", "name", "endReason", "options", "count", "total", "average", "fastest"),
        *("slowest", "rps", "errorDistribution", "statusCodeDistribution"),
        *("latencyDistribution", "histogram", "details", "tags", "tailrace"),
    ]
    unnamed = document(load_result(name=""))
    assert "name" not in unnamed and "tags" not in unnamed


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_calls_are_listed_when_they_ended(calls: int) -> None:
    told = document(with_details(load_result(), calls))["details"]
    expected = [
        {
            "timestamp": f"1970-01-01T00:00:0{place // 4}.{25 * (place % 4):02}25Z",
            "latency": 2_500_000,
            "error": ERROR if place % 2 else "",
            "status": "Unknown" if place % 2 else "OK",
        }
        for place in range(calls)
    ]
    assert told == (expected or None)


def test_pretty_is_the_same_document_indented() -> None:
    result = with_details(load_result(errors={ERROR: 2}), 4)
    pretty = text(result, Format.PRETTY)
    told, plain = json.loads(pretty), json.loads(text(result))
    assert told == plain
    assert pretty == json.dumps(plain, ensure_ascii=False, indent=2) + "\n"
    assert text(result).count("\n") == 1


def test_calls_are_not_held_in_memory() -> None:
    result = with_details(load_result(), 20_000)
    for form in (Format.JSON, Format.PRETTY):
        file = Pieces()
        write_report(told_as(result, form), [], [], file)
        assert len(json.loads(file.getvalue())["details"]) == 20_000
        assert file.largest < 20_000


def test_ghzs_keys_tell_latency_from_when_calls_were_due() -> None:
    told = document(load_result(np.full(1000, 2.0), waits_ms=10.0))
    median = {step["percentage"]: step["latency"] for step in told["latencyDistribution"]}[50]
    assert told["fastest"] == told["slowest"] == median == told["average"] == 12_000_000
    ours = told["tailrace"]
    assert ours["latencyFrom"] == "due"
    assert ours["corrected"]["slowest"] == 12_000_000
    assert ours["uncorrected"]["slowest"] == 2_000_000
    assert ours["lag"]["average"] == 10_000_000
    percentages = [step["percentage"] for step in ours["uncorrected"]["latencyDistribution"]]
    assert percentages == [10, 25, 50, 75, 90, 95, 99, 99.9, 99.99]


def test_runs_without_a_rate_tell_latency_from_when_calls_were_sent() -> None:
    result = load_result()
    closed = dataclasses.replace(result, options=dataclasses.replace(result.options, rps=0))
    assert document(closed)["tailrace"]["latencyFrom"] == "sent"


def test_date_is_when_the_run_ended_as_in_ghz() -> None:
    result = dataclasses.replace(load_result(), duration_ns=65 * SECOND)
    told = document(result)
    assert told["date"] == "2026-11-22T12:31:20Z"
    assert told["tailrace"]["started"] == "2026-11-22T12:30:15.25Z"


def test_time_that_is_up_is_what_ghz_calls_it() -> None:
    result = load_result()
    assert document(result)["endReason"] == "normal"
    assert document(load_result(duration=10.0))["endReason"] == "timeout"
    interrupted = dataclasses.replace(load_result(duration=10.0), end_reason=EndReason.CANCEL)
    assert document(interrupted)["endReason"] == "cancel"


def test_options_leave_out_what_is_no_json(tmp_path: Path) -> None:
    templated = document(load_result(data='{"n": {{.RequestNumber}}}', metadata="[1]"))["options"]
    assert "data" not in templated and "metadata" not in templated
    file = tmp_path / "data.json"
    file.write_text('[{"text": "größer"}]', encoding="utf-8")
    assert document(load_result(data="", data_file=file))["options"]["data"] == [{"text": "größer"}]
    file.unlink()
    assert "data" not in document(load_result(data="", data_file=file))["options"]
    binary = document(load_result(data="", binary_file=file))["options"]
    assert binary["binary"] is True and "data" not in binary


def test_rates_below_one_are_told() -> None:
    assert document(load_result(rps=0.5, calls=3))["options"]["rps"] == 0.5
    rate = document(load_result(rps=100.0))["options"]["rps"]
    assert rate == 100 and isinstance(rate, int)


def test_answers_are_told() -> None:
    answers = hop_tally()
    ours = document(load_result(answers=answers, errors={UNAVAILABLE: 3}))["tailrace"]["answers"]
    assert ours["count"] == 1000
    assert ours["good"] + ours["degraded"] + ours["late"] == 1000
    assert ours["goodput"] == pytest.approx(ours["good"] / 1003)
    assert list(ours["hops"]) == ["ingest", "features", "inference", "postprocess"]
    features = ours["hops"]["features"]
    assert features["latency"]["average"] == int(answers.span("features").mean_ns)
    assert features["queue"]["count"] == features["answers"] == 1000
    assert set(ours["spans"]) == {"total", "convoy_wait", "unattributed", "outside", *ours["hops"]}
    assert document(load_result())["tailrace"]["answers"] is None


def test_generator_and_verdicts_are_told() -> None:
    result = load_result(np.full(1000, 25.0), limit=GeneratorLimit(True, "it was late"))
    verdicts = judge([parse_objective("p99<20ms"), parse_objective("features.p99<1ms")], result)
    file = io.StringIO()
    write_report(told_as(result, Format.JSON), verdicts, [], file)
    ours = json.loads(file.getvalue())["tailrace"]
    assert ours["generator"]["limited"] is True
    assert ours["generator"]["why"] == "it was late"
    assert ours["generator"]["cpuPerCall"] == 9_000
    first, second = ours["verdicts"]
    assert first["passed"] is False and first["objective"] == "p99<20ms"
    assert (first["bound"], first["unit"]) == (20_000_000, "ns")
    assert first["measured"] == pytest.approx(25_000_000, rel=1e-3)
    assert second["measured"] is None and second["text"] == verdicts[1].text


def test_report_is_a_baseline_of_later_runs(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text(load_result(calls=5_000)), encoding="utf-8")
    baseline = read_baseline(path)
    assert baseline.from_due
    slower = load_result(np.full(5_000, 100.0))
    comparisons = compare(baseline, slower, tolerance=0.05)
    file = io.StringIO()
    write_report(told_as(slower, Format.JSON), [], comparisons, file)
    told = {each["figure"]: each for each in json.loads(file.getvalue())["tailrace"]["comparisons"]}
    assert told["p50"]["outcome"] == "worse" and told["p50"]["passed"] is False
    assert told["p50"]["low"] <= told["p50"]["change"] <= told["p50"]["high"]
    assert told["errors"]["passed"] is True
