from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.snapshot import read_snapshot, snapshot
from tailrace.loadtest.measure.time_slices import TimeSlices
from tailrace.loadtest.options.load_options import Format
from tailrace.loadtest.report.write import write_report
from tailrace.loadtest.verdict.baseline import Comparison, Outcome, compare, read_baseline
from tailrace.loadtest.verdict.bootstrap import measured, sliced_run
from tests.support.load_results import DATE, UNAVAILABLE, load_result

_RPS = 400.0
_CALLS = 4000


def _latencies_ms(seed: int, factor: float = 1.0) -> npt.NDArray[np.float64]:
    """Returns latencies of a server whose pace drifts: a second resembles the one before."""
    random = np.random.default_rng(seed)
    pace = np.zeros(_CALLS // 100)
    for place in range(1, len(pace)):
        pace[place] = 0.5 * pace[place - 1] + random.normal(0, 0.04)
    usual = 8 * random.lognormal(0, 0.35, _CALLS)
    slow = np.where(random.random(_CALLS) < 0.02, 40 + 30 * random.random(_CALLS), 0)
    latencies: npt.NDArray[np.float64] = (usual + slow) * np.repeat(np.exp(pace), 100) * factor
    return latencies


def _result(seed: int, factor: float = 1.0, **changes: Any) -> RunResult:
    return load_result(_latencies_ms(seed, factor), rps=_RPS, **changes)


def _report(path: Path, result: RunResult) -> Path:
    file = io.StringIO()
    write_report(_pretty(result), [], [], file)
    path.write_text(file.getvalue())
    return path


def _pretty(result: RunResult) -> RunResult:
    return replace(result, options=replace(result.options, format=Format.PRETTY))


def _ghz_report(path: Path, latencies_ms: npt.NDArray[np.float64], failed_every: int) -> Path:
    details = []
    for number, latency_ms in enumerate(latencies_ms.tolist()):
        ended = DATE + timedelta(seconds=number / _RPS, milliseconds=latency_ms)
        failed = bool(failed_every) and number % failed_every == 0
        details.append(
            {
                "timestamp": ended.isoformat().replace("+00:00", "123Z"),
                "latency": round(latency_ms * 1e6),
                "error": UNAVAILABLE if failed else "",
                "status": "Unavailable" if failed else "OK",
            }
        )
    report = {
        "count": len(details),
        "total": round(_CALLS / _RPS * 1e9),
        "options": {"call": "a.B/C", "rps": 400, "concurrency": 50},
        "details": details,
    }
    path.write_text(json.dumps(report))
    return path


def _by_figure(comparisons: list[Comparison]) -> dict[str, Comparison]:
    return {each.figure: each for each in comparisons if each.outcome is not Outcome.NOTE}


def test_a_snapshot_is_read_back_whole() -> None:
    result = _result(1, errors={UNAVAILABLE: 40})
    told = json.dumps(snapshot(result))
    slices, duration_ns = read_snapshot(json.loads(told))
    assert slices == result.tally.slices
    assert duration_ns == result.duration_ns
    # Four thousand calls, in less than ten bytes each.
    assert len(told) < 40_000


def test_a_run_is_no_different_from_itself(tmp_path: Path) -> None:
    result = _result(1, errors={UNAVAILABLE: 40})
    baseline = read_baseline(_report(tmp_path / "report.json", result))
    comparisons = compare(baseline, result, tolerance=0.0)
    assert [each.figure for each in comparisons] == ["p50", "p90", "p99", "mean", "rps", "errors"]
    assert {each.outcome for each in comparisons} == {Outcome.SAME}
    for each in comparisons:
        assert each.before == each.after
        assert each.change == (0.0 if each.figure == "errors" else 1.0)
        assert each.low is not None and each.high is not None
        assert each.low < each.change < each.high


def test_figures_are_those_of_the_runs(tmp_path: Path) -> None:
    before, after = _result(1), _result(2, 1.5, errors={UNAVAILABLE: 400})
    baseline = read_baseline(_report(tmp_path / "report.json", before))
    found = _by_figure(compare(baseline, after, tolerance=0.05))
    for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
        assert found[name].before == pytest.approx(
            before.tally.corrected.percentile(percent), rel=1e-3
        )
        assert found[name].after == pytest.approx(
            after.tally.corrected.percentile(percent), rel=1e-3
        )
    assert found["mean"].after == pytest.approx(after.tally.corrected.mean_ns, rel=1e-3)
    assert found["rps"].before == pytest.approx(before.rps, rel=1e-3)
    assert found["errors"].after == 400 / 4400


def test_the_rate_is_the_runs_own_wherever_its_first_call_was_due() -> None:
    for start_ms, latency_ms in ((0, 10), (60, 10), (200, 10), (0, 2000), (3000, 10), (3000, 2000)):
        slices = TimeSlices()
        # A call each 10 ms for 10 s.
        ended = (np.arange(1000) * 10 + start_ms + latency_ms) * 1_000_000
        slices.add(ended, np.full(1000, latency_ms * 1_000_000), np.zeros(1000, np.int64))
        duration_ns = int(ended[-1]) - start_ms * 1_000_000
        run = sliced_run(slices, duration_ns)
        assert run.seconds.sum() == pytest.approx(duration_ns / 1e9)
        assert run.seconds.min() > 0.04
        assert measured(run, (50.0,)).rps[0] == pytest.approx(1000 / duration_ns * 1e9)


def test_a_slower_run_fails_and_a_faster_one_is_better(tmp_path: Path) -> None:
    usual = _result(1)
    baseline = read_baseline(_report(tmp_path / "report.json", usual))
    slower = _by_figure(compare(baseline, _result(2, 1.2), tolerance=0.05))
    for name in ("p50", "p90", "mean"):
        assert slower[name].outcome is Outcome.WORSE
        assert not slower[name].passed
        low, high = slower[name].low, slower[name].high
        assert low is not None and high is not None
        assert 1 < low < 1.2 < high < 1.5
    assert slower["rps"].passed
    faster = _by_figure(compare(baseline, _result(2, 1 / 1.2), tolerance=0.05))
    assert {faster[name].outcome for name in ("p50", "p90", "mean")} == {Outcome.BETTER}
    assert all(each.passed for each in faster.values())


def test_what_is_worse_for_sure_but_by_little_is_tolerated(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    found = _by_figure(compare(baseline, _result(2, 1.2), tolerance=0.5))
    assert found["p50"].outcome is Outcome.TOLERATED
    assert found["p50"].passed


def test_more_errors_fail_unless_they_are_few(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    few = _by_figure(compare(baseline, _result(2, errors={UNAVAILABLE: 4}), tolerance=0.05))
    assert few["errors"].passed
    many = _by_figure(compare(baseline, _result(2, errors={UNAVAILABLE: 80}), tolerance=0.05))
    assert many["errors"].outcome is Outcome.WORSE
    assert many["errors"].change == 80 / 4080
    assert "points" in many["errors"].text


def test_a_lower_rate_fails(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    slower = load_result(_latencies_ms(2), rps=300.0)
    found = _by_figure(compare(baseline, slower, tolerance=0.05))
    assert found["rps"].outcome is Outcome.WORSE
    assert found["rps"].text.startswith("rps: worse, 398.4/s before and 299.8/s now, -24.8 %")
    assert found["p50"].passed


def test_the_same_runs_are_always_told_the_same(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    after = _result(2, 1.1)
    assert compare(baseline, after, tolerance=0.05) == compare(baseline, after, tolerance=0.05)


def test_what_makes_runs_unlike_is_noted(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    after = _result(2, call="a.B/C", concurrency=7, host="elsewhere:1")
    notes = [each.text for each in compare(baseline, after, 0.05) if each.outcome is Outcome.NOTE]
    assert notes == [
        "note: call was tailrace.v1.PredictionService/Predict, and is a.B/C",
        "note: concurrency was 50, and is 7",
    ]
    assert all(each.passed for each in compare(baseline, after, 0.05))


def test_ghzs_reports_are_read_by_their_details(tmp_path: Path) -> None:
    latencies = _latencies_ms(1)
    baseline = read_baseline(_ghz_report(tmp_path / "ghz.json", latencies, failed_every=50))
    after = _result(1, call="a.B/C", data="", errors={UNAVAILABLE: 80})
    comparisons = compare(baseline, after, tolerance=0.05)
    found = _by_figure(comparisons)
    answered = np.delete(latencies, np.arange(0, _CALLS, 50))
    assert found["p50"].before == pytest.approx(
        np.quantile(answered, 0.5, method="inverted_cdf") * 1e6, rel=2e-3
    )
    assert found["errors"].before == 80 / _CALLS
    assert found["rps"].before == pytest.approx(_RPS, rel=0.01)
    assert all(each.passed for each in found.values())
    notes = [each.text for each in comparisons if each.outcome is Outcome.NOTE]
    assert (
        "note: latencies of the earlier run count from when they were sent, and of this one from"
        " when they were due"
    ) in notes


def test_a_run_too_short_to_compare_with_is_refused(tmp_path: Path) -> None:
    short = load_result(calls=400, rps=200.0)
    path = _report(tmp_path / "report.json", short)
    with pytest.raises(LoadError, match=r"too short: it has 8 slices of 250 ms, and 20 are"):
        read_baseline(path)


def test_a_run_too_short_to_be_compared_fails(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    *_, told = compare(baseline, load_result(calls=400, rps=200.0), tolerance=0.05)
    assert (told.outcome, told.passed) == (Outcome.UNKNOWN, False)
    assert "this run is too short" in told.text
    assert "runs of 5 s and more do" in told.text


def test_a_run_without_answers_is_not_compared_by_latency(tmp_path: Path) -> None:
    baseline = read_baseline(_report(tmp_path / "report.json", _result(1)))
    after = load_result(np.array([]), rps=_RPS, errors={UNAVAILABLE: _CALLS})
    found = _by_figure(compare(baseline, after, tolerance=0.05))
    assert found["p99"].outcome is Outcome.UNKNOWN
    assert found["p99"].text == "p99: not compared, no call was answered in this run"
    assert found["errors"].outcome is Outcome.WORSE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ("{}", "is no report of a run: no 'options'"),
        ('{"options": {}, "total": 5, "details": []}', "it has no details"),
        ('{"options": {}, "total": 5, "details": [{"latency": 5}]}', "no 'timestamp'"),
        ('{"options": {}, "tailrace": {"snapshot": {}}}', "no 'slice'"),
        ('{"options": 5, "total": 5}', "its options are no object"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(LoadError) as refused:
        read_baseline(path)
    assert problem in refused.value.problem
    assert str(path) in refused.value.problem
    assert "\n" not in str(refused.value)


def test_a_report_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_baseline(tmp_path / "none.json")


def test_runs_without_a_change_seldom_fail_and_a_fifth_more_is_found(tmp_path: Path) -> None:
    pairs = 12
    failed = found = 0
    for seed in range(pairs):
        baseline = read_baseline(_report(tmp_path / "report.json", _result(3 * seed)))
        same = compare(baseline, _result(3 * seed + 1), tolerance=0.05)
        slower = compare(baseline, _result(3 * seed + 2, 1.2), tolerance=0.05)
        failed += not all(each.passed for each in same)
        found += not all(each.passed for each in slower)
    assert failed <= 2
    assert found == pairs
