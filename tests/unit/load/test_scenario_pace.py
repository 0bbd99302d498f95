"""Whether a load that became slower, or did not recover, is laid at the mesh's door."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.scenario.course import Course
from tailrace.loadtest.scenario.drift_findings import of_drift
from tailrace.loadtest.scenario.finding import Finding
from tailrace.loadtest.scenario.judgement import Judgement
from tailrace.loadtest.scenario.outcome_report import outcome_json, write_text
from tailrace.loadtest.scenario.pace import PaceSeries, Reading, work_s
from tailrace.loadtest.scenario.recovery_findings import of_recovery
from tailrace.loadtest.scenario.scenario_file import Scenario
from tests.support.load_results import load_result
from tests.support.waiting import wait_for

WORK_S = 25e-6
CALL_S = 0.004
RATE = 100.0
LENGTH_S = 30.0


def scenario_with(**verdict: object) -> Scenario:
    load = {"name": "one", "pipeline": "echo", "rps": RATE, "duration": "30s"}
    parts = {"description": "One load.", "loads": [load], "verdict": verdict}
    return Scenario.model_validate(parts)


def pace_of(
    *, work: float = 1.0, others: tuple[float, float] = (0.1, 0.1), call: float = 1.0
) -> PaceSeries:
    """Returns a machine of two cores that changes in the middle of the load.

    Args:
        work: by what the fixed piece of work takes longer from then on.
        others: cores that other programs take until then, and from then on.
        call: by what the mesh takes more CPU for each call from then on.
    """
    readings, machine_s, mesh_s = [], 100.0, 10.0
    for at in np.arange(0, LENGTH_S + 0.5, 0.5).tolist():
        late = at > LENGTH_S / 2
        used = RATE * CALL_S * (call if late else 1.0) * 0.5
        mesh_s += used
        machine_s += used + others[late] * 0.5
        works = WORK_S * (work if late else 1.0)
        mesh = {"gateway": mesh_s / 4, "features": mesh_s * 3 / 4}
        readings.append(Reading(at, works, machine_s, mesh))
    return PaceSeries(readings, cores=2)


def run_that_grows(factor: float) -> RunResult:
    """Returns a load of 8 ms a call, and of so many times that in its second half."""
    half = int(RATE * LENGTH_S / 2)
    return load_result(np.repeat([8.0, 8.0 * factor], half), rps=RATE)


def judged(grown: float, pace: PaceSeries) -> tuple[Finding, Finding]:
    """Returns what is found of p50, and what is told of the machine."""
    course = Course(0.0, results={"one": run_that_grows(grown)}, pace=pace)
    p50, _, machine = of_drift(scenario_with(drift=50), course)
    return p50, machine


@pytest.mark.parametrize(
    ("grown", "pace", "outcome"),
    [
        (1.4, pace_of(), "passed"),
        (1.7, pace_of(), "failed"),
        # The machine may be why.
        (1.7, pace_of(work=1.8), "not judged"),
        (1.7, pace_of(others=(0.1, 1.0)), "not judged"),
        (40.0, pace_of(others=(0.1, 1.8)), "not judged"),
        # It may not: it became slower, but not by so much.
        (6.0, pace_of(work=1.8), "failed"),
        (1.7, pace_of(work=1.05), "failed"),
        # A mesh that takes more leaves itself less; that is no excuse.
        (3.0, pace_of(call=2.5), "failed"),
        # With no core to spare at first, nobody knows what the mesh took.
        (1.0, pace_of(others=(1.8, 1.8)), "not judged"),
        (1.7, pace_of(others=(1.8, 0.1)), "failed"),
        # A machine that became faster hides what the mesh lost.
        (1.0, pace_of(work=0.5), "not judged"),
        (1.0, pace_of(others=(1.0, 0.1)), "not judged"),
        (1.7, pace_of(work=0.5), "failed"),
        (0.5, pace_of(work=0.5), "passed"),
    ],
)
def test_drift_is_the_meshs_only_beyond_what_the_machine_explains(
    grown: float, pace: PaceSeries, outcome: str
) -> None:
    p50, _ = judged(grown, pace)
    told = "passed" if p50.passed else "failed" if p50.judged else "not judged"
    assert told == outcome, p50.text
    assert ("not judged" in p50.text) == (outcome == "not judged")
    assert ("the mesh became slower" in p50.text) == (outcome == "failed")


def test_what_the_mesh_takes_of_the_cores_says_where_to_look() -> None:
    busier, machine = judged(3.0, pace_of(call=2.5))
    assert "more CPU a call, 4.50 ms of it in features: profile that" in busier.text
    assert "the mesh 4.00 ms of CPU a call, then 9.99 (+150%)" in machine.text
    waiting, _ = judged(3.0, pace_of())
    assert "takes no more CPU a call: it waits" in waiting.text


def test_a_slower_machine_is_told_beside_the_drift() -> None:
    _, machine = judged(1.7, pace_of(work=1.8, others=(0.1, 0.5), call=1.8))
    assert machine.passed is None
    assert machine.text == (
        "the machine, from the first third to the last: a fixed piece of work took 25.0 us of CPU, "
        "then 45.0 (+80%); other programs 0.10 of 2 cores, then 0.50; the mesh 4.00 ms of CPU a "
        "call, then 7.20 (+80%)"
    )


def test_without_a_mesh_of_its_own_drift_is_judged_as_measured() -> None:
    course = Course(0.0, results={"one": run_that_grows(1.7)})
    p50, p99, unknown = of_drift(scenario_with(drift=50), course)
    assert (p50.passed, p99.passed, unknown.passed) == (False, False, None)
    assert p50.judged and "is not known" in unknown.text


def test_processes_that_took_no_cpu_did_not_take_more() -> None:
    pace = pace_of()
    idle = [replace(each, mesh_s={"gateway": 0.0}) for each in pace.readings]
    _, machine = judged(1.0, PaceSeries(idle, cores=2))
    assert machine.text.endswith("the mesh 0.00 ms of CPU a call, then 0.00")


def test_an_allowance_is_told_as_it_was_given() -> None:
    course = Course(0.0, results={"one": run_that_grows(1.7)})
    p50, *_ = of_drift(scenario_with(drift=12.5), course)
    assert "allowed +12.5 %" in p50.text


def test_a_load_that_is_too_short_for_thirds_shows_no_drift() -> None:
    course = Course(0.0, results={"one": load_result([8.0])})
    told = list(of_drift(scenario_with(drift=50), course))
    assert [finding.passed for finding in told] == [False, False]
    assert told[0].text == "p50: too few answers to compare thirds of the load"


def test_what_cannot_be_judged_is_no_pass_and_no_failure() -> None:
    p50, machine = judged(1.7, pace_of(work=1.8))
    judgement = Judgement([p50, machine], {})
    assert not judgement.passed
    out, course = StringIO(), Course(0.0)
    write_text("soak", course, judgement, out)
    assert "  ????  one" in out.getvalue() and "FAIL" not in out.getvalue()
    assert out.getvalue().endswith("NOT JUDGED: 1 of 1; nothing failed\n")
    outcome = outcome_json("soak", course, judgement)
    assert [each["judged"] for each in outcome["findings"]] == [False, True]
    assert outcome["passed"] is False


def recovered(bad_before_s: float, bad_after_s: float, pace: PaceSeries) -> Finding:
    """Returns what is found of a load of 30 s that has its trouble at its middle."""
    due = np.arange(int(RATE * LENGTH_S)) / RATE
    middle = LENGTH_S / 2
    bad = (due < bad_before_s) | ((due >= middle) & (due < middle + bad_after_s))
    result = load_result(np.where(bad, 300.0, 5.0), rps=RATE)
    course = Course(0.0, results={"one": result}, happened=[("killed", middle)], pace=pace)
    section = {"load": "one", "within": "5s", "p99": "100ms"}
    (found,) = of_recovery(scenario_with(recovery=[section]), course, {"one": None})
    return found


def test_a_load_that_does_not_recover_fails() -> None:
    found = recovered(0, 15, pace_of())
    assert (found.passed, found.judged) == (False, True)
    assert found.text.startswith("did not recover within 5 s")
    assert recovered(0, 3, pace_of()).passed


def test_what_was_not_well_before_cannot_be_as_before() -> None:
    found = recovered(10, 15, pace_of())
    assert (found.passed, found.judged) == (False, False)
    assert "of the slices before were not well either" in found.text
    # What did recover has done so, whatever it was like before.
    assert recovered(10, 3, pace_of()).passed


def test_a_mesh_that_gets_no_core_is_not_judged_by_its_recovery() -> None:
    found = recovered(0, 15, pace_of(others=(0.1, 1.9)))
    assert (found.passed, found.judged) == (False, False)
    assert "other programs left the mesh no core to spare" in found.text


def test_another_load_may_show_what_is_as_before() -> None:
    before = load_result(np.full(500, 300.0), rps=RATE)
    after = load_result(np.full(500, 300.0), rps=RATE)
    after.tally.first_ns = 5_000_000_000
    scenario = scenario_with(
        recovery=[{"load": "one", "within": "1s", "p99": "100ms", "before": "one"}]
    )
    section = replace_before(scenario, "two")
    course = Course(0.0, results={"one": after, "two": before})
    (found,) = of_recovery(section, course, {"one": None})
    assert not found.judged and "100% of the slices before" in found.text


def test_what_the_mesh_took_after_the_load_before_is_not_as_before() -> None:
    readings, machine_s, mesh_s = [], 0.0, 0.0
    for at in np.arange(0, 20.5, 0.5).tolist():
        mesh_s += 0.5 * (1.9 if 5 < at <= 10 else 0.4)
        machine_s = mesh_s + at * 0.8
        readings.append(Reading(at, WORK_S, machine_s, {"gateway": mesh_s}))
    before = load_result(np.full(500, 5.0), rps=RATE)
    after = load_result(np.full(1000, 300.0), rps=RATE)
    after.tally.first_ns += 10_000_000_000
    section = {"load": "one", "within": "5s", "p99": "100ms", "before": "one"}
    scenario = replace_before(scenario_with(recovery=[section]), "two")
    pace = PaceSeries(readings, cores=2)
    course = Course(0.0, results={"one": after, "two": before}, pace=pace)
    (found,) = of_recovery(scenario, course, {"one": None})
    assert (found.passed, found.judged) == (False, True), found.text


def replace_before(scenario: Scenario, name: str) -> Scenario:
    (section,) = scenario.verdict.recovery
    sections = [section.model_copy(update={"before": name})]
    verdict = scenario.verdict.model_copy(update={"recovery": sections})
    return scenario.model_copy(update={"verdict": verdict})


def test_the_fixed_piece_of_work_is_a_small_one() -> None:
    assert 0 < work_s() < 0.01


async def test_the_machine_is_read_until_nobody_watches() -> None:
    series = PaceSeries()
    watching = asyncio.create_task(series.watch(ProcessUsage({"this": [os.getpid()]})))
    await asyncio.to_thread(wait_for, lambda: len(series.readings) >= 3)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    first, *_, last = series.readings
    assert last.mesh_s["this"] > first.mesh_s["this"]
    assert last.machine_s > first.machine_s
    assert series.between(first.at, last.at) is None  # fewer than say anything
    more = PaceSeries([replace(first, at=first.at + place) for place in range(6)], cores=2)
    assert more.between(first.at, first.at + 6) is not None
