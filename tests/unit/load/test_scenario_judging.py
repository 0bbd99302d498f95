"""What a scenario is held against: the pipeline's promises, recovery, drift, deliveries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.course_findings import of_search
from tailrace.loadtest.scenario.knee import Bounds, Knee, find_knee
from tailrace.loadtest.scenario.memory import MemorySeries, growths
from tailrace.loadtest.scenario.receiver_process import Deliveries, account
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.loadtest.scenario.slices import drift, recovery
from tailrace.loadtest.scenario.slo_objectives import pipeline_slo
from tailrace.loadtest.verdict.judge import judge
from tailrace.loadtest.verdict.objective import parse_objective
from tailrace.runtime.pipeline.slo_section import SloSection
from tests.support.load_results import hop_tally, load_result

MS = 1_000_000
SECOND = 1_000_000_000


def slo_section(**parts: object) -> SloSection:
    return SloSection.model_validate(parts)


def test_promises_become_objectives() -> None:
    found = pipeline_slo(
        slo_section(
            latency=[
                {"percentile": 95, "within_ms": 50},
                {"percentile": 99, "within_ms": 100},
                {"percentile": 99.9, "within_ms": 2.5, "hop": "features"},
            ],
            availability_percent=99.9,
            degraded_max_percent=5,
            fresh_min_percent=80,
            delivery=[{"percentile": 95, "within_ms": 1000}],
        )
    )
    assert found is not None
    assert found.objectives == (
        "p95<=50ms",
        "p99<=100ms",
        "features.p99.9<=2.5ms",
        "degraded<=5%",
        "errors<=0.1%",
    )
    assert found.answers == ("errors<=0.1%",)
    assert found.p99_ns == 100 * MS
    assert found.errors == pytest.approx(0.001)
    assert len(found.untold) == 1 and "fresh" in found.untold[0]
    assert [each.within_ms for each in found.delivery] == [1000]


def test_every_objective_made_of_a_promise_is_one() -> None:
    found = pipeline_slo(
        slo_section(
            latency=[{"percentile": 99, "within_ms": 1000, "hop": "inference"}],
            availability_percent=99.99,
            degraded_max_percent=0.5,
        )
    )
    assert found is not None
    verdicts = judge(
        [parse_objective(text) for text in found.objectives], load_result(answers=hop_tally())
    )
    assert [verdict.measured is not None for verdict in verdicts] == [True, True, True]


def test_nothing_promised_is_no_slo() -> None:
    assert pipeline_slo(None) is None
    assert pipeline_slo(slo_section()) is None


def test_without_a_99th_percentile_the_highest_counts() -> None:
    found = pipeline_slo(slo_section(latency=[{"percentile": 90, "within_ms": 30}]))
    assert found is not None and found.p99_ns == 30 * MS


def run_with_trouble(begin_s: float, end_s: float, length_s: float = 10.0) -> RunResult:
    """Returns a run of 100 calls/s of 5 ms, whose calls take 300 ms during some of it."""
    due = np.arange(int(100 * length_s)) / 100
    return load_result(np.where((due >= begin_s) & (due < end_s), 300.0, 5.0), rps=100)


def test_recovery_is_told_from_the_trouble_on() -> None:
    tally = run_with_trouble(3, 4).tally
    found = recovery(tally, tally.first_ns + 3 * SECOND, 100 * MS, 0.01)
    # A slice is 0.25 s, and a call counts in the slice in which it ended.
    assert found.seconds == pytest.approx(1.5, abs=0.3)
    assert 4 <= found.bad <= 6


def test_no_trouble_is_recovered_from_at_once() -> None:
    tally = run_with_trouble(0, 0).tally
    assert recovery(tally, tally.first_ns + SECOND, 100 * MS, 0.01).seconds == 0


def test_trouble_until_the_end_is_not_recovered_from() -> None:
    tally = run_with_trouble(3, 10).tally
    assert recovery(tally, tally.first_ns + 3 * SECOND, 100 * MS, 0.01).seconds is None


def test_failures_are_trouble_too() -> None:
    errors = {"rpc error: code = Unavailable desc = gone": 300}
    tally = load_result(np.full(700, 5.0), rps=100, errors=errors).tally
    assert recovery(tally, tally.first_ns, 100 * MS, 0.01).seconds is None
    assert recovery(tally, tally.first_ns, 100 * MS, 0.5).seconds == 0


def test_drift_compares_the_last_third_with_the_first() -> None:
    steady, slower = (np.linspace(10, end, 3000) for end in (10, 30))
    same = drift(load_result(steady, rps=100).tally, [50])[0]
    assert same.ratio == pytest.approx(0, abs=0.01)
    grown = drift(load_result(slower, rps=100).tally, [50])[0]
    # The middles of both thirds: 13.3 and 26.7 ms.
    assert grown.ratio == pytest.approx(1.0, abs=0.05)


def scenario_with(**parts: object) -> Scenario:
    load = {"name": "one", "pipeline": "echo", "rps": 1, "duration": "1s"}
    return Scenario.model_validate({"description": "One load.", "loads": [load], **parts})


def test_a_search_without_a_step_is_told() -> None:
    # As after Ctrl-C in its first one.
    course = Course(0.0, knee=Knee(Bounds(100 * MS, 0.005)), interrupted=True)
    (told,) = of_search(scenario_with(search={"load": "one"}), course)
    assert (told.text, told.passed) == ("no rate was measured", None)


def test_memory_that_grows_is_told() -> None:
    series = MemorySeries(
        [(second, {"a": 100e6 + second * 1e6, "b": 50e6}) for second in range(30)]
    )
    found = {each.process: each.allowed for each in growths(series, percent=10, slack_mb=5)}
    assert found == {"a": False, "b": True}
    assert all(each.allowed for each in growths(series, percent=10, slack_mb=25))


def test_submissions_are_counted_against_deliveries() -> None:
    came = Deliveries(ids=Counter(["a", "b"]))
    assert account(["a", "b"], came, unknown=0).exactly_once
    lost = account(["a", "b", "c"], came, unknown=0)
    assert (lost.missing, lost.exactly_once) == (1, False)
    assert not account(["a", "b"], Deliveries(Counter(["a", "b"]), again=1), 0).exactly_once
    assert not account(["a", "b"], Deliveries(Counter(["a", "a", "b"])), 0).exactly_once


def test_a_call_without_an_answer_may_have_been_a_submission() -> None:
    came = Deliveries(ids=Counter(["a", "b"]))
    assert account(["a"], came, unknown=1).exactly_once
    assert not account(["a"], came, unknown=0).exactly_once


async def test_the_knee_is_where_latency_gives_way() -> None:
    async def measure(rate: float) -> RunResult:
        return load_result(np.full(500, 10.0 if rate <= 430 else 80.0), rps=rate)

    told: list[float] = []
    knee = Knee(Bounds(50 * MS, 0.01))
    await find_knee(
        measure,
        knee,
        start=100,
        factor=2,
        narrow=4,
        max_rps=10_000,
        tell=lambda step: told.append(step.rate),
    )
    # 100, 200, 400, then 800 twice, then 566, 476 and 436 twice, and 418.
    assert told[:5] == [100, 200, 400, 800, 800]
    assert knee.capacity == pytest.approx(418, abs=1)
    assert knee.failed is not None and knee.failed.rate == pytest.approx(436, abs=1)


async def test_one_bad_step_is_no_knee() -> None:
    seen: list[float] = []

    async def measure(rate: float) -> RunResult:
        seen.append(rate)
        slow = rate > 390 or seen.count(rate) == 1 and rate == 200
        return load_result(np.full(500, 80.0 if slow else 10.0), rps=rate)

    knee = Knee(Bounds(50 * MS, 0.01))
    await find_knee(
        measure, knee, start=100, factor=2, narrow=0, max_rps=10_000, tell=lambda step: None
    )
    assert knee.capacity == 200
    assert knee.failed is not None and knee.failed.rate == 400


async def test_a_first_rate_that_is_too_much_is_gone_below() -> None:
    async def measure(rate: float) -> RunResult:
        return load_result(np.full(100, 10.0 if rate <= 40 else 80.0), rps=rate)

    knee = Knee(Bounds(50 * MS, 0.01))
    await find_knee(
        measure, knee, start=100, factor=2, narrow=0, max_rps=1000, tell=lambda step: None
    )
    assert knee.capacity == 25


async def test_no_rate_may_hold() -> None:
    async def measure(rate: float) -> RunResult:
        return load_result(np.full(100, 80.0), rps=rate)

    knee = Knee(Bounds(50 * MS, 0.01))
    await find_knee(
        measure, knee, start=10, factor=4, narrow=2, max_rps=1000, tell=lambda step: None
    )
    assert (knee.capacity, knee.held) == (0, None)
