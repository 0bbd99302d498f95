"""What the summary tells below ghz's."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import pytest

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import EndReason, GeneratorLimit, RunResult
from tailrace.loadtest.report.summary import write_summary
from tailrace.loadtest.verdict.baseline import Comparison, Outcome
from tailrace.loadtest.verdict.judge import Verdict, judge
from tailrace.loadtest.verdict.objective import parse_objective
from tests.support.load_results import UNAVAILABLE, hop_tally, load_result

DUE_AND_SENT = "Latency from when calls were due (as above), and from when they were sent:"


def summary(
    result: RunResult,
    verdicts: Sequence[Verdict] = (),
    comparisons: Sequence[Comparison] = (),
) -> list[str]:
    file = io.StringIO()
    write_summary(result, verdicts, comparisons, file)
    return file.getvalue().split("\n")


def section(lines: list[str], heading: str) -> list[str]:
    place = lines.index(heading)
    return lines[place + 1 : lines.index("", place)]


def below_ghz(lines: list[str]) -> list[str]:
    """What stands after the last line that ghz would have."""
    place = lines.index("Status code distribution:")
    return [line for line in lines[place + 1 :] if line and not line.startswith("  [")]


def test_nothing_to_say_is_said_as_ghz_does() -> None:
    result = load_result([5.0, 6.0, 7.0], rps=0.0001)
    quiet = dataclasses.replace(
        result, options=dataclasses.replace(result.options, rps=0, async_=False)
    )
    quiet.tally.lag.counts[:] = 0
    quiet.tally.lag.count = quiet.tally.cpu_ns = 0
    assert below_ghz(summary(quiet)) == []


def test_no_call_at_all_is_told() -> None:
    lines = summary(load_result([]))
    assert "  Count:\t0" in lines
    assert "  Requests/sec:\t0.00" in lines


def test_percentiles_beyond_99_are_told_of_enough_calls() -> None:
    def tail(calls: int) -> list[str]:
        result = load_result(calls=calls, rps=1000.0)
        told = dataclasses.replace(result, options=dataclasses.replace(result.options, rps=0))
        return [line.partition(" in ")[0] for line in summary(told) if line.startswith("  99.9")]

    assert tail(999) == []
    assert tail(1_000) == ["  99.9 %"]
    assert tail(10_000) == ["  99.9 %", "  99.99 %"]


def test_both_latencies_are_told_where_they_differ() -> None:
    waits = np.zeros(2000)
    waits[1000:1100] = np.linspace(1000, 10, 100)
    result = load_result(np.full(2000, 2.0), waits_ms=waits, rps=100.0)
    lines = section(summary(result), DUE_AND_SENT)
    rows = {line.split("  ")[1].strip(): line.split()[-4:] for line in lines[1:]}
    assert lines[0].split() == ["due", "sent"]
    assert rows["50 %"] == ["2.00", "ms", "2.00", "ms"]
    assert rows["99 %"][2:] == ["2.00", "ms"]
    assert float(rows["99 %"][0]) == pytest.approx(802, rel=0.02)
    assert rows["slowest"] == ["1.00", "s", "2.00", "ms"]
    assert list(rows)[-3:] == ["99.9 %", "slowest", "average"]


def test_one_latency_is_told_where_calls_were_sent_when_due() -> None:
    assert DUE_AND_SENT not in summary(load_result())
    closed = load_result(waits_ms=5.0)
    closed = dataclasses.replace(closed, options=dataclasses.replace(closed.options, rps=0))
    assert DUE_AND_SENT not in summary(closed)


def test_generator_that_was_the_limit_is_told_as_such() -> None:
    why = "calls were sent 12 ms late (p99)"
    lines = section(
        summary(load_result(waits_ms=12.0, limit=GeneratorLimit(True, why))), "Generator:"
    )
    assert lines[0] == f"  the generator, not the server, was the limit: {why}"
    assert (
        lines[1] == "  calls were sent late by 12.00 ms (50 %), 12.00 ms (99 %), 12.00 ms at most"
    )
    kept = section(summary(load_result()), "Generator:")
    assert not any("was the limit" in line for line in kept)


def test_processor_time_is_told_for_each_call_and_process() -> None:
    result = load_result()
    busy = dataclasses.replace(result.tally, cpu_ns=6_000_000, wall_ns=12_000_000)
    both = dataclasses.replace(
        result,
        tally=dataclasses.replace(result.tally, cpu_ns=9_000_000),
        processes=[busy, dataclasses.replace(busy, cpu_ns=3_000_000)],
    )
    told = "  9.0 µs of processor time a call, in 2 processes at 50%, 25% of a core"
    assert told in section(summary(both), "Generator:")


def test_hops_are_told_with_their_parts() -> None:
    answers = hop_tally()
    lines = section(summary(load_result(answers=answers)), "Hops, in ms, of 1000 answers:")
    assert lines[0].split() == (
        "hop 50 % 90 % 99 % 99.9 % slowest mean queue network work critical".split()
    )
    told = [line.split()[0] for line in lines[1:]]
    assert told == ["convoy", "ingest", "features", "inference", "postprocess"] + [
        "unattributed",
        "gateway",
        "outside",
    ]
    features = answers.span("features")
    cells = lines[3].split()
    assert cells[1] == f"{features.percentile(50) / 1e6:.2f}"
    assert cells[6] == f"{features.mean_ns / 1e6:.2f}"
    assert cells[-1] == "100%"
    # The parts of a hop make up its mean.
    assert sum(map(float, cells[7:10])) == pytest.approx(float(cells[6]), abs=0.02)


def test_hops_that_were_called_again_or_failed_are_told() -> None:
    answers = hop_tally(50)
    answers.hops["features"].retried = 4
    answers.hops["inference"].failed = 2
    lines = summary(load_result(calls=50, answers=answers))
    assert "  features was called again for 4 of 50 answers" in lines
    assert "  inference was not answered OK for 2 of 50 answers" in lines


def test_quality_and_goodput_are_told() -> None:
    answers = HopTally(
        qualities={"LIVE": 90, "STALE_FEATURES": 8},
        reasons={"STALE_FEATURES features: plane: stale": 8},
        errors={"RESOURCE_EXHAUSTED QUEUE_FULL": 1},
        good=88,
        degraded=8,
        late=2,
        pending=3,
    )
    result = load_result(calls=99, rps=10.0, errors={UNAVAILABLE: 1}, answers=answers)
    lines = summary(dataclasses.replace(result, duration_ns=10_000_000_000))
    assert section(lines, "Quality:")[:2] == [
        "  [LIVE]             90 answers   91.84%",
        "  [STALE_FEATURES]   8 answers    8.16%",
    ]
    assert "  [8]   STALE_FEATURES features: plane: stale" in lines
    assert "  [1]   RESOURCE_EXHAUSTED QUEUE_FULL" in lines
    assert "Pending: 3 submissions had no outcome when asked for" in lines
    assert section(lines, "Goodput: 8.80 a second, 88.00% of 100 requests") == [
        "  live and in time 88, degraded 8, late 2, without an answer 2"
    ]


def test_verdicts_are_told() -> None:
    result = load_result(np.full(1000, 25.0))
    verdicts = judge([parse_objective("p99<20ms"), parse_objective("errors<1%")], result)
    lines = section(summary(result, verdicts), "Objectives:")
    assert [line.split()[:2] for line in lines] == [
        ["FAILED", "p99<20ms:"],
        ["passed", "errors<1%:"],
    ]


def test_comparisons_are_told() -> None:
    comparisons = [
        Comparison("rps", Outcome.NOTE, why="rps was 10, and is 20"),
        Comparison("p50", Outcome.SAME, before=1e6, after=1e6, change=1.0, low=0.9, high=1.1),
        Comparison("p99", Outcome.WORSE, before=1e6, after=2e6, change=2.0, low=1.9, high=2.1),
    ]
    lines = section(summary(load_result(), (), comparisons), "Compared with the baseline:")
    assert lines == [
        f"           {comparisons[0].text}",
        f"  passed   {comparisons[1].text}",
        f"  FAILED   {comparisons[2].text}",
    ]


def test_runs_that_ended_early_say_so() -> None:
    result = load_result()
    interrupted = dataclasses.replace(result, end_reason=EndReason.CANCEL)
    assert "Interrupted: all this is of what was done until then." in summary(interrupted)
    over = dataclasses.replace(result, end_reason=EndReason.TIMEOUT)
    assert "Ended by --max-duration, before all of 1000 calls were made." in summary(over)


def test_messages_of_streams_are_counted() -> None:
    result = load_result(calls=10, rps=10.0)
    streamed = dataclasses.replace(result, server_streaming=True, duration_ns=2_000_000_000)
    streamed.tally.responses = 300
    assert section(summary(streamed), "Messages received:") == ["  300, 150.00 a second"]


def test_errors_of_several_lines_keep_to_one() -> None:
    lines = summary(load_result(errors={"rpc error: code = Unknown desc = one\n two\tthree": 2}))
    assert "  [2]   rpc error: code = Unknown desc = one two three   " in lines


def test_most_frequent_comes_first() -> None:
    errors = {"rpc error: code = Internal desc = b": 1, "rpc error: code = Aborted desc = a": 5}
    lines = section(summary(load_result(errors=errors)), "Error distribution:")
    assert [line.split()[0] for line in lines] == ["[5]", "[1]"]
