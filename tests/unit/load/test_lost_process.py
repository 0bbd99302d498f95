"""What is said of a run that has lost processes, and that nothing good is concluded from it."""

import dataclasses
import io

import pytest

from tailrace.loadtest.engine.crew import Loss
from tailrace.loadtest.engine.load_process import EndedProcess
from tailrace.loadtest.engine.lost_load import lost_process
from tailrace.loadtest.measure.lost_process import LostProcess
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.exit_status import exit_status
from tailrace.loadtest.options.load_options import Format, LoadOptions, Schedule
from tailrace.loadtest.progress.plain_lines import PlainLines
from tailrace.loadtest.progress.rates import Rates
from tailrace.loadtest.report.write import write_report
from tailrace.loadtest.scenario.knee import Bounds, judge_step
from tailrace.loadtest.verdict.judge import judge
from tailrace.loadtest.verdict.objective import parse_objective
from tests.support.load_results import OPTIONS, load_result

SECOND = 1_000_000_000
LOST = LostProcess(
    name="load process 2 of 2 (pid 4711)",
    how="was killed by SIGKILL",
    why="the machine may be out of memory",
    ended_ns=3_210_000_000,
    told_ns=3_000_000_000,
    missing=1234,
    share=0.35,
)
TEXT = (
    "load process 2 of 2 (pid 4711) was killed by SIGKILL 3.21 s after the start (the machine may"
    " be out of memory); known of it is what it did in the first 3.00 s; missing: 1,234 calls,"
    " 35.0% of the load that was asked for"
)


def lossy(end_reason: EndReason = EndReason.LOST) -> RunResult:
    return dataclasses.replace(load_result(), end_reason=end_reason, lost=[LOST])


def told(form: Format) -> str:
    result = lossy()
    file = io.StringIO()
    options = dataclasses.replace(result.options, format=form)
    write_report(dataclasses.replace(result, options=options), [], [], file)
    return file.getvalue()


def test_it_is_told_in_a_line() -> None:
    assert LOST.text == TEXT
    untold = dataclasses.replace(LOST, told_ns=0, missing=None, why="")
    assert untold.text.endswith(
        "after the start; nothing is known of what it did; missing: 35.0% of the load that was"
        " asked for"
    )


@pytest.mark.parametrize("form", [Format.SUMMARY, Format.HTML])
def test_reports_for_people_say_so(form: Format) -> None:
    assert TEXT in told(form)


def test_labels_of_metrics_say_so() -> None:
    assert 'end_reason="lost"' in told(Format.PROMETHEUS)


def test_no_objective_is_reached_whatever_was_measured() -> None:
    objectives = [parse_objective(text) for text in ("p99<1h", "errors<100%", "rps>0", "ok>0")]
    assert all(verdict.passed for verdict in judge(objectives, load_result()))
    assert not any(verdict.passed for verdict in judge(objectives, lossy()))


def test_no_rate_holds() -> None:
    assert judge_step(100, load_result(), Bounds(1e12, 1)).holds
    assert not judge_step(100, lossy(), Bounds(1e12, 1)).holds


def test_exit_status_is_one_of_its_own() -> None:
    assert exit_status(lossy(), passed=True) == exit_status(lossy(), passed=False) == 3
    # Who interrupts a run knows that there is a part of it only.
    assert exit_status(lossy(EndReason.CANCEL), passed=True) == 130


def test_progress_says_so_and_does_not_count_its_calls_as_in_flight() -> None:
    file = io.StringIO()
    tally = Tally(started=10, ended=5, unknown=3, lost=1)
    PlainLines(OPTIONS, file).show(Rates(1.0).add(tally, 5.0))
    assert ", 2 in flight, " in file.getvalue()
    assert file.getvalue().endswith(", 1 load process lost\n")


def missing(options: LoadOptions, part: Tally, *, place: int = 1) -> LostProcess:
    parts = [Tally(), Tally(), Tally()]
    parts[place] = part
    loss = Loss(place, EndedProcess("load process", "was killed", ""), 5 * SECOND)
    return lost_process(options, loss, parts, 2 * SECOND, 0)


@pytest.mark.parametrize(
    ("changes", "ended", "calls"),
    [
        # Of calls 0 to 99, 33 are its own.
        ({"total": 100}, 20, 13),
        ({"total": 100, "rps": 10.0}, 20, 13),
        # Of the 49 that are due before the end, 16.
        ({"total": 100, "rps": 10.0, "max_duration": 5.0}, 10, 6),
        ({"duration": 5.0, "rps": 10.0}, 10, 6),
        ({"duration": 5.0, "rps": 10.0}, 16, 0),
    ],
)
def test_what_is_missing_is_what_was_asked_of_it(
    changes: dict[str, float], ended: int, calls: int
) -> None:
    options = LoadOptions(host="h:1", call="a.B/C", **changes)  # type: ignore[arg-type]
    lost = missing(options, Tally(ended=ended - 1, skipped=1, wall_ns=SECOND))
    assert (lost.missing, lost.ended_ns, lost.told_ns) == (calls, 3 * SECOND, SECOND)


def test_callers_who_change_are_missing_for_the_time_they_would_have_been_there() -> None:
    options = LoadOptions(
        host="h:1",
        call="a.B/C",
        duration=4.0,
        concurrency_schedule=Schedule.STEP,
        concurrency_start=3,
        concurrency_step=3,
        concurrency_step_duration=2.0,
        concurrency_end=6,
    )
    # One of three for a second, then two of six for two; of 3 * 2 + 6 * 2 in all.
    lost = missing(options, Tally(wall_ns=SECOND))
    assert lost.missing is None
    assert lost.share == pytest.approx(5 / 18)


def test_room_of_an_open_loop_without_a_rate_is_missing() -> None:
    options = LoadOptions(host="h:1", call="a.B/C", duration=4.0, async_=True, max_in_flight=30)
    lost = missing(options, Tally(wall_ns=SECOND))
    assert lost.missing is None
    assert lost.share == pytest.approx(1 / 4)
